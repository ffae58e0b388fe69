"""IDLE."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def _until(talk: Talk, wanted: bytes) -> list[bytes]:
    lines: list[bytes] = []
    while not lines or wanted not in lines[-1]:
        lines.append(talk.line())
        assert lines[-1], lines
    return lines


def test_news_come_while_idle(connect: Connect) -> None:
    talk, other = connect("INBOX"), connect("INBOX")
    tag = talk.begin("IDLE")
    assert talk.line().startswith(b"+ ")
    other.append(b"\r\nx")
    _until(talk, b"* 1 EXISTS")
    other.ask("STORE 1 +FLAGS (\\Deleted)")
    _until(talk, b"\\Deleted")
    other.ask("EXPUNGE")
    _until(talk, b"* 1 EXPUNGE")
    talk.send(b"DONE\r\n")
    assert talk.answer(tag).status == "OK"


def test_many_news_are_told_together(connect: Connect) -> None:  # IM-30
    talk, other = connect("INBOX"), connect()
    tag = talk.begin("IDLE")
    talk.line()
    for _ in range(20):
        other.append(b"\r\nx")
    lines = _until(talk, b"* 20 EXISTS")
    assert sum(b"EXISTS" in line for line in lines) < 20
    talk.send(b"done\r\n")
    assert talk.answer(tag).status == "OK"


def test_another_command_ends_idle_badly(connect: Connect) -> None:  # IM-30
    talk = connect("INBOX")
    tag = talk.begin("IDLE")
    talk.send(b"x NOOP\r\n")
    talk.line()
    assert talk.answer(tag).status == "BAD"
    assert talk.ask("NOOP").status == "OK"


def test_idle_without_a_mailbox_waits_for_done(connect: Connect) -> None:
    talk = connect()
    tag = talk.begin("IDLE")
    talk.line()
    talk.send(b"DONE\r\n")
    assert talk.answer(tag).status == "OK"


def test_done_may_come_with_the_command(connect: Connect) -> None:
    talk = connect("INBOX")
    talk.send(b"a IDLE\r\nDONE\r\nb NOOP\r\n")
    assert talk.answer(b"a").status == "OK"
    assert talk.answer(b"b").status == "OK"

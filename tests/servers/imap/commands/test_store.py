"""STORE."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def _talk(connect: Connect, count: int = 3) -> Talk:
    talk = connect("INBOX")
    for _ in range(count):
        talk.append(b"\r\nx")
    return talk


def _flags(talk: Talk, number: int) -> set[bytes]:
    found = talk.ask(f"FETCH {number} FLAGS").fetched[number][b"FLAGS"]
    assert isinstance(found, list)
    return {flag for flag in found if isinstance(flag, bytes) and flag != b"\\Recent"}


def test_flags_are_added_removed_and_replaced(connect: Connect) -> None:
    talk = _talk(connect)
    assert set(talk.ask("STORE 1:2 +FLAGS (\\Seen $Work)").fetched) == {1, 2}
    assert _flags(talk, 1) == {b"\\Seen", b"$Work"}
    talk.ask("STORE 1 -FLAGS \\seen")
    assert _flags(talk, 1) == {b"$Work"}
    talk.ask("STORE 1 FLAGS (\\Draft)")
    assert _flags(talk, 1) == {b"\\Draft"}
    talk.ask("STORE 1 FLAGS ()")
    assert _flags(talk, 1) == set()
    assert _flags(talk, 3) == set()


def test_keywords_are_the_same_in_any_case(connect: Connect) -> None:
    talk = _talk(connect)
    talk.ask("STORE 1 +FLAGS (Work)")
    talk.ask("STORE 1 +FLAGS (WORK)")
    assert _flags(talk, 1) == {b"Work"}
    talk.ask("STORE 1 -FLAGS (work)")
    assert _flags(talk, 1) == set()


def test_a_new_keyword_is_announced_before_it_is_used(connect: Connect) -> None:
    talk = _talk(connect)
    lines = talk.ask("STORE 1 +FLAGS (NIL)").lines
    assert lines[0].startswith(b"* FLAGS (") and b" NIL)" in lines[0]  # noqa: PT018
    assert b"* 1 FETCH" in lines[2]
    assert len(talk.ask("STORE 2 +FLAGS (NIL)").lines) == 1


def test_silent_says_nothing(connect: Connect) -> None:
    talk = _talk(connect)
    assert talk.ask("STORE 1 +FLAGS.SILENT (\\Seen)").lines == []
    assert talk.ask("NOOP").lines == []


def test_another_session_hears_of_it(connect: Connect) -> None:
    talk, other = _talk(connect), connect("INBOX")
    talk.ask("UID STORE 2 +FLAGS.SILENT (\\Flagged)")
    assert other.ask("NOOP").fetched == {2: {b"UID": 2, b"FLAGS": [b"\\Flagged"]}}


def test_uid_store_tells_the_uid(connect: Connect) -> None:
    talk = _talk(connect)
    assert talk.ask("UID STORE 3,99 +FLAGS (\\Seen)").fetched[3][b"UID"] == 3


def test_what_cannot_be_set_is_refused(connect: Connect) -> None:  # IM-15
    talk = _talk(connect)
    assert talk.ask("STORE 1 +FLAGS (\\Recent)").status == "NO"
    assert talk.ask("STORE 1 FLAG (\\Seen)").status == "BAD"
    assert talk.ask("STORE 4 +FLAGS (\\Seen)").status == "BAD"
    assert talk.ask("STORE 1 +FLAGS (" + "x" * 1024 + ")").status == "NO"
    assert talk.ask("STORE 1 +FLAGS (" + " ".join(f"k{n}" for n in range(256)) + ")").status == "OK"
    assert talk.ask("STORE 1 +FLAGS (one-more)").code == "LIMIT"
    talk.ask("EXAMINE INBOX")
    assert talk.ask("STORE 1 +FLAGS (\\Seen)").status == "NO"


def test_pipelined_commands_are_as_if_one_after_another(connect: Connect) -> None:  # IM-18
    talk = _talk(connect, 4)
    talk.send(b"a STORE 1 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\nc FETCH 3 UID\r\nd FETCH 4 UID\r\n")
    assert talk.answer(b"a").status == "OK"
    assert talk.answer(b"b").numbers == [("EXPUNGE", 1)]
    assert talk.answer(b"c").fetched[3][b"UID"] == 4
    assert talk.answer(b"d").status == "BAD"

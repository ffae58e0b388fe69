"""APPEND."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.doors import Doors
from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]

MESSAGE = b"From: a@b\r\nSubject: s\r\n\r\nbody\r\n"


def test_what_was_appended_is_read_byte_for_byte(connect: Connect) -> None:
    talk = connect("INBOX")
    answer = talk.append(MESSAGE, extra='(\\Seen $Forwarded) "15-Feb-2007 01:02:03 +0200" ')
    assert answer.status == "OK"
    assert answer.code.startswith("APPENDUID ")
    assert ("EXISTS", 1) in answer.numbers
    found = talk.ask("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])").fetched[1]
    assert found[b"BODY[]"] == MESSAGE
    assert found[b"RFC822.SIZE"] == len(MESSAGE)
    assert found[b"INTERNALDATE"] == b"14-Feb-2007 23:02:03 +0000"
    assert set(found[b"FLAGS"] or []) == {b"\\Recent", b"\\Seen", b"$Forwarded"}  # type: ignore[arg-type]


def test_a_missing_mailbox_is_refused_before_the_message_is_sent(connect: Connect) -> None:  # IM-16
    talk = connect()
    tag = talk.begin("APPEND nothing {50000000}")
    assert (answer := talk.answer(tag)).status == "NO"
    assert answer.code == "TRYCREATE"
    assert talk.ask("NOOP").status == "OK"


def test_a_missing_mailbox_with_an_unasked_literal_keeps_the_connection_in_step(connect: Connect) -> None:  # IM-03
    talk = connect()
    tag = talk.begin("APPEND nothing {10+}")
    talk.send(b"b LOGOUT\r\n\r\n")
    assert talk.answer(tag).code == "TRYCREATE"
    assert talk.ask("NOOP").status == "OK"


def test_a_message_over_the_limit_is_refused(connect: Connect) -> None:  # IM-17
    talk = connect()
    assert talk.answer(talk.begin("APPEND INBOX {50000001}")).code == "TOOBIG"
    assert talk.ask("NOOP").status == "OK"


def test_a_connection_that_breaks_off_leaves_nothing(doors: Doors, user: str, connect: Connect) -> None:  # IM-17
    talk = Talk(doors.clear, user)
    talk.begin("APPEND INBOX {1000+}")
    talk.send(b"x" * 500)
    talk.close()
    assert connect("INBOX").ask("NOOP").lines == []


def test_text_behind_the_message_undoes_it(connect: Connect) -> None:
    talk = connect("INBOX")
    tag = talk.begin("APPEND INBOX {3+}")
    talk.send(b"abc {5+}\r\nb NOO\r\n")
    assert talk.answer(tag).status == "BAD"
    assert talk.ask("NOOP").lines == []


def test_bad_dates_flags_and_empty_messages_are_refused(connect: Connect) -> None:
    talk = connect()
    assert talk.append(MESSAGE, extra='"31-Feb-2007 01:02:03 +0200" ').status == "BAD"
    assert talk.append(MESSAGE, extra="(\\Recent) ").status == "NO"
    assert talk.append(b"").status == "NO"
    assert talk.append(MESSAGE, extra='"31-Dec-9999 23:59:59 +0000" ').status == "OK"  # IM-17


def test_a_large_message_goes_in_and_comes_out(connect: Connect) -> None:
    talk = connect("INBOX")
    large = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 60_000
    assert talk.append(large).status == "OK"
    found = talk.ask("FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT]<1000000.10> RFC822.SIZE)").fetched[1]
    assert found[b"BODY[]"] == large
    assert found[b"BODY[TEXT]<1000000>"] == large[1000018:1000028]
    assert found[b"RFC822.SIZE"] == len(large)

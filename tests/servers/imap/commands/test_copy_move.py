"""COPY and MOVE."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def _talk(connect: Connect) -> Talk:
    talk = connect("INBOX")
    for number in range(4):
        talk.append(b"Subject: %d\r\n\r\n" % number, extra='(\\Flagged word) "15-Feb-2007 01:02:03 +0200" ')
    talk.ask("CREATE there")
    return talk


def test_copies_are_the_same_with_new_uids(connect: Connect) -> None:
    talk = _talk(connect)
    answer = talk.ask("COPY 2:3 there")
    assert answer.code.startswith("COPYUID ")
    assert answer.code.endswith(" 2:3 1:2")
    there = connect("there")
    items = "FLAGS INTERNALDATE BODY.PEEK[]"
    here_items = talk.ask(f"FETCH 2 ({items})").fetched[2]
    there_items = there.ask(f"FETCH 1 ({items})").fetched[1]
    for found in (here_items, there_items):
        flags = found[b"FLAGS"]
        assert isinstance(flags, list)
        found[b"FLAGS"] = [flag for flag in flags if flag != b"\\Recent"]
    assert here_items == there_items
    assert talk.ask("FETCH 1:* UID").status == "OK"


def test_moved_messages_are_told_before_they_go(connect: Connect) -> None:  # RFC 6851 §4.3
    talk = _talk(connect)
    answer = talk.ask("UID MOVE 1,3,99 there")
    assert answer.codes[0].startswith("COPYUID ")
    assert answer.codes[0].endswith(" 1,3 1:2")
    assert answer.numbers == [("EXPUNGE", 3), ("EXPUNGE", 1)]
    assert answer.lines[0].startswith(b"* OK [COPYUID")
    assert [found[b"UID"] for found in talk.ask("FETCH 1:* UID").fetched.values()] == [2, 4]
    assert talk.ask("MOVE 1 there").numbers == [("EXPUNGE", 1)]
    assert ("EXISTS", 3) in connect("there").ask("SELECT there").numbers


def test_a_missing_target_is_refused_and_nothing_happens(connect: Connect) -> None:
    talk = _talk(connect)
    assert talk.ask("COPY 1:4 nowhere").code == "TRYCREATE"
    assert talk.ask("MOVE 1:4 nowhere").code == "TRYCREATE"
    assert len(talk.ask("FETCH 1:* UID").fetched) == 4


def test_uids_that_do_not_exist_are_no_error_and_numbers_are(connect: Connect) -> None:
    talk = _talk(connect)
    assert talk.ask("UID COPY 99 there").status == "OK"
    assert talk.ask("UID MOVE 99 there").status == "OK"
    assert talk.ask("COPY 5 there").status == "BAD"


def test_a_mailbox_that_is_open_for_reading_can_be_copied_from_only(connect: Connect) -> None:
    talk = _talk(connect)
    talk.ask("EXAMINE INBOX")
    assert talk.ask("COPY 1 there").status == "OK"
    assert talk.ask("MOVE 1 there").status == "NO"


def test_a_copy_into_the_same_mailbox_shows(connect: Connect) -> None:
    talk = _talk(connect)
    assert ("EXISTS", 5) in talk.ask("COPY 1 INBOX").numbers

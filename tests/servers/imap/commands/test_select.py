"""SELECT, EXAMINE, CLOSE, UNSELECT."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def test_select_tells_what_a_client_needs(connect: Connect) -> None:
    talk = connect()
    talk.append(b"\r\nx", extra="(\\Seen word) ")
    talk.append(b"\r\nx")
    answer = talk.ask("SELECT inbox")
    assert answer.code == "READ-WRITE"
    assert answer.numbers == [("EXISTS", 2), ("RECENT", 2)]
    assert [code.split(" ")[0] for code in answer.codes] == ["PERMANENTFLAGS", "UNSEEN", "UIDVALIDITY", "UIDNEXT"]
    assert "UNSEEN 2" in answer.codes
    assert "UIDNEXT 3" in answer.codes
    assert answer.codes[0].endswith(" word \\*)")
    assert b"word" in answer.of("FLAGS")[0][0]  # type: ignore[operator]


def test_recent_belongs_to_the_first_session_that_hears_of_it(connect: Connect) -> None:  # RFC 3501 §2.3.2
    one = connect()
    one.append(b"\r\nx")
    assert ("RECENT", 1) in one.ask("EXAMINE INBOX").numbers
    assert ("RECENT", 1) in one.ask("SELECT INBOX").numbers
    assert one.ask("SEARCH RECENT").found == [1]
    two = connect()
    assert ("RECENT", 0) in two.ask("SELECT INBOX").numbers
    assert two.ask("SEARCH NEW").found == []
    one.append(b"\r\nx")
    assert ("RECENT", 0) in connect().ask("SELECT INBOX").numbers


def test_examine_is_for_reading(connect: Connect) -> None:
    talk = connect()
    answer = talk.ask("EXAMINE INBOX")
    assert answer.code == "READ-ONLY"
    assert "PERMANENTFLAGS ()" in answer.codes


def test_a_select_that_fails_leaves_nothing_selected(connect: Connect) -> None:  # RFC 3501 §6.3.1
    talk = connect("INBOX")
    assert talk.ask("SELECT nothing").code == "NONEXISTENT"
    assert talk.ask("CHECK").status == "BAD"


def test_other_accounts_are_not_there(connect: Connect) -> None:  # IM-26
    talk = connect()
    assert talk.ask("SELECT ~bob/INBOX").text == talk.ask("SELECT nothing").text


def test_close_expunges_in_silence_and_unselect_does_not(connect: Connect) -> None:
    talk = connect("INBOX")
    for _ in range(3):
        talk.append(b"\r\nx")
    talk.ask("STORE 2 +FLAGS (\\Deleted)")
    assert talk.ask("UNSELECT").lines == []
    assert ("EXISTS", 3) in talk.ask("SELECT INBOX").numbers
    assert talk.ask("CLOSE").lines == []
    assert talk.ask("CLOSE").status == "BAD"
    assert ("EXISTS", 2) in talk.ask("SELECT INBOX").numbers

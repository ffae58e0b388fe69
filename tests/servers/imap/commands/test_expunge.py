"""EXPUNGE, UID EXPUNGE."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def _talk(connect: Connect) -> Talk:
    talk = connect("INBOX")
    for _ in range(5):
        talk.append(b"\r\nx")
    talk.ask("STORE 2,4:5 +FLAGS.SILENT (\\Deleted)")
    return talk


def test_only_what_is_deleted_goes(connect: Connect) -> None:
    talk, other = _talk(connect), connect("INBOX")
    assert talk.ask("EXPUNGE").numbers == [("EXPUNGE", 5), ("EXPUNGE", 4), ("EXPUNGE", 2)]
    assert [found[b"UID"] for found in talk.ask("FETCH 1:* UID").fetched.values()] == [1, 3]
    assert other.ask("NOOP").numbers == [("EXPUNGE", 5), ("EXPUNGE", 4), ("EXPUNGE", 2)]


def test_uid_expunge_takes_only_the_given(connect: Connect) -> None:  # RFC 4315 §2.1
    talk = _talk(connect)
    assert talk.ask("UID EXPUNGE 1:4").numbers == [("EXPUNGE", 4), ("EXPUNGE", 2)]
    assert talk.ask("UID EXPUNGE 99").numbers == []


def test_a_mailbox_that_is_open_for_reading_stays(connect: Connect) -> None:
    talk = _talk(connect)
    talk.ask("EXAMINE INBOX")
    assert talk.ask("EXPUNGE").status == "NO"
    assert talk.ask("UID EXPUNGE 1:*").status == "NO"
    assert talk.ask("CLOSE").status == "OK"
    assert ("EXISTS", 5) in talk.ask("SELECT INBOX").numbers


def test_no_expunge_is_told_during_fetch_store_and_search(connect: Connect) -> None:  # RFC 3501 §7.4.1
    talk, other = _talk(connect), connect("INBOX")
    talk.ask("EXPUNGE")
    for command in ("FETCH 1:5 UID", "STORE 1 +FLAGS (\\Seen)", "SEARCH ALL", "FETCH 2 BODY.PEEK[]"):
        assert not any(name == "EXPUNGE" for name, _ in other.ask(command).numbers)
    assert len([name for name, _ in other.ask("NOOP").numbers if name == "EXPUNGE"]) == 3

"""STATUS."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def test_the_numbers_of_a_mailbox(connect: Connect) -> None:
    talk = connect()
    talk.append(b"\r\nx", extra="(\\Seen) ")
    talk.append(b"\r\nx")
    found = talk.ask("STATUS INBOX (MESSAGES UNSEEN UIDNEXT RECENT)").of("STATUS")[0]
    assert found == [b"INBOX", [b"MESSAGES", 2, b"UNSEEN", 1, b"UIDNEXT", 3, b"RECENT", 2]]
    validity = talk.ask("STATUS INBOX (UIDVALIDITY)").of("STATUS")[0][1]
    assert isinstance(validity, list)
    assert f"UIDVALIDITY {validity[1]!r}" in talk.ask("SELECT INBOX").codes


def test_bad_items_and_names_are_refused(connect: Connect) -> None:
    talk = connect()
    assert talk.ask("STATUS INBOX (FOO)").status == "BAD"
    assert talk.ask("STATUS INBOX ()").status == "BAD"
    assert talk.ask("STATUS nothing (MESSAGES)").code == "NONEXISTENT"

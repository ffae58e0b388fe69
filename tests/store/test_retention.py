"""Old rows go a few at a time, and only those that nobody needs."""

from __future__ import annotations

from pathlib import Path

from tests.store.stores import NOW, a_message, in_one

from ekiden.base.clock import Millis
from ekiden.base.ids import BlobId, EnvelopeId
from ekiden.mail import journey
from ekiden.store import accounts, counters, entries, journeys, mailboxes, messages, retention
from ekiden.store.database import Tx


def _inbox(tx: Tx, count: int) -> mailboxes.Mailbox:
    account = accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW).id
    found = mailboxes.named(tx, account, "INBOX")
    assert found is not None
    for number in range(1, count + 1):
        messages.insert(tx, a_message(number))
        messages.deposit(tx, found.id, EnvelopeId(number), internal_date=NOW, size=1)
    return found


def test_contents_are_looked_at_in_bounded_steps(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        inbox = _inbox(tx, 5)
        messages.deposit(tx, inbox.id, EnvelopeId(1), internal_date=NOW, size=1)
        entries.remove(tx, inbox, [1, 2, 3, 4])
        assert retention.drop_contents(tx, 3) == (3, 2)  # the first has another copy
        assert retention.drop_contents(tx, 3) == (1, 1)
        assert retention.drop_contents(tx, 3) == (0, 0)
        assert messages.sendable(tx, EnvelopeId(1)) is not None
        assert messages.sendable(tx, EnvelopeId(2)) is None

    in_one(tmp_path, work)


def test_a_deleted_folder_is_emptied_in_bounded_steps(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        inbox = _inbox(tx, 5)
        mailboxes.remove(tx, inbox.id)
        assert [retention.drop_copies(tx, 2) for _ in range(4)] == [2, 2, 1, None]
        assert retention.drop_contents(tx)[1] == 5

    in_one(tmp_path, work)


def test_a_folder_emptied_to_the_last_step_is_done(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        mailboxes.remove(tx, _inbox(tx, 4).id)
        assert [retention.drop_copies(tx, 2) for _ in range(4)] == [2, 2, 0, None]

    in_one(tmp_path, work)


def test_journeys_of_mail_that_is_there_stay(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        inbox = _inbox(tx, 3)
        for number in range(1, 4):
            journeys.add_steps(tx, EnvelopeId(number), [journey.Committed(NOW, "250 OK")])
        entries.remove(tx, inbox, [1, 2])
        retention.drop_contents(tx)
        assert retention.forget_journeys(tx, NOW) == 0
        assert [retention.forget_journeys(tx, Millis(NOW + 1), 1) for _ in range(3)] == [1, 1, 0]
        assert [len(journeys.steps_of(tx, EnvelopeId(number))) for number in range(1, 4)] == [0, 0, 1]

    in_one(tmp_path, work)


def test_blobs_that_no_row_names_are_told(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert retention.blobs_without_row(tx, [BlobId("a"), BlobId("b")]) == ["a", "b"]

    in_one(tmp_path, work)


def test_named_leases_of_long_ago_go(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        counters.take_lease(tx, "old", "x", NOW, NOW)
        counters.take_lease(tx, "new", "x", NOW, Millis(NOW + 10))
        assert retention.forget_named_leases(tx, Millis(NOW + 5)) == 1

    in_one(tmp_path, work)

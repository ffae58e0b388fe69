"""Messages once, entries many times."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message, in_one

from ekiden.base.errors import StoreError
from ekiden.base.ids import EnvelopeId, MailboxId
from ekiden.store import accounts, entries, mailboxes, messages
from ekiden.store.database import Tx


def _inbox(tx: Tx) -> MailboxId:
    account = accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW)
    found = mailboxes.named(tx, account.id, "inbox")
    assert found is not None
    return found.id


def test_uids_and_modseqs_grow_and_counts_follow(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        inbox = _inbox(tx)
        for number in (1, 2):
            messages.insert(tx, a_message(number))
        assert messages.deposit(tx, inbox, EnvelopeId(1), internal_date=NOW, size=100) == (1, 2)
        assert messages.deposit(tx, inbox, EnvelopeId(2), internal_date=NOW, size=10, flags=["\\Seen", "Work"]) == (2, 3)
        assert messages.deposit(tx, inbox, EnvelopeId(2), internal_date=NOW, size=10) == (3, 4)
        found = mailboxes.by_id(tx, inbox)
        assert found is not None
        assert (found.messages, found.unseen, found.bytes, found.uid_next, found.modseq) == (3, 2, 120, 4, 4)
        assert mailboxes.keywords(tx, inbox) == ("Work",)
        assert list(entries.all_uids(tx, inbox)) == [1, 2, 3]

    in_one(tmp_path, work)


def test_a_deposit_into_a_mailbox_that_is_gone_is_refused(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        messages.insert(tx, a_message())
        with pytest.raises(StoreError):
            messages.deposit(tx, MailboxId(77), EnvelopeId(1), internal_date=NOW, size=1)

    in_one(tmp_path, work)


def test_what_is_sent_on_is_prefix_and_content(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        messages.insert(tx, a_message(content=b"\r\nx\r\n"))
        found = messages.sendable(tx, EnvelopeId(1))
        assert found is not None
        assert (found.prefix, found.content, found.blob_id, found.size) == (b"Received: by test\r\n", b"\r\nx\r\n", None, 5)
        assert messages.sendable(tx, EnvelopeId(2)) is None

    in_one(tmp_path, work)


def test_damaged_content_is_not_sent(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        whole = a_message(content=b"\r\nx\r\n")
        messages.insert(tx, whole._replace(inline=b"\r\ny\r\n"))
        with pytest.raises(StoreError, match="damaged"):
            messages.sendable(tx, EnvelopeId(1))

    in_one(tmp_path, work)


def test_copies_of_many_messages_get_uids_in_their_order_in_each_mailbox(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        inbox = _inbox(tx)
        account = accounts.account_named(tx, "alice")
        assert account is not None
        other = mailboxes.create(tx, account.id, "Other", now=NOW)
        numbers = range(1, 41)  # more rows than one statement takes
        messages.insert_all(tx, [a_message(number) for number in numbers])
        copies = [messages.Copy(inbox if number % 4 else other, EnvelopeId(number), NOW, number, "") for number in numbers]
        uids = messages.deposit_all(tx, copies)
        assert [uid for uid, copy in zip(uids, copies, strict=True) if copy.mailbox == inbox] == list(range(1, 31))
        assert [uid for uid, copy in zip(uids, copies, strict=True) if copy.mailbox == other] == list(range(1, 11))
        for mailbox, count in ((inbox, 30), (other, 10)):
            found = mailboxes.by_id(tx, mailbox)
            assert found is not None
            assert (found.messages, found.unseen, found.uid_next) == (count, count, count + 1)
            assert found.bytes == sum(copy.size for copy in copies if copy.mailbox == mailbox)
            rows = tx.all("entries_between", mailbox=mailbox, first=1, last=100)
            assert [row[1] for row in rows] == list(range(found.modseq - count + 1, found.modseq + 1))  # a MODSEQ each
        assert messages.deposit_all(tx, []) == []

    in_one(tmp_path, work)


def test_one_mailbox_that_is_gone_refuses_all_of_a_call(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        inbox = _inbox(tx)
        messages.insert_all(tx, [a_message(1), a_message(2)])
        with pytest.raises(StoreError):
            messages.deposit_all(
                tx, [messages.Copy(inbox, EnvelopeId(1), NOW, 1, ""), messages.Copy(MailboxId(77), EnvelopeId(2), NOW, 1, "")]
            )

    in_one(tmp_path, work)

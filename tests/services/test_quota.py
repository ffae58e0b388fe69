"""How much room an account has."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message, in_one

from ekiden.base.ids import AccountId, EnvelopeId
from ekiden.services.mailbox_values import MailboxRefused, Quota, Why
from ekiden.services.quota import quota_of, room_in_quota
from ekiden.store import accounts, mailboxes, messages
from ekiden.store.database import Tx


def _with_mail(tx: Tx, quota: int | None) -> AccountId:
    account = accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW, quota).id
    messages.insert(tx, a_message())
    for name, size in (("INBOX", 30), ("Sent", 20)):
        box = mailboxes.named(tx, account, name)
        assert box is not None
        messages.deposit(tx, box.id, EnvelopeId(1), internal_date=NOW, size=size)
    return account


def test_all_folders_count(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        account = _with_mail(tx, 60)
        assert quota_of(tx, account) == Quota(50, 2, 60)
        room_in_quota(tx, account, 10)
        with pytest.raises(MailboxRefused) as caught:
            room_in_quota(tx, account, 11)
        assert caught.value.why is Why.OVER_QUOTA

    in_one(tmp_path, work)


def test_without_a_limit_there_is_always_room(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        account = _with_mail(tx, None)
        assert quota_of(tx, account).limit_bytes is None
        room_in_quota(tx, account, 10**15)

    in_one(tmp_path, work)

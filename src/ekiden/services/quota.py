"""The room that an account has for more mail. Functions of a transaction.

Source: RFC 9208 §5.1 (STORAGE), §5.2 (MESSAGE); here in bytes.
"""

from __future__ import annotations

from ekiden.base.ids import AccountId
from ekiden.services.mailbox_values import MailboxRefused, Quota, Why
from ekiden.store import accounts, mailboxes
from ekiden.store.database import Tx


def quota_of(tx: Tx, account: AccountId) -> Quota:
    """What the account uses of what it may use."""
    found = mailboxes.of_account(tx, account)
    owner = accounts.account_by_id(tx, account)
    limit = owner.quota_bytes if owner is not None else None
    return Quota(sum(each.bytes for each in found), sum(each.messages for each in found), limit)


def room_in_quota(tx: Tx, account: AccountId, wanted: int) -> None:
    """Raises MailboxRefused(OVER_QUOTA) if there is no room for that many bytes more."""
    quota = quota_of(tx, account)
    if quota.limit_bytes is not None and quota.used_bytes + wanted > quota.limit_bytes:
        raise MailboxRefused(Why.OVER_QUOTA, "the account is over its quota")

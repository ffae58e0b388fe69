"""Mailboxes: names, numbers, subscriptions. Functions of a transaction.

Names are Unicode, "/" stands between levels; they are compared in NFC, INBOX in any case.
Source: RFC 9051 §5.1, §6.3.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId, MailboxId, ModSeq, Uid
from ekiden.store.columns import integer, optional_text, string
from ekiden.store.database import Row, Tx


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A row. recent_from: UIDs from here on no session has been told of. unseen_from: no UID below is without \\Seen."""

    id: MailboxId
    account: AccountId
    name: str
    special_use: str | None
    uid_validity: int
    uid_next: Uid
    modseq: ModSeq
    messages: int
    unseen: int
    bytes: int
    recent_from: Uid
    unseen_from: Uid


def name_key(name: str) -> str:
    """What is compared: NFC, and INBOX (also as the first level) in capitals."""
    normal = unicodedata.normalize("NFC", name)
    first, slash, rest = normal.partition("/")
    return f"INBOX{slash}{rest}" if len(first) == 5 and first.isascii() and first.upper() == "INBOX" else normal


def create(tx: Tx, account: AccountId, name: str, *, now: Millis, special_use: str | None = None) -> MailboxId:
    """A new, empty mailbox; its UIDVALIDITY was never used by the account. Raises Conflict if the name is taken."""
    row = tx.one("account_uid_validity", account=account, now_s=now // 1000)
    made = tx.one(
        "mailbox_insert",
        account=account,
        key=name_key(name),
        name=unicodedata.normalize("NFC", name),
        special_use=special_use,
        uid_validity=integer(row, 0),
    )
    return MailboxId(integer(made, 0))


def named(tx: Tx, account: AccountId, name: str) -> Mailbox | None:
    """By name."""
    row = tx.one("mailbox_by_name", account=account, key=name_key(name))
    return _mailbox(row) if row is not None else None


def by_id(tx: Tx, id: MailboxId) -> Mailbox | None:
    """By id."""
    row = tx.one("mailbox_by_id", id=id)
    return _mailbox(row) if row is not None else None


def of_account(tx: Tx, account: AccountId) -> list[Mailbox]:
    """All, by name."""
    return [_mailbox(row) for row in tx.all("mailboxes_of", account=account)]


def inbox_or(tx: Tx, account: AccountId, inbox: MailboxId, folder: str, now: Millis) -> tuple[MailboxId, str]:
    """Where to file and what it is called: INBOX for "", else the folder of that special use or name, made if missing."""
    if not folder:
        return inbox, "INBOX"
    row = tx.one("mailbox_by_use", account=account, special_use=f"\\{folder}")
    if row is None:
        row = tx.one("mailbox_by_name", account=account, key=name_key(folder))
    if row is None:
        return create(tx, account, folder, now=now), folder
    return MailboxId(integer(row, 0)), string(row, 2)


def rename(tx: Tx, id: MailboxId, name: str) -> None:
    """Another name. Raises Conflict if it is taken."""
    tx.run("mailbox_rename", id=id, name=unicodedata.normalize("NFC", name), key=name_key(name))


def remove(tx: Tx, id: MailboxId) -> None:
    """A mailbox is gone at once; its copies, and content that nobody names then, are dropped by upkeep."""
    for query in ("doom", "expunged_delete", "keywords_delete"):
        tx.run(query, mailbox=id)
    tx.run("mailbox_delete", id=id)


def remove_all(tx: Tx, account: AccountId) -> None:
    """All mailboxes and subscriptions of an account."""
    for mailbox in of_account(tx, account):
        remove(tx, mailbox.id)
    tx.run("subscriptions_delete", account=account)


def subscribe(tx: Tx, account: AccountId, name: str) -> None:
    """Put a name on the list of subscriptions."""
    tx.run("subscription_insert", account=account, key=name_key(name), name=unicodedata.normalize("NFC", name))


def unsubscribe(tx: Tx, account: AccountId, name: str) -> None:
    """Take a name off the list."""
    tx.run("subscription_delete", account=account, key=name_key(name))


def subscriptions(tx: Tx, account: AccountId) -> list[str]:
    """All subscribed names."""
    return [string(row, 0) for row in tx.all("subscriptions_of", account=account)]


def keywords(tx: Tx, id: MailboxId) -> tuple[str, ...]:
    """Every keyword that the mailbox has had."""
    return tuple(string(row, 0) for row in tx.all("keywords_of", mailbox=id))


def _mailbox(row: Row) -> Mailbox:
    return Mailbox(
        MailboxId(integer(row, 0)),
        AccountId(integer(row, 1)),
        string(row, 2),
        optional_text(row, 3),
        integer(row, 4),
        Uid(integer(row, 5)),
        ModSeq(integer(row, 6)),
        integer(row, 7),
        integer(row, 8),
        integer(row, 9),
        Uid(integer(row, 10)),
        Uid(integer(row, 11)),
    )

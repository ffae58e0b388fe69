"""Which moves of mail teach something: into Junk it is unwanted, out of Junk it is wanted. Functions of a transaction.

Out of Junk into Trash says nothing (people empty their junk folder that way), and moves between other folders say nothing. To copy says
what to move says: many clients move by copying.
Source: RFC 6154 §2 (\\Junk, \\Trash), docs/adr/0014-what-readers-teach.md.
"""

from __future__ import annotations

from collections.abc import Collection

from ekiden.base.ids import EnvelopeId
from ekiden.store import lessons, mailboxes
from ekiden.store.columns import string
from ekiden.store.database import Tx
from ekiden.store.entries import FlagMode, UidRanges, merged
from ekiden.store.lessons import Side
from ekiden.store.mailboxes import Mailbox


def transferred(tx: Tx, source: Mailbox, target: Mailbox, uids: UidRanges) -> bool:
    """Messages have come from one folder into another, where they have these UIDs; True if that is a lesson."""
    side = _side(tx, source, target)
    if side is not None:
        lessons.teach_between(tx, target.account, target.id, uids, side)
    return side is not None


def appended(tx: Tx, target: Mailbox, messages: Collection[EnvelopeId]) -> bool:
    """A client has put messages into a folder itself; True if that is a lesson."""
    is_lesson = _is_under(tx, target, "Junk")
    for message in messages if is_lesson else ():
        lessons.teach(tx, target.account, message, Side.SPAM)
    return is_lesson


def flagged(tx: Tx, mailbox: Mailbox, uids: UidRanges, mode: FlagMode, keywords: Collection[str]) -> bool:
    """Flags have been changed; True if that is a lesson."""
    if mode is FlagMode.REMOVE or not any(keyword.lower() in lessons.KEYWORDS for keyword in keywords):
        return False
    return lessons.teach_marked(tx, mailbox.account, mailbox.id, merged(uids)) > 0


def _side(tx: Tx, source: Mailbox, target: Mailbox) -> Side | None:
    from_junk, into_junk = _is_under(tx, source, "Junk"), _is_under(tx, target, "Junk")
    if from_junk == into_junk:
        return None
    if into_junk:
        return Side.SPAM
    return None if _is_under(tx, target, "Trash") else Side.HAM


def _is_under(tx: Tx, mailbox: Mailbox, use: str) -> bool:
    """Whether a folder, or one above it, has this special use, or its name as mailboxes.inbox_or takes it."""
    if mailbox.special_use == f"\\{use}":
        return True
    first, _, below = mailbox.name.partition("/")
    if first == use:
        return True
    if not below:
        return False
    row = tx.one("mailbox_by_use", account=mailbox.account, special_use=f"\\{use}")
    return row is not None and mailboxes.name_key(mailbox.name).startswith(mailboxes.name_key(string(row, 2)) + "/")

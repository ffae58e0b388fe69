"""Copies of messages in mailboxes: flags, copying, removing. Functions of a transaction.

Work on many messages is done by SQL, a range of UIDs at a time; only keywords go through Python one by one. Every change of a mailbox
takes one new modification sequence, and its counts follow in the same statement.
Source: RFC 9051 §6.4, RFC 7162 §3.1.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TypeAlias

from ekiden.base.errors import StoreError
from ekiden.base.ids import MailboxId, ModSeq, Uid
from ekiden.store import flags as columns
from ekiden.store.columns import integer, string
from ekiden.store.database import Tx
from ekiden.store.mailboxes import Mailbox

LAST_UID = 2**32 - 1
_NO_LIMIT = 2**63 - 1

UidRanges: TypeAlias = Sequence[tuple[int, int]]
"""UIDs as (first, last) pairs, both included, in any order; ranges_of() makes them from single UIDs."""


class FlagMode(Enum):
    """What STORE does with the flags it names (RFC 9051 §6.4.6)."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"


def ranges_of(uids: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending UIDs as few (first, last) ranges."""
    ranges: list[tuple[int, int]] = []
    first = last = 0
    for uid in uids:
        if last and uid == last + 1:
            last = uid
            continue
        if last:
            ranges.append((first, last))
        first = last = uid
    if last:
        ranges.append((first, last))
    return ranges


def merged(uids: UidRanges) -> list[tuple[int, int]]:
    """The same UIDs, each once, in ascending ranges; a range may be written from its higher end (RFC 9051 §9, seq-range)."""
    made: list[tuple[int, int]] = []
    for first, last in sorted((min(pair), max(pair)) for pair in uids):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(last, made[-1][1]))
        else:
            made.append((first, last))
    return made


def all_uids(tx: Tx, mailbox: MailboxId) -> array[int]:
    """Every UID, ascending. SQL finds the runs without a hole, so that a million messages are a few rows."""
    uids = array("I")
    for row in tx.all("entry_runs", mailbox=mailbox):
        uids.extend(range(integer(row, 0), integer(row, 1) + 1))
    return uids


def uids_in(tx: Tx, mailbox: MailboxId, uids: UidRanges) -> list[Uid]:
    """Those that exist, ascending."""
    found = [tx.all("uids_between", mailbox=mailbox, first=first, last=last) for first, last in merged(uids)]
    return [Uid(integer(row, 0)) for rows in found for row in rows]


def deleted_in(tx: Tx, mailbox: MailboxId, uids: UidRanges | None) -> list[Uid]:
    """Those that carry \\Deleted, ascending, of these UIDs only if any are given."""
    ranges = [(1, LAST_UID)] if uids is None else merged(uids)
    found = [tx.all("deleted_between", mailbox=mailbox, first=first, last=last) for first, last in ranges]
    return [Uid(integer(row, 0)) for rows in found for row in rows]


def count_deleted(tx: Tx, mailbox: MailboxId) -> int:
    """How many carry \\Deleted."""
    return integer(tx.one("deleted_count", mailbox=mailbox), 0)


def size_of(tx: Tx, mailbox: MailboxId, uids: UidRanges) -> int:
    """Bytes of these messages as a reader gets them."""
    return sum(integer(tx.one("sum_between", mailbox=mailbox, first=first, last=last), 0) for first, last in merged(uids))


# ---- flags -------------------------------------------------------------------------------------


def store_flags(
    tx: Tx,
    mailbox: Mailbox,
    uids: UidRanges,
    mode: FlagMode,
    bits: int,
    keywords: frozenset[str],
    unchanged_since: int | None = None,
) -> ModSeq:
    """Change flags where that changes anything; the modseq of the mailbox afterwards.

    bits, keywords: of store.flags.split, the keywords spelled as the mailbox spells them. unchanged_since: only messages whose
    modseq is not higher (RFC 7162 §3.1.3).
    """
    limit = _NO_LIMIT if unchanged_since is None else unchanged_since
    ranges = merged(uids)
    if keywords or mode is FlagMode.REPLACE:
        return _store_each(tx, mailbox, ranges, mode, bits, keywords, limit)
    return _store_bits(tx, mailbox, ranges, bits if mode is FlagMode.ADD else 0, bits, limit)


def _store_bits(tx: Tx, mailbox: Mailbox, ranges: UidRanges, on: int, mask: int, limit: int) -> ModSeq:
    """Set the bits of mask to those of on, wherever they differ."""
    unseen = 0
    lowest = LAST_UID
    concerned: list[tuple[int, int]] = []
    for first, last in ranges:
        row = tx.one("count_to_flag", mailbox=mailbox.id, first=first, last=last, on=on, mask=mask, limit=limit)
        if not integer(row, 0):
            continue
        concerned.append((first, last))
        if mask & columns.SEEN:
            without = integer(row, 0) - integer(row, 1)
            unseen += -without if on & columns.SEEN else integer(row, 1)
            lowest = min(lowest, integer(row, 2))
    if not concerned:
        return mailbox.modseq
    modseq = _touch(tx, mailbox.id, unseen=unseen, seen_again=lowest if unseen > 0 else LAST_UID)
    for first, last in concerned:
        tx.run("flag_between", mailbox=mailbox.id, first=first, last=last, on=on, mask=mask, limit=limit, modseq=modseq)
    return modseq


def _store_each(tx: Tx, mailbox: Mailbox, ranges: UidRanges, mode: FlagMode, bits: int, keywords: frozenset[str], limit: int) -> ModSeq:
    """The way for keywords: each message by itself."""
    changes: list[tuple[int, int, str]] = []
    unseen = 0
    lowest = LAST_UID
    for first, last in ranges:
        for row in tx.all("flags_between", mailbox=mailbox.id, first=first, last=last, limit=limit):
            uid, old_bits, old_words = integer(row, 0), integer(row, 1), string(row, 2)
            old = frozenset(old_words.split(" ")) if old_words else frozenset()
            new_bits, new = _changed(mode, old_bits, old, bits, keywords)
            words = " ".join(sorted(new))
            if (new_bits, words) == (old_bits, old_words):
                continue
            changes.append((uid, new_bits, words))
            shift = (old_bits & columns.SEEN) - (new_bits & columns.SEEN)
            unseen += shift
            if shift > 0:
                lowest = min(lowest, uid)
    if not changes:
        return mailbox.modseq
    modseq = _touch(tx, mailbox.id, unseen=unseen, seen_again=lowest)
    for uid, new_bits, words in changes:
        tx.run("flag_one", mailbox=mailbox.id, uid=uid, flags=new_bits, keywords=words, modseq=modseq)
    return modseq


def _changed(mode: FlagMode, old_bits: int, old: frozenset[str], bits: int, keywords: frozenset[str]) -> tuple[int, frozenset[str]]:
    if mode is FlagMode.REPLACE:
        return bits, keywords
    named = {keyword.lower() for keyword in keywords}
    others = frozenset(keyword for keyword in old if keyword.lower() not in named)
    if mode is FlagMode.ADD:
        return old_bits | bits, others | keywords
    return old_bits & ~bits, others


# ---- copying and removing ----------------------------------------------------------------------


def copy(tx: Tx, mailbox: MailboxId, uids: UidRanges, target: MailboxId) -> list[tuple[Uid, Uid]]:
    """Copies with their flags and dates; (UID here, UID there), ascending. Raises StoreError if the target is gone or full."""
    sources = uids_in(tx, mailbox, uids)
    if not sources:
        return []
    ranges = ranges_of(sources)
    size = unseen = 0
    words: set[str] = set()
    for first, last in ranges:
        row = tx.one("sum_between", mailbox=mailbox, first=first, last=last)
        size += integer(row, 0)
        unseen += integer(row, 1)
        for found in tx.all("keywords_between", mailbox=mailbox, first=first, last=last):
            words.update(string(found, 0).split(" "))
    numbers = tx.one("mailbox_deliver_many", id=target, count=len(sources), size=size, unseen=unseen)
    if numbers is None:
        raise StoreError(f"mailbox {target} is gone")
    first_uid, modseq = integer(numbers, 0), integer(numbers, 1)
    if first_uid + len(sources) - 1 > LAST_UID:
        raise StoreError(f"mailbox {target} has used all its UIDs")
    for word in sorted(words):
        tx.run("keyword_insert", mailbox=target, key=word.lower(), name=word)
    start = first_uid
    for first, last in ranges:
        tx.run("copy_between", mailbox=mailbox, first=first, last=last, target=target, start=start, modseq=modseq)
        start += last - first + 1
    return [(uid, Uid(first_uid + at)) for at, uid in enumerate(sources)]


def remove(tx: Tx, mailbox: Mailbox, uids: Sequence[int]) -> ModSeq:
    """Take out entries that exist, and remember that they are gone; the modseq of the mailbox afterwards.

    Content that nobody names any more is dropped by upkeep.
    """
    if not uids:
        return mailbox.modseq
    ranges = ranges_of(uids)
    size = unseen = 0
    for first, last in ranges:
        row = tx.one("sum_between", mailbox=mailbox.id, first=first, last=last)
        size += integer(row, 0)
        unseen += integer(row, 1)
    modseq = _touch(tx, mailbox.id, messages=-len(uids), unseen=-unseen, size=-size)
    for first, last in ranges:
        tx.run("note_expunged", mailbox=mailbox.id, first=first, last=last, modseq=modseq)
        tx.run("note_freed", mailbox=mailbox.id, first=first, last=last)
        tx.run("delete_between", mailbox=mailbox.id, first=first, last=last)
    return modseq


def _touch(tx: Tx, mailbox: MailboxId, *, messages: int = 0, unseen: int = 0, size: int = 0, seen_again: int = LAST_UID) -> ModSeq:
    """The next modseq of a mailbox, with what the change does to its counts. seen_again: the lowest UID that lost \\Seen."""
    row = tx.one("mailbox_touch", id=mailbox, messages=messages, unseen=unseen, bytes=size, seen_again=seen_again)
    return ModSeq(integer(row, 0))

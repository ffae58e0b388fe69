"""Copies in mailboxes within one transaction: flags, removing, copying, and the room that an account has for more.

Source: RFC 9051 §6.4, RFC 7162 §3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from ekiden.base.ids import AccountId, MailboxId, ModSeq, Uid
from ekiden.services.content import entry_of
from ekiden.services.mailbox_values import LAST_UID, FlagMode, MailboxRefused, Quota, Stored, UidRanges, Why, merged
from ekiden.store import accounts, mailboxes, messages
from ekiden.store import flags as flag_columns
from ekiden.store.columns import integer, string
from ekiden.store.database import Tx


def existing(tx: Tx, account: AccountId, name: str) -> mailboxes.Mailbox:
    found = mailboxes.named(tx, account, name)
    if found is None:
        raise MailboxRefused(Why.NONEXISTENT, f"{name} does not exist")
    return found


def quota_of(tx: Tx, account: AccountId) -> Quota:
    found = mailboxes.of_account(tx, account)
    limit = next((each.quota_bytes for each in accounts.list_accounts(tx) if each.id == account), None)
    return Quota(sum(each.bytes for each in found), sum(each.messages for each in found), limit)


def room_in_quota(tx: Tx, account: AccountId, wanted: int) -> None:
    quota = quota_of(tx, account)
    if quota.limit_bytes is not None and quota.used_bytes + wanted > quota.limit_bytes:
        raise MailboxRefused(Why.OVER_QUOTA, "the account is over its quota")


def change_flags(
    tx: Tx,
    m: mailboxes.Mailbox,
    uids: UidRanges,
    mode: FlagMode,
    bits: int,
    keywords: frozenset[str],
    unchanged_since: ModSeq | None,
) -> Stored:
    changes: list[tuple[int, int, str]] = []
    refused: list[Uid] = []
    unseen = 0
    lowest_unseen = LAST_UID
    for first, last in merged(uids):
        for row in tx.all("entries_between", mailbox=m.id, first=first, last=last):
            uid, old_bits, old_words = integer(row, 0), integer(row, 2), string(row, 3)
            if unchanged_since is not None and integer(row, 1) > unchanged_since:
                refused.append(Uid(uid))
                continue
            old = frozenset(old_words.split(" ")) if old_words else frozenset()
            if mode is FlagMode.REPLACE:
                new_bits, new = bits, keywords
            elif mode is FlagMode.ADD:
                new_bits, new = old_bits | bits, old | keywords
            else:
                gone = {keyword.lower() for keyword in keywords}
                new_bits, new = old_bits & ~bits, frozenset(keyword for keyword in old if keyword.lower() not in gone)
            words = " ".join(sorted(new))
            if (new_bits, words) != (old_bits, old_words):
                changes.append((uid, new_bits, words))
                unseen += (old_bits & flag_columns.SEEN) - (new_bits & flag_columns.SEEN)
                if not new_bits & flag_columns.SEEN:
                    lowest_unseen = min(lowest_unseen, uid)
    modseq = m.modseq
    if changes:
        touched = tx.one("mailbox_touch", id=m.id, messages=0, unseen=unseen, bytes=0, seen_again=lowest_unseen)
        modseq = ModSeq(integer(touched, 0))
        for uid, new_bits, words in changes:
            tx.run("entry_flags", mailbox=m.id, uid=uid, flags=new_bits, keywords=words, modseq=modseq)
    kept = [entry_of(row) for first, last in merged(uids) for row in tx.all("entries_between", mailbox=m.id, first=first, last=last)]
    without = set(refused)
    return Stored(tuple(each for each in kept if each.uid not in without), tuple(refused), modseq)


def take_out(tx: Tx, m: mailboxes.Mailbox, uids: Sequence[int]) -> ModSeq:
    """Delete entries, remember that they are gone, and set the counts right."""
    if not uids:
        return m.modseq
    messages_gone = unseen = size = 0
    for uid in uids:
        row = tx.one("entry_delete", mailbox=m.id, uid=uid)
        if row is not None:
            messages_gone += 1
            unseen += 0 if integer(row, 0) & flag_columns.SEEN else 1
            size += integer(row, 1)
    touched = tx.one("mailbox_touch", id=m.id, messages=-messages_gone, unseen=-unseen, bytes=-size, seen_again=LAST_UID)
    modseq = integer(touched, 0)
    for uid in uids:
        tx.run("expunged_insert", mailbox=m.id, modseq=modseq, uid=uid)
    return ModSeq(modseq)


def transfer(tx: Tx, m: mailboxes.Mailbox, target: MailboxId, uids: UidRanges, *, move: bool) -> tuple[tuple[Uid, Uid], ...]:
    """Copies in another mailbox, in the order of UIDs; the originals go if it is a move."""
    pairs: list[tuple[Uid, Uid]] = []
    for first, last in merged(uids):
        for row in tx.all("entries_between", mailbox=m.id, first=first, last=last):
            entry = entry_of(row)
            kept = tx.one("entry_copy", mailbox=m.id, uid=entry.uid)
            uid, _ = messages.deposit(
                tx,
                target,
                entry.message,
                internal_date=entry.internal_date,
                size=entry.size,
                delivered_to=string(kept, 5),
                flags=entry.flags,
            )
            pairs.append((entry.uid, uid))
    if move:
        take_out(tx, m, [old for old, _ in pairs])
    return tuple(pairs)

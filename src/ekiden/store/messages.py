"""Messages (content, once) and entries (one copy in one mailbox). Functions of a transaction.

Source: house.md §6 (A8); RFC 9051 §2.3.1.1 (UIDs), RFC 7162 §3.1 (MODSEQ).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from ekiden.base.clock import Millis
from ekiden.base.errors import Damaged, StoreError
from ekiden.base.ids import EnvelopeId, MailboxId, ModSeq, Uid
from ekiden.mail.envelope import Blob
from ekiden.store import flags as columns
from ekiden.store.columns import integer, octets, optional_octets, optional_text
from ekiden.store.database import Tx, Value


class NewMessage(NamedTuple):
    """Everything about a message that is computed once, at arrival.

    inline: content of up to 256 KiB as bytes in the row; else None, and blob.id names a synced file. sender: reverse path as text, "" is
    the null path, None where no envelope brought it (IMAP APPEND). prefix: fields that we put on top. header_bytes: where the body
    begins in the content. envelope, structure: IMAP ENVELOPE and BODYSTRUCTURE as wire bytes. parts: mail.mime.encode_parts.
    """

    id: EnvelopeId
    blob: Blob
    inline: bytes | None
    sender: str | None
    prefix: bytes
    received_at: Millis
    header_bytes: int
    message_id: str
    subject: str
    sent_at: Millis | None
    envelope: bytes
    structure: bytes
    parts: bytes


@dataclass(frozen=True, slots=True)
class Sendable:
    """What goes to another server: prefix, then the content, which lies here or in a file."""

    prefix: bytes
    content: bytes | None
    blob_id: str | None
    size: int
    sha256: bytes = b""


def insert(tx: Tx, message: NewMessage) -> None:
    """Keep a message; mailboxes and queue name it by its id."""
    insert_all(tx, (message,))


def insert_all(tx: Tx, messages: Sequence[NewMessage]) -> None:
    """Keep many messages."""
    tx.insert_all("message_insert", [_row(message) for message in messages])


def _row(m: NewMessage) -> tuple[Value, ...]:
    blob = m.blob
    return (
        m.id, m.received_at, m.message_id, m.sender, blob.size, m.header_bytes, m.sent_at, None if m.inline is not None else blob.id,
        blob.sha256, m.subject, m.parts, m.structure, m.envelope, m.prefix, m.inline,
    )  # fmt: skip


class Copy(NamedTuple):
    """A copy on its way into a mailbox, without flags. size: bytes that a reader gets."""

    mailbox: MailboxId
    message: EnvelopeId
    internal_date: Millis
    size: int
    delivered_to: str


def deposit_all(tx: Tx, copies: Sequence[Copy]) -> list[Uid]:
    """Many copies, in order; the UID of each. Each gets a MODSEQ of its own. Raises StoreError if a mailbox is gone or full."""
    by_mailbox: dict[MailboxId, list[int]] = {}
    for at, copy in enumerate(copies):
        by_mailbox.setdefault(copy.mailbox, []).append(at)
    uids = [Uid(0)] * len(copies)
    rows: list[tuple[Value, ...]] = []
    for mailbox, places in by_mailbox.items():
        count = len(places)
        row = tx.one("mailbox_deliver_all", id=mailbox, count=count, size=sum([copies[at].size for at in places]))
        if row is None:
            raise StoreError(f"mailbox {mailbox} is gone")
        uid, modseq = integer(row, 0) - count, integer(row, 1) - count
        if uid + count > 1 << 32:
            raise StoreError(f"mailbox {mailbox} has used all its UIDs")
        for at in places:
            modseq += 1
            copy = copies[at]
            uids[at] = Uid(uid)
            rows.append((mailbox, uid, modseq, modseq, 0, "", copy.internal_date, copy.size, copy.message, copy.delivered_to))
            uid += 1
    tx.insert_all("entry_insert", rows)
    return uids


def deposit(
    tx: Tx,
    mailbox: MailboxId,
    message: EnvelopeId,
    *,
    internal_date: Millis,
    size: int,
    delivered_to: str = "",
    flags: Iterable[str] = (),
) -> tuple[Uid, ModSeq]:
    """One copy into a mailbox; the UID and MODSEQ it got. size: bytes that a reader gets. Raises StoreError if it is gone or full."""
    bits, keywords = columns.split(flags) if flags else (0, frozenset[str]())
    row = tx.one("mailbox_deliver", id=mailbox, unseen=0 if bits & columns.SEEN else 1, size=size)
    if row is None:
        raise StoreError(f"mailbox {mailbox} is gone")
    uid, modseq = Uid(integer(row, 0) - 1), ModSeq(integer(row, 1))
    if uid >= 1 << 32:
        raise StoreError(f"mailbox {mailbox} has used all its UIDs")
    for keyword in keywords:
        tx.run("keyword_insert", mailbox=mailbox, key=keyword.lower(), name=keyword)
    tx.run(
        "entry_insert",
        mailbox=mailbox,
        uid=uid,
        modseq=modseq,
        flags=bits,
        keywords=" ".join(sorted(keywords)),
        internal_date=internal_date,
        size=size,
        message=message,
        delivered_to=delivered_to,
    )
    return uid, modseq


def sendable(tx: Tx, message: EnvelopeId) -> Sendable | None:
    """What the queue sends; None if the content has been dropped. Raises Damaged if it is."""
    row = tx.one("message_content", id=message)
    if row is None or integer(row, 5):
        return None
    content = optional_octets(row, 2)
    if content is not None and not is_whole(content, integer(row, 3), octets(row, 4)):
        raise Damaged(f"the content of message {message} is damaged")
    return Sendable(octets(row, 0), content, optional_text(row, 1), integer(row, 3), octets(row, 4))


def is_whole(content: bytes, size: int, digest: bytes) -> bool:
    """Whether content is what was stored (reliability.md §1.3, C10); 4 µs for 4 KiB."""
    return len(content) == size and sha256(content).digest() == digest

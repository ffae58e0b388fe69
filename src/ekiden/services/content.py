"""Messages as their readers get them: lines on top, then the stored content, from a row or a file.

Source: RFC 5321 §4.4 (Return-Path), house.md §6 (A12).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import sha256

from ekiden.base.clock import Millis
from ekiden.base.errors import Damaged
from ekiden.base.ids import BlobId, EnvelopeId, ModSeq, Uid
from ekiden.store import flags
from ekiden.store.blob import BlobStore
from ekiden.store.columns import integer, octets, optional_integer, optional_octets, optional_text, string
from ekiden.store.database import Row
from ekiden.store.messages import is_whole

PIECE_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Entry:
    """One message in one mailbox, without anything of its content: enough for FLAGS, INTERNALDATE, RFC822.SIZE, MODSEQ.

    flags: "\\\\Seen" … and keywords, never \\Recent. size: bytes of what a reader gets, with the lines that we put on top.
    """

    uid: Uid
    modseq: ModSeq
    flags: frozenset[str]
    internal_date: Millis
    size: int
    message: EnvelopeId


@dataclass(frozen=True, slots=True)
class Details:
    """An entry with what was computed at arrival.

    top: the lines above the stored content (Return-Path, Delivered-To, Received …); the reader's message is top + content.
    header_bytes: where the body begins in the content, so in the reader's message it is at len(top) + header_bytes.
    envelope, structure: wire bytes of ENVELOPE and BODYSTRUCTURE. parts: encoded offsets into the content
    (mail.mime.decode_parts). subject: decoded. sent_at: the Date field. message_id: without angle brackets.
    """

    entry: Entry
    top: bytes
    content_bytes: int
    header_bytes: int
    envelope: bytes
    structure: bytes
    parts: bytes
    message_id: str
    subject: str
    sent_at: Millis | None


def top_of(sender: str | None, delivered_to: str, prefix: bytes) -> bytes:
    """The lines above the content. sender: None where no envelope brought the message."""
    lines = b"" if sender is None else b"Return-Path: <%s>\r\n" % sender.encode()
    if delivered_to:
        lines += b"Delivered-To: %s\r\n" % delivered_to.encode()
    return lines + prefix


class Content:
    """The bytes of one message as its reader gets it. Offsets count from the first byte of top.

    size == details.entry.size. whole: the complete message where it lies in memory already (small messages), else None.
    What comes from a file is compared with its hash before its first byte is given out, once for each state of the file; who
    takes the whole of it by chunks() has it compared again on the way. on_damage is told of what is not what was stored.
    """

    def __init__(
        self,
        details: Details,
        inline: bytes | None,
        blob: BlobId | None,
        blobs: BlobStore,
        digest: bytes | None = None,
        on_damage: Callable[[EnvelopeId, str], None] = lambda message, because: None,
    ) -> None:
        self.details = details
        self.size = len(details.top) + details.content_bytes
        self._inline = inline
        self._blob = blob
        self._blobs = blobs
        self._digest = digest
        self._on_damage = on_damage
        self._whole: bytes | None = None

    @property
    def whole(self) -> bytes | None:
        """The complete message, or None where it is in a file. Raises Damaged if it is not what was stored."""
        if self._whole is None and self._inline is not None:
            if self._digest is not None and not is_whole(self._inline, self.details.content_bytes, self._digest):
                raise self._damaged(f"the content of message {self.details.entry.message} is damaged")
            self._whole = self.details.top + self._inline
        return self._whole

    async def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """At most length bytes from offset on; shorter at the end. Raises Damaged, StoreError."""
        end = self.size if length is None else min(self.size, offset + length)
        if offset >= end:
            return b""
        whole = self.whole
        if whole is not None:
            return whole[offset:end]
        top = self.details.top
        head = top[offset:end]
        start = max(0, offset - len(top))
        wanted = end - len(top) - start
        if wanted <= 0:
            return head
        return head + await asyncio.to_thread(self._read, start, wanted)

    async def check(self) -> None:
        """See that it is there and what was stored, before anything of it is promised. Raises Damaged, StoreError."""
        if self.whole is None:
            await asyncio.to_thread(self._read, 0, 0)

    async def chunks(self, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The same bytes in pieces of at most 256 KiB, read as they are taken."""
        end = self.size if length is None else min(self.size, offset + length)
        seen = sha256() if offset == 0 and end == self.size and self._blob is not None and self._digest is not None else None
        while offset < end:
            piece = await self.read(offset, min(PIECE_BYTES, end - offset))
            if seen is not None:
                seen.update(piece[max(0, len(self.details.top) - offset) :])
                if offset + len(piece) == end and seen.digest() != self._digest:
                    raise self._damaged(f"blob {self._blob} has changed while it was read")
            yield piece
            offset += len(piece)

    def _read(self, start: int, wanted: int) -> bytes:
        """From the file; in a thread."""
        if self._blob is None:
            raise self._damaged(f"message {self.details.entry.message} has no content")
        try:
            if self._digest is not None:
                self._blobs.verify(self._blob, self.details.content_bytes, self._digest)
            body = self._blobs.read(self._blob, start, wanted)
        except Damaged as error:
            raise self._damaged(str(error)) from error
        if len(body) != wanted:
            raise self._damaged(f"blob {self._blob} is shorter than its row says")
        return body

    def _damaged(self, because: str) -> Damaged:
        self._on_damage(self.details.entry.message, because)
        return Damaged(because)


def entry_of(row: Row) -> Entry:
    """Columns uid, modseq, flags, keywords, internal_date, size, message_id."""
    return Entry(
        Uid(integer(row, 0)),
        ModSeq(integer(row, 1)),
        flags.join(integer(row, 2), string(row, 3)),
        Millis(integer(row, 4)),
        integer(row, 5),
        EnvelopeId(integer(row, 6)),
    )


def details_of(row: Row) -> Details:
    """Columns of details_between."""
    sent_at = optional_integer(row, 17)
    return Details(
        entry=entry_of(row),
        top=top_of(optional_text(row, 8), string(row, 7), octets(row, 9)),
        content_bytes=integer(row, 10),
        header_bytes=integer(row, 11),
        envelope=octets(row, 12),
        structure=octets(row, 13),
        parts=octets(row, 14),
        message_id=string(row, 15),
        subject=string(row, 16),
        sent_at=Millis(sent_at) if sent_at is not None else None,
    )


def content_of(
    row: Row, blobs: BlobStore, on_damage: Callable[[EnvelopeId, str], None] = lambda message, because: None
) -> Content:
    """Columns of contents_between."""
    blob = optional_text(row, 18)
    inline = optional_octets(row, 19)
    return Content(details_of(row), inline, BlobId(blob) if blob is not None else None, blobs, octets(row, 20), on_damage)

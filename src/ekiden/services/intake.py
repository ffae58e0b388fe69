"""Where a message's bytes gather while they come in: in memory up to 256 KiB, beyond that in a file.

Source: house.md §4, §14 (bodies).
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import NamedTuple

from ekiden.base import failpoints
from ekiden.base.ids import BlobId
from ekiden.mail.envelope import Blob
from ekiden.store.blob import BlobStore, BlobWriter

INLINE_BYTES = 256 * 1024
_WRITE_BYTES = 1024 * 1024
_HASH_BYTES = 2047


class Stored(NamedTuple):
    """Content that can be named in a row. inline: the bytes themselves, or None where blob.id names a synced file."""

    blob: Blob
    inline: bytes | None


class Intakes:
    """Begins intakes over one blob store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def begin(self) -> Intake:
        """For one message."""
        return Intake(self._blobs)


class Intake:
    """The bytes of one message. Every method may raise StoreError; discard() must be called in the end, kept or not."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._chunks: list[bytes] = []
        self._gathered = 0
        self._size = 0
        self._writer: BlobWriter | None = None
        self._stored: Stored | None = None
        self._kept = False
        self._whole: bytes | None = None

    async def add(self, chunk: bytes) -> None:
        """Take more bytes."""
        self._chunks.append(chunk)
        self._gathered += len(chunk)
        self._size += len(chunk)
        if self._size > INLINE_BYTES and self._gathered >= _WRITE_BYTES:
            await self._write_out()

    async def read_back(self) -> bytes:
        """All bytes so far, in one piece."""
        if self._whole is None:
            if self._writer is None:
                self._whole = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks = [self._whole]
            else:
                await self._write_out()
                self._whole = await asyncio.to_thread(self._writer.read_back)
        return self._whole

    async def finish(self) -> Stored:
        """Make it nameable: small content as bytes, large content as a file that is synced, directory included."""
        if self._stored is None:
            if self._size <= INLINE_BYTES:
                raw = await self.read_back()
                self._stored = Stored(Blob(BlobId(""), len(raw), _digest(raw)), raw)
            else:
                await self._write_out()
                if self._writer is None:
                    self._writer = self._blobs.create()
                self._stored = Stored(await asyncio.to_thread(self._writer.commit), None)
        return self._stored

    async def replaced_by(self, raw: bytes) -> Intake:
        """Another intake that holds raw instead; this one is discarded."""
        await self.discard()
        other = Intake(self._blobs)
        await other.add(raw)
        return other

    def kept(self) -> None:
        """A committed row names the content: discard() leaves it alone."""
        self._kept = True

    async def discard(self) -> None:
        """Forget the bytes; a file that no row names is deleted."""
        self._chunks = []
        self._whole = None
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await asyncio.to_thread(writer.close if self._kept else writer.discard)

    async def _write_out(self) -> None:
        if self._writer is None:
            self._writer = self._blobs.create()
        if self._chunks:
            data = b"".join(self._chunks)
            self._chunks = []
            self._gathered = 0
            await asyncio.to_thread(self._writer.write, data)
            if failpoints.armed:
                failpoints.hit("K4")


def _digest(raw: bytes) -> bytes:
    """SHA-256 of small content, in pieces for which hashlib keeps the interpreter's lock.

    Above 2,047 bytes it gives the lock away, and getting it back from the writer's thread took 68 µs a message instead of 4.
    """
    if len(raw) > 16_384:
        return sha256(raw).digest()
    made = sha256()
    for at in range(0, len(raw), _HASH_BYTES):
        made.update(raw[at : at + _HASH_BYTES])
    return made.digest()

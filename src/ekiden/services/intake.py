"""Where a message's bytes gather while they come in: in memory up to 256 KiB, beyond that in a file.

All intakes of a process share a Room: what they hold in memory together has a bound, whatever comes in at the same time.
Source: house.md §4, §14 (bodies); reliability.md F-53.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from ekiden.base import failpoints
from ekiden.base.errors import StorageFull, StoreError
from ekiden.base.ids import BlobId
from ekiden.mail.envelope import Blob
from ekiden.store.blob import BlobStore, BlobWriter

INLINE_BYTES = 256 * 1024
_WRITE_BYTES = 1024 * 1024
_HASH_BYTES = 2047
_TIGHT_PIECE_BYTES = 64 * 1024
_WHOLE_COUNTS = 2  # times its size: reading a message makes pieces of it
_WAIT_S = 60.0


class Stored(NamedTuple):
    """Content that can be named in a row. inline: the bytes themselves, or None where blob.id names a synced file."""

    blob: Blob
    inline: bytes | None


class Room:
    """What the content of all messages under way may take. most: bytes in memory. files: large messages at the same time.

    held: bytes now. From half of it on, pieces go to their files earlier. Used in the loop's thread only.
    """

    def __init__(self, most: int = 1 << 40, files: int = 1 << 20, wait_s: float = _WAIT_S) -> None:
        self.most = most
        self.tight = most // 2
        self.files = files
        self.held = 0
        self._wait_s = wait_s
        self._wholes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, size: int) -> int:
        """Wait for room for a whole message; one alone always has room. Returns what leave() is told. Raises StorageFull after a while."""
        counts = _WHOLE_COUNTS * size
        if self._waiting or not self._fits(counts):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((counts, turn))
            try:
                async with asyncio.timeout(self._wait_s):
                    await turn
            except BaseException as ended:
                if turn.done() and not turn.cancelled():
                    self.leave(counts)  # the turn came in the same moment
                else:
                    with suppress(ValueError):  # whoever left has passed over it already
                        self._waiting.remove((counts, turn))
                if isinstance(ended, TimeoutError):
                    raise StorageFull("no memory for reading one more large message") from None
                raise
        else:
            self._admit(counts)
        return counts

    def leave(self, counts: int) -> None:
        """A whole message has gone."""
        self.held -= counts
        self._wholes -= 1
        while self._waiting and self._fits(self._waiting[0][0]):
            counts, turn = self._waiting.popleft()
            if not turn.done():
                self._admit(counts)
                turn.set_result(None)

    def _fits(self, counts: int) -> bool:
        return not self._wholes or self.held + counts <= self.most

    def _admit(self, counts: int) -> None:
        self.held += counts
        self._wholes += 1


class Intakes:
    """Begins intakes over one blob store."""

    def __init__(self, blobs: BlobStore, room: Room | None = None) -> None:
        self._blobs = blobs
        self._room = room if room is not None else Room()

    def begin(self) -> Intake:
        """For one message."""
        return Intake(self._blobs, self._room)


class Intake:
    """The bytes of one message. Every method may raise StoreError; discard() must be called in the end, kept or not."""

    def __init__(self, blobs: BlobStore, room: Room) -> None:
        self._blobs = blobs
        self._room = room
        self._whole_counts = 0
        self._chunks: list[bytes] = []
        self._gathered = 0
        self._size = 0
        self._writer: BlobWriter | None = None
        self._stored: Stored | None = None
        self._kept = False
        self._whole: bytes | None = None

    async def add(self, chunk: bytes) -> None:
        """Take more bytes."""
        size = len(chunk)
        self._chunks.append(chunk)
        self._gathered += size
        self._size += size
        room = self._room
        room.held += size
        if self._size > INLINE_BYTES:
            if self._gathered >= (_WRITE_BYTES if room.held <= room.tight else _TIGHT_PIECE_BYTES):
                await self._write_out()
        elif room.held > room.most:
            raise StorageFull("no memory for the content of one more message")

    async def read_back(self) -> bytes:
        """All bytes so far, in one piece."""
        if self._whole is None:
            if self._writer is None:
                self._whole = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks = [self._whole]
            else:
                await self._write_out()
                if not self._whole_counts:
                    self._whole_counts = await self._room.enter(self._size)
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
                    raise StoreError("content without bytes")
                self._stored = Stored(await asyncio.to_thread(self._writer.commit), None)
        return self._stored

    async def replaced_by(self, raw: bytes) -> Intake:
        """Another intake that holds raw instead; this one is discarded."""
        other = Intake(self._blobs, self._room)
        other._whole_counts, self._whole_counts = self._whole_counts, 0  # raw is held by whoever has it now
        await self.discard()
        await other.add(raw)
        return other

    def let_go(self) -> None:
        """Nobody needs the bytes of finished content any more: only its name counts."""
        if self._stored is not None and self._stored.inline is None:
            self._whole = None
            self._leave_room()

    def kept(self) -> None:
        """A committed row names the content: discard() leaves it alone."""
        self._kept = True

    async def discard(self) -> None:
        """Forget the bytes; a file that no row names is deleted."""
        self._chunks = []
        self._whole = None
        self._room.held -= self._gathered
        self._gathered = 0
        if self._whole_counts:
            self._leave_room()
        if self._writer is not None:
            self._room.files += 1
            writer, self._writer = self._writer, None
            await asyncio.to_thread(writer.close if self._kept else writer.discard)

    async def _write_out(self) -> None:
        if self._writer is None:
            if self._room.files <= 0:
                raise StorageFull("no descriptor for one more large message")
            self._writer = self._blobs.create()
            self._room.files -= 1
        if self._chunks:
            data = b"".join(self._chunks)
            self._chunks = []
            gathered, self._gathered = self._gathered, 0
            try:
                await asyncio.to_thread(self._writer.write, data)
            finally:
                self._room.held -= gathered
            if failpoints.armed:
                failpoints.hit("K4")


    def _leave_room(self) -> None:
        counts, self._whole_counts = self._whole_counts, 0
        if counts:
            self._room.leave(counts)


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

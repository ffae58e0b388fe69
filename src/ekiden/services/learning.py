"""Learns what readers have taught: takes lessons that wait, reads the messages that they are about, counts their words.

The keeper does it, in the background. A lesson is learned exactly once, whatever dies when: it ends in the transaction that counts its
words (store.lessons.take), so that two who learn the same one do no harm either. What cannot be read any more teaches nothing.
Source: docs/adr/0014-what-readers-teach.md.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ekiden.base.clock import Millis, Timer
from ekiden.base.errors import Damaged, StoreError
from ekiden.base.ids import AccountId, BlobId, id_text
from ekiden.mail.words import key_of, words_of
from ekiden.policy.stage import Log
from ekiden.store import lessons, messages
from ekiden.store.blob import BlobStore
from ekiden.store.changes import LESSONS, Changes, taught_of
from ekiden.store.database import Database, Tx
from ekiden.store.lessons import Lesson, Side

LOOKED_AT = 1 << 20
"""So many bytes of a message are looked at, when it is learned and when it is judged."""
WORDS_AT_ONCE = 2000
"""So many words are counted in one transaction, or those of one message: about 20 ms, for which nobody else can write."""
_AT_ONCE = 50
_LOOK_S = 600.0
_PAUSE_MS = 250


class _Read(NamedTuple):
    """A lesson with what there is to learn; keys: None where the message cannot be read."""

    lesson: Lesson
    sha256: bytes
    keys: list[int] | None


class Learning:
    """The learner of one process."""

    def __init__(self, database: Database, blobs: BlobStore, changes: Changes, timer: Timer, log: Log) -> None:
        self._database = database
        self._blobs = blobs
        self._changes = changes
        self._timer = timer
        self._log = log
        self._poked = asyncio.Event()
        changes.on_poke(self._hear)

    async def run(self) -> None:
        """Learn when something has been taught, and look now and then without that, until cancelled."""
        while True:
            self._poked.clear()
            taken = 0
            try:
                taken, _ = await self._some()
            except StoreError as error:  # the next look tries again
                self._log("learning-failed", level="error", error=error)
            await self._timer.sleep_until(Millis(self._timer.now() + _PAUSE_MS))
            if taken == _AT_ONCE:  # a whole folder was moved: it can wait, and this process has more to do
                continue
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._poked.wait()
            except TimeoutError:
                continue

    async def look(self) -> int:
        """Learn all that waits; how many messages changed what is known. Raises StoreError."""
        learned = 0
        while True:
            taken, changed = await self._some()
            learned += changed
            if not taken:
                return learned

    async def _some(self) -> tuple[int, int]:
        """Learn some that wait: how many, and how many of them changed what is known."""
        some = await self._database.read(lambda tx: lessons.waiting(tx, _AT_ONCE))
        if not some:
            return 0, 0
        learned = 0
        read: list[_Read] = []
        for lesson in some:
            read.append(await self._read(lesson))
            if lesson is some[-1] or sum(len(one.keys or ()) for one in read) >= WORDS_AT_ONCE:
                changed = await self._database.write(lambda tx, read=read: self._take(tx, read))  # type: ignore[misc]  # binds read
                for account in set(changed):
                    self._changes.poke(taught_of(account))
                learned += len(changed)
                read = []
        return len(some), learned

    def _take(self, tx: Tx, read: list[_Read]) -> list[AccountId]:
        """Learn these; the account of each that changed what is known."""
        now = self._timer.now()
        changed = []
        for one in read:
            if one.keys is None:
                lessons.drop(tx, one.lesson)
            elif lessons.take(tx, one.lesson, one.sha256, one.keys, now):
                changed.append(one.lesson.account)
                if one.lesson.side is Side.SPAM and lessons.teach_kept(tx, one.lesson.account):
                    self._poked.set()
        return changed

    async def _read(self, lesson: Lesson) -> _Read:
        """The words of a message. Raises StoreError."""
        try:
            found = await self._database.read(lambda tx: messages.sendable(tx, lesson.message))
            if found is None:
                return _Read(lesson, b"", None)
            raw = found.content if found.content is not None else await self._from_file(found.blob_id, found.size)
            return _Read(lesson, found.sha256, await asyncio.to_thread(keys_in, raw))
        except Damaged as error:
            self._log("lesson-unreadable", level="warning", message=id_text(lesson.message), because=str(error))
        except StoreError:
            raise
        except Exception as error:  # a message that our own reader cannot read: the next lessons must not wait for it
            self._log("lesson-failed", level="error", message=id_text(lesson.message), error=error)
        return _Read(lesson, b"", None)

    async def _from_file(self, blob: str | None, size: int) -> bytes:
        if blob is None:
            raise Damaged("a message without content")
        return await asyncio.to_thread(self._blobs.read, BlobId(blob), 0, min(size, LOOKED_AT))

    def _hear(self, account: AccountId) -> None:
        if account == LESSONS:
            self._poked.set()


def keys_in(raw: bytes) -> list[int]:
    """What the words of a message are counted under."""
    return [key_of(word) for word in words_of(raw[:LOOKED_AT])]

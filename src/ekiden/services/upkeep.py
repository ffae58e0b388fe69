"""Upkeep: what crashes leave behind and what nobody needs any more goes, a little at a time.

One process of all that share a store does it; it holds a lease for that. Nothing here is urgent, everything may be stopped
between two transactions, and mail that any row names is never touched.
Source: house.md §7 (Q1, Q6), reliability.md F-04, F-18.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from ekiden.base import failpoints
from ekiden.base.clock import Millis, Timer
from ekiden.base.errors import StoreError
from ekiden.base.ids import BlobId
from ekiden.policy.stage import Log
from ekiden.store import counters, dmarc, lessons, queue, refused, retention
from ekiden.store.blob import BlobStore
from ekiden.store.database import Database, Tx

_LEASE = "keeper"
_HOUR_MS = 3_600_000
_AT_ONCE = 500
_REPORTS_AT_ONCE = 20
_COUNTED_DAYS = 7


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept.

    journeys_ms: after arrival, once the mail itself is gone. finished_ms: copies that were sent, failed or expired. orphans_s: files
    that no row names; longer than any message takes to be stored. once_ms: words that readers taught once. taught_ms: which messages
    they taught. reports_ms: reports of DMARC that others sent. every_ms: between two rounds.
    refused_ms, refused: journeys of mail that was refused, and how many of them at most.
    """

    journeys_ms: int = 30 * 24 * _HOUR_MS
    finished_ms: int = 24 * _HOUR_MS
    orphans_s: float = 3600.0
    once_ms: int = 180 * 24 * _HOUR_MS
    taught_ms: int = 400 * 24 * _HOUR_MS
    reports_ms: int = 400 * 24 * _HOUR_MS
    every_ms: int = 10 * 60_000
    refused_ms: int = 7 * 24 * _HOUR_MS
    refused: int = 10_000


@dataclass(slots=True)
class Swept:
    """What one round has taken away: numbers of each kind."""

    copies: int = 0
    envelopes: int = 0
    contents: int = 0
    journeys: int = 0
    blobs: int = 0
    counters: int = 0


class Upkeep:
    """The keeper of one process. owner: names the process, differently from all others on the same store."""

    def __init__(self, database: Database, blobs: BlobStore, timer: Timer, log: Log, *, owner: str, keep: Retention | None = None) -> None:
        self._database = database
        self._blobs = blobs
        self._timer = timer
        self._log = log
        self._owner = owner
        self._keep = keep or Retention()

    async def run(self) -> None:
        """A round now and then, until cancelled."""
        while True:
            try:
                swept = await self.round()
                if swept is not None and any((swept.copies, swept.envelopes, swept.contents, swept.journeys, swept.blobs)):
                    self._log("upkeep", contents=swept.contents, journeys=swept.journeys, blobs=swept.blobs, envelopes=swept.envelopes)
            except StoreError as error:  # the next round tries again
                self._log("upkeep-failed", level="error", error=error)
            await self._timer.sleep_until(Millis(self._timer.now() + self._keep.every_ms))

    async def round(self) -> Swept | None:
        """Everything once; None if another process is the keeper. Raises StoreError."""
        now = self._timer.now()
        until = Millis(now + 2 * self._keep.every_ms)
        if not await self._database.write(lambda tx: counters.take_lease(tx, _LEASE, self._owner, now, until)):
            return None
        swept = Swept()
        while (taken := await self._database.write(retention.drop_copies)) is not None:
            swept.copies += taken
        finished = Millis(now - self._keep.finished_ms)
        swept.envelopes = await self._all_of(lambda tx: queue.remove_finished(tx, finished, _AT_ONCE), _AT_ONCE)
        looked = 1
        while looked:
            looked, dropped = await self._database.write(retention.drop_contents)
            swept.contents += dropped
        old = Millis(now - self._keep.journeys_ms)
        swept.journeys = await self._all_of(lambda tx: retention.forget_journeys(tx, old, _AT_ONCE), _AT_ONCE)
        unwanted = Millis(now - self._keep.refused_ms)
        swept.journeys += await self._all_of(lambda tx: refused.forget(tx, unwanted, self._keep.refused, _AT_ONCE), _AT_ONCE)
        swept.counters = await self._database.write(lambda tx: counters.forget(tx, now) + retention.forget_named_leases(tx, finished))
        await self._forget_reports(now)
        await self._forget_words(now)
        swept.blobs = await self._orphans()
        return swept

    async def _forget_reports(self, now: Millis) -> None:
        """Reports of others that are old, and counts of days that nobody will report any more."""
        old = Millis(now - self._keep.reports_ms)
        await self._all_of(lambda tx: dmarc.forget_received(tx, old, _REPORTS_AT_ONCE), _REPORTS_AT_ONCE)
        await self._database.write(lambda tx: dmarc.forget(tx, now // (24 * _HOUR_MS) - _COUNTED_DAYS))

    async def _forget_words(self, now: Millis) -> None:
        """What was taught by who is gone, words that came once and never again, and which messages were taught long ago."""
        while await self._database.write(lessons.drop_unlearned):
            pass
        once, taught = Millis(now - self._keep.once_ms), Millis(now - self._keep.taught_ms)
        await self._all_of(lambda tx: lessons.forget_words(tx, once, _AT_ONCE), _AT_ONCE)
        await self._all_of(lambda tx: lessons.forget_messages(tx, taught, _AT_ONCE), _AT_ONCE)

    async def close(self) -> None:
        """Let another process be the keeper at once."""
        await self._database.write(lambda tx: counters.drop_lease(tx, _LEASE, self._owner))

    async def _all_of(self, work: Callable[[Tx], int], at_once: int) -> int:
        """Repeat a bounded piece of work until it finds less than it may take."""
        total = done = await self._database.write(work)
        while done >= at_once:
            done = await self._database.write(work)
            total += done
        return total

    async def _orphans(self) -> int:
        """Delete files that no row names: leftovers of messages that were not committed, and content that was dropped."""
        files = self._blobs.older_than(self._keep.orphans_s)
        removed = 0
        while found := await asyncio.to_thread(_some, files):
            orphans = await self._database.read(lambda tx, found=found: retention.blobs_without_row(tx, found))  # type: ignore[misc]  # binds found
            for blob in orphans:
                if failpoints.armed:
                    failpoints.hit("K22")
                await asyncio.to_thread(self._blobs.delete, blob)
            removed += len(orphans)
        return removed


def _some(files: Iterator[BlobId]) -> list[BlobId]:
    return list(islice(files, _AT_ONCE))

"""Copies in the queue that break what works on them: counted, tried one at a time, set aside after three times.

The courier notes what it has in work. What a courier that died had in work is suspect, and suspects are tried one after the other,
so that the next death accuses only who did it. A copy on which our own code raises is counted alike. Three times, and it is held in
the queue with the reason until a person has seen to it, with a step in its journey and a message to the postmaster.
Source: reliability.md F-54, F-55; docs/adr/0007.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ekiden.base.clock import Clock, Millis
from ekiden.base.ids import AccountId, EnvelopeId, id_text
from ekiden.mail import journey
from ekiden.mail.address import format_path
from ekiden.services.bounce import Reports
from ekiden.store import journeys, poison, queue
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx
from ekiden.store.inwork import InWork, left
from ekiden.store.queue import Batch, Waiting

TIMES = 3
"""So often something may break what works on it."""
_CHARACTERS = 300

Log = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Notes:
    """Where a process notes what it has in work. folder: that of all notes, also those of the dead."""

    folder: Path
    mine: InWork


class Ward:
    """What one courier knows of such copies. notes: None if nothing can be noted; then only errors of our code are counted."""

    def __init__(
        self, database: Database, reports: Reports, clock: Clock, changes: Changes, log: Log, notes: Notes | None = None
    ) -> None:
        self._database = database
        self._reports = reports
        self._clock = clock
        self._changes = changes
        self._log = log
        self._notes = notes
        self._suspects: set[bytes] = set()

    async def look_back(self) -> None:
        """At the start: what died before us had in work is counted, and what has been counted too often is set aside. Raises StoreError."""
        if self._notes is not None:
            with left(self._notes.folder, poison.COPIES) as found:
                if found:
                    keys, now = [each.key for each in found], self._clock.now()
                    await self._database.write(lambda tx: [poison.count(tx, poison.COPIES, key, now, "") for key in keys])
        for each in await self._database.read(lambda tx: poison.known(tx, poison.COPIES)):
            if each.times < TIMES:
                self._suspects.add(each.key)
            else:
                why = each.about or f"the process that had it in work died {each.times} times"
                await self.set_aside(each.key, why)
        if self._suspects:
            self._log("suspects", level="warning", copies=len(self._suspects))

    def suspects(self, batch: Batch) -> bool:
        """Whether it is to be tried alone."""
        return bool(self._suspects) and _key(batch) in self._suspects

    def begin(self, batch: Batch) -> int:
        """It is in work from now on; the number for end()."""
        return self._notes.mine.begin(_key(batch)) if self._notes is not None else -1

    def end(self, number: int) -> None:
        """It is no longer."""
        if self._notes is not None:
            self._notes.mine.end(number)

    async def survived(self, batch: Batch) -> None:
        """An attempt came to its end, whatever it brought: a suspect is none any more. Raises StoreError."""
        key = _key(batch)
        if key in self._suspects:
            await self._database.write(lambda tx: poison.forget(tx, poison.COPIES, key))
            self._suspects.discard(key)

    async def broke(self, batch: Batch, error: Exception, due_at: Callable[[int], Millis]) -> None:
        """Our own code raised before they were handed over: try again at due_at(times); the third time, set aside. Raises StoreError."""
        key, now, because = _key(batch), self._clock.now(), _because(error)
        self._log("message-breaks-code", level="error", message=id_text(batch.envelope.id), next_hop=batch.next_hop, error=error)

        def work(tx: Tx) -> int:
            times = poison.count(tx, poison.COPIES, key, now, because)
            if times < TIMES:
                at = due_at(times)
                steps: list[journey.Step] = []
                for each in batch.deliveries:
                    if queue.again(tx, batch, each.id, at, because):
                        steps.append(journey.Deferred(now, format_path(each.recipient.path), because, at))
                journeys.add_steps(tx, batch.envelope.id, steps)
            return times

        if await self._database.write(work) >= TIMES:
            await self.set_aside(key, f"{because} ({TIMES} times)")
        else:
            self._suspects.add(key)

    async def broke_after(self, batch: Batch, error: Exception) -> None:
        """The same when they may have been handed over: nobody tries that again unasked. Raises StoreError."""
        await self.set_aside(_key(batch), f"{_because(error)} (after the attempt: the host may have it)")

    async def set_aside(self, key: bytes, because: str) -> None:
        """Hold the copies of a key, and tell the postmaster. Raises StoreError, and then nothing has changed."""
        copies = await self._database.read(lambda tx: poison.copies(tx, key))
        told = await self._message(copies, because) if copies and not await self._is_ours(copies[0].envelope) else None
        now = self._clock.now()

        def work(tx: Tx) -> tuple[AccountId, ...]:
            return told(tx) if poison.set_aside(tx, key, because, now) and told is not None else ()

        touched = await self._database.write(work)
        self._suspects.discard(key)
        for each in copies:
            self._log("message-set-aside", level="error", message=id_text(each.envelope), recipient=each.recipient, because=because)
        for account in touched:
            self._changes.poke(account)

    async def _message(self, copies: list[Waiting], because: str) -> Callable[[Tx], tuple[AccountId, ...]] | None:
        first = copies[0]
        recipients = "\n".join(f"  {each.recipient}" for each in copies[:100])
        return await self._reports.to_postmaster(
            "report.set-aside-subject",
            "report.set-aside",
            id=id_text(first.envelope),
            sender=first.sender,
            next_hop=first.next_hop,
            recipients=recipients,
            reason=because,
        )

    async def _is_ours(self, envelope: EnvelopeId) -> bool:
        """A message of this house about another one: telling of it could go on for ever."""
        found = await self._database.read(lambda tx: queue.envelope(tx, envelope))
        return found is not None and found.peer.listener == "house"


def _key(batch: Batch) -> bytes:
    return poison.copies_key(batch.envelope.id, batch.next_hop)


def _because(error: Exception) -> str:
    return f"our own code failed on it: {type(error).__name__}: {error}"[:_CHARACTERS]

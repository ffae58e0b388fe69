"""Carries the queue out: leases what is due, hands it over, records what became of it.

Each next hop has a few lanes; a lane hands one message after another over the same connection. What an attempt brought is one
transaction: the state of each copy, the journey, and the report to the sender where one is due (house.md §7, Q4, Q5). A lane
that dies leaves its lease, and after that the copies are due again (Q3).
Source: RFC 5321 §4.5.4.1; house.md §6 (B5 … B9), §11; reliability.md rows OU-26, OU-27, OU-28, OU-38.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ekiden.base import failpoints, measures
from ekiden.base.clock import Millis, Timer
from ekiden.base.errors import Damaged, StoreError
from ekiden.base.ids import AccountId, BlobId, id_text
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, format_path
from ekiden.services import ages
from ekiden.services.ages import Ages
from ekiden.services.attempt import Attempted, Attempts, Outcome
from ekiden.services.bounce import Report, Reports, Telling
from ekiden.services.conversation import Conversation
from ekiden.services.schedule import Schedule, gives_up_at, longest_wait_ms, next_try, wants_delay_notice
from ekiden.services.ward import Notes, Ward
from ekiden.smtp.replies import Reply
from ekiden.store import damage, journeys, messages, queue
from ekiden.store.blob import BlobStore
from ekiden.store.changes import QUEUE, Changes
from ekiden.store.database import Conflict, Database, Tx
from ekiden.store.messages import Sendable
from ekiden.store.queue import Batch, Status

_LOOK_WHILE_BUSY_S = 1.0
_FOR_ANOTHER_LANE = 4  # so many batches wait before a next hop gets one more connection
_SPARE_S = 60  # of a lease, for recording what an attempt brought
_RECORD_TRIES = 10
_RECORD_PAUSE_S = 1.0
_SET_BACK_MS = 60_000  # less is what clocks do when they are kept right
_STILL_S = 120.0
"""So long after the wall clock was set back, attempts may still record times that they have reckoned before."""
_HEADER_BYTES = 262_144
_NEXT_SUSPECT_S = 10.0
"""A process that lives so long after an attempt has begun is not going to die of it at once: the next suspect may begin."""
_CUT_OFF = "451 4.4.2 the process that had it in hand has ended (ambiguous: the host may have it)"

Log = Callable[..., None]


@dataclass(frozen=True, slots=True)
class CourierSettings:
    """owner: names this process in leases. lease_s: made longer than an attempt where it is not.

    lanes: at the same time, in all; lanes_per_hop: for one next hop. former: who is known to be gone and leaves leases.
    boot: which start of the machine this is, "" if unknown.
    """

    owner: str
    schedule: Schedule = field(default_factory=Schedule)
    lease_s: int = 2100
    attempt_s: int = 1800
    lanes: int = 100
    lanes_per_hop: int = 5
    former: tuple[str, ...] = ()
    boot: str = ""


@dataclass(slots=True)
class _Hop:
    """What waits for one next hop, and how many lanes it has."""

    waiting: deque[Batch] = field(default_factory=deque)
    lanes: int = 0


class _LeaseLost(Exception):
    """Somebody else has taken the copies, or a person has dropped them: nothing is recorded."""


class Courier:
    """The courier of one process: run() it as a task; wake() it after each commit into the queue; stop() it in the end."""

    def __init__(
        self,
        settings: CourierSettings,
        database: Database,
        blobs: BlobStore,
        attempts: Attempts,
        reports: Reports,
        clock: Timer,
        changes: Changes,
        log: Log,
        *,
        chance: Callable[[], float] = random.random,
        notes: Notes | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._blobs = blobs
        self._attempts = attempts
        self._reports = reports
        self._clock = clock
        self._changes = changes
        self._log = log
        self._chance = chance
        self._ages = Ages(clock, settings.boot)  # until run() has read how it goes on
        self._counts_time = False
        self._ward = Ward(database, reports, clock, changes, log, notes)
        self._suspects: deque[Batch] = deque()
        self._one_by_one: asyncio.Task[None] | None = None
        self._lease_ms = 1000 * max(settings.lease_s, settings.attempt_s + _SPARE_S)
        self._hops: dict[str, _Hop] = {}
        self._lanes: set[asyncio.Task[None]] = set()
        self._busy_lanes = 0
        self._woken = asyncio.Event()
        self._stopping = False
        self._ended: asyncio.Event | None = None  # while run() runs
        self._has_more = False
        self._wall_ahead: float | None = None  # of monotonic time, in milliseconds; None: waits have not been looked at yet
        self._shortens_until = 0.0

    def wake(self) -> None:
        """Something may be due."""
        self._woken.set()

    def _hear(self, account: AccountId) -> None:
        if account == QUEUE:
            self.wake()

    async def run(self) -> None:
        """Work until stop() or cancellation. Raises StoreError only if the store fails at the start."""
        self._ended = asyncio.Event()
        gone = {self._settings.owner, *self._settings.former}
        try:
            self._ages = await ages.begin(self._database, self._clock, self._settings.boot)
            self._counts_time = True
            await self._database.write(lambda tx: _forget_leases(tx, gone, self._clock.now()))
            await self._ward.look_back()
            self._changes.on_poke(self._hear)
            while not self._stopping:
                self._woken.clear()
                try:
                    while await self._lease() and self._has_more and not self._stopping:
                        continue
                except StoreError as error:
                    self._log("queue-unreadable", level="error", error=error)
                    await asyncio.sleep(_RECORD_PAUSE_S)
                await self._rest()
        finally:
            self._ended.set()
            if not self._stopping:  # cancelled: nobody will wait for the lanes
                for lane in self._lanes:
                    lane.cancel()

    async def beat(self) -> None:
        """Write down how old what waits is, now and then, until cancelled: beside run()."""
        while True:
            await self._clock.sleep_until(Millis(self._clock.now() + ages.BEAT_MS))
            await self._beat()

    async def _beat(self) -> None:
        if self._counts_time:
            await ages.beat(self._ages, self._database, self._log)
            if self._is_set_back(self._clock.now()):
                self.wake()

    async def stop(self, grace_s: float = 10.0) -> None:
        """Take nothing new, give running attempts grace_s to end, then drop them; their leases run out."""
        self._stopping = True
        self._woken.set()
        untried = [*self._suspects, *(batch for hop in self._hops.values() for batch in hop.waiting)]
        self._suspects.clear()
        for hop in self._hops.values():
            hop.waiting.clear()
        await self._give_back(untried)
        if self._lanes:
            await asyncio.wait(self._lanes, timeout=grace_s)
        for lane in list(self._lanes):
            lane.cancel()
        if self._lanes:
            await asyncio.wait(self._lanes, timeout=1.0)
        await self._beat()
        if self._ended is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._ended.wait()

    async def _give_back(self, batches: Sequence[Batch]) -> None:
        """End leases of what was not tried; where the store fails they run out, or are forgotten at the next start."""

        def work(tx: Tx) -> None:
            for batch in batches:
                queue.release_lease(tx, batch)

        if batches:
            with suppress(StoreError):
                await self._database.write(work)

    # ---- what is due ---------------------------------------------------------------------------------

    async def _lease(self) -> int:
        """Take what is due, as far as there is room; how many batches."""
        settings = self._settings
        room = 2 * settings.lanes - sum(len(hop.waiting) for hop in self._hops.values()) - len(self._suspects)
        busy = [name for name, hop in self._hops.items() if len(hop.waiting) >= settings.lanes_per_hop]
        self._has_more = bool(busy) or room <= 0
        if room <= 0:
            return 0
        now = self._clock.now()
        await self._shorten_waits(now)
        steady = self._ages.now()
        until = Millis(steady + self._lease_ms)
        per_hop = 4 * settings.lanes_per_hop
        batches = await self._database.write(
            lambda tx: queue.lease_due(
                tx, owner=settings.owner, now=now, until=until, count=room, busy=busy, per_hop=per_hop, steady=steady
            )
        )
        if self._stopping:
            await self._give_back(batches)
            return 0
        if failpoints.armed and batches:
            failpoints.hit("K12")
        per_name: dict[str, int] = {}
        for batch in batches:
            if self._ward.suspects(batch):
                self._suspects.append(batch)
                continue
            self._hops.setdefault(batch.next_hop, _Hop()).waiting.append(batch)
            per_name[batch.next_hop] = per_name.get(batch.next_hop, 0) + 1
        if len(batches) == room or per_hop in per_name.values():
            self._has_more = True
        if self._suspects and (self._one_by_one is None or self._one_by_one.done()):
            self._one_by_one = self._begin_lane(self._try_suspects())
        self._open_lanes()
        return len(batches)

    async def _shorten_waits(self, now: Millis) -> None:
        """At the start, and for a while when the wall clock has been set back: nothing waits longer than the schedule says (C7)."""
        if self._is_set_back(now):
            self._shortens_until = self._clock.monotonic() + _STILL_S
        if self._wall_ahead is None or self._clock.monotonic() < self._shortens_until:
            latest = Millis(now + longest_wait_ms(self._settings.schedule))
            if shortened := await self._database.write(lambda tx: queue.not_later(tx, latest)):
                self._log("waits-shortened", level="warning", copies=shortened)
        self._wall_ahead = now - 1000 * self._clock.monotonic()

    def _is_set_back(self, now: Millis) -> bool:
        """The wall clock, since waits have been looked at."""
        return self._wall_ahead is not None and now - 1000 * self._clock.monotonic() < self._wall_ahead - _SET_BACK_MS

    def _open_lanes(self) -> None:
        settings = self._settings
        for name, hop in list(self._hops.items()):
            wanted = min(settings.lanes_per_hop, -(-len(hop.waiting) // _FOR_ANOTHER_LANE))
            while hop.lanes < wanted and self._busy_lanes < settings.lanes:
                hop.lanes += 1
                self._busy_lanes += 1
                self._begin_lane(self._lane(name, hop))

    def _begin_lane(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        lane = asyncio.get_running_loop().create_task(work)
        self._lanes.add(lane)
        lane.add_done_callback(self._lane_ended)
        return lane

    async def _try_suspects(self) -> None:
        """One after the other, each in a lane of its own: if the process dies, it is known of what."""
        while self._suspects and not self._stopping:
            batch = self._suspects.popleft()
            self._busy_lanes += 1
            lane = self._begin_lane(self._lane(batch.next_hop, _Hop(deque([batch]), 1)))
            await asyncio.wait({lane}, timeout=_NEXT_SUSPECT_S)

    def _lane_ended(self, lane: asyncio.Task[None]) -> None:
        self._lanes.discard(lane)
        self._woken.set()

    async def _rest(self) -> None:
        """Until somebody wakes us or the next copy is due; while lanes are busy only for a moment, by real time."""
        if self._woken.is_set():
            return
        try:
            due = await self._database.read(queue.next_due)
        except StoreError as error:
            self._log("queue-unreadable", level="error", error=error)
            due = None
        waking = asyncio.get_running_loop().create_task(self._woken.wait())
        try:
            if self._lanes:
                await asyncio.wait({waking}, timeout=_LOOK_WHILE_BUSY_S)
                return
            now = self._clock.now()
            if self._is_set_back(now):  # while we looked: then due is no moment of this clock
                return
            again = now + self._lease_ms  # by then, whoever died with a lease has lost it
            at = Millis(again if due is None else max(min(due, again), now + 1))
            sleeping = asyncio.get_running_loop().create_task(self._clock.sleep_until(at))
            try:
                await asyncio.wait({waking, sleeping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
        finally:
            waking.cancel()

    # ---- one lane ------------------------------------------------------------------------------------

    async def _lane(self, name: str, hop: _Hop) -> None:
        """One message after another to one next hop, until nothing waits."""
        conversation: Conversation | None = None
        try:
            while hop.waiting and not self._stopping:
                batch = hop.waiting.popleft()
                if self._has_more and len(hop.waiting) < self._settings.lanes_per_hop:
                    self._woken.set()
                conversation = await self._watched(batch, hop, conversation)
        except Exception as error:  # the border of one lane: its copies stay leased and are due again when the lease ends
            self._log("lane-failed", level="error", next_hop=name, error=error)
        finally:
            hop.lanes -= 1
            self._busy_lanes -= 1
            if not hop.lanes and not hop.waiting and self._hops.get(name) is hop:
                del self._hops[name]
            if not self._stopping:
                self._open_lanes()
            if conversation is not None:
                await conversation.close()

    async def _watched(self, batch: Batch, hop: _Hop, conversation: Conversation | None) -> Conversation | None:
        """As _carry(); a batch on which our own code raises ends no lane, and is not tried for ever."""
        number = self._ward.begin(batch)
        try:
            conversation = await self._carry(batch, hop, conversation)
            await self._ward.survived(batch)
        except StoreError:
            raise
        except Exception as error:  # the border of one message: the others go on, and this one is counted and in the end set aside
            if conversation is not None:
                conversation.drop("our own code failed")
                conversation = None
            waits = self._settings.schedule.waits_s
            await self._ward.broke(batch, error, lambda times: Millis(self._clock.now() + 1000 * waits[min(times, len(waits)) - 1]))
        finally:
            self._ward.end(number)
        return conversation

    async def _carry(self, batch: Batch, hop: _Hop, conversation: Conversation | None) -> Conversation | None:
        """One batch; returns the conversation if another message can go over it."""
        if batch.until - self._ages.now() < 1000 * self._settings.attempt_s:
            # It has waited here so long that the lease may end before the attempt does.
            await self._give_back([batch])
            return conversation
        try:
            sendable = await self._whole(batch)
        except Damaged as error:
            await self._park(batch, str(error))
            return conversation
        if sendable is None:
            gone = Reply(554, (5, 3, 0), ("the message is no longer here",))
            attempted = Attempted([Outcome(each, gone) for each in batch.deliveries], conversation=conversation)
        else:
            attempted = await self._attempts.attempt(batch, sendable, conversation)
            measures.ATTEMPTS.of("reached" if attempted.reached else "unreached").value += 1
        try:
            await self._record(batch, attempted, sendable)
            if not attempted.reached:
                await self._give_up_waiting(batch, hop, attempted)
        except BaseException:
            if attempted.conversation is not None:
                attempted.conversation.drop("recording failed")
            raise
        return attempted.conversation

    async def _give_up_waiting(self, tried: Batch, hop: _Hop, attempted: Attempted) -> None:
        """No host of this next hop could be reached: what else waits for it here shares the answer, without an attempt each."""
        reply = attempted.outcomes[0].reply
        others, hop.waiting = list(hop.waiting), deque()
        for batch in others:
            try:
                sendable = await self._whole(batch)
            except Damaged as error:
                await self._park(batch, str(error))
                continue
            outcomes = [Outcome(each, reply, is_remote=attempted.outcomes[0].is_remote) for each in batch.deliveries]
            await self._record(batch, Attempted(outcomes), sendable)

    async def _whole(self, batch: Batch) -> Sendable | None:
        """The content of a batch, seen to be what was stored; None if it has been dropped. Raises Damaged, StoreError."""
        found = await self._database.read(lambda tx: messages.sendable(tx, batch.envelope.id))
        if found is not None and found.blob_id is not None:
            await asyncio.to_thread(self._blobs.verify, BlobId(found.blob_id), found.size, found.sha256)
        return found

    async def _park(self, batch: Batch, because: str) -> None:
        """Never send what is damaged, never say that it was sent, never bounce it: it is held until a person has seen to it."""
        now = self._clock.now()

        def work(tx: Tx) -> None:
            damage.note(tx, batch.envelope.id, because)
            damage.park(tx, batch, because, now)

        self._log("message-damaged", level="error", message=id_text(batch.envelope.id), because=because)
        await self._database.write(work)

    # ---- what became of it ---------------------------------------------------------------------------

    async def _record(self, batch: Batch, attempted: Attempted, sendable: Sendable | None) -> None:
        """One transaction for one batch. What was handed over must not go twice: not where our own code raises after it either."""
        try:
            await self._record_it(batch, attempted, sendable)
        except StoreError:
            raise
        except Exception as error:  # the border of one message, after its attempt
            self._log("outcome-breaks-code", level="error", message=id_text(batch.envelope.id), error=error)
            await self._ward.broke_after(batch, error)

    async def _record_it(self, batch: Batch, attempted: Attempted, sendable: Sendable | None) -> None:
        """Tried again where the store fails."""
        if failpoints.armed:
            failpoints.hit("K16")
        judged = _judge(batch, attempted, self._settings.schedule, self._clock.now(), self._chance, self._ages)
        for pause in range(_RECORD_TRIES):
            try:
                reports = await self._write_reports(batch, judged, sendable)
                touched = await self._database.write(lambda tx, reports=reports: _store(tx, batch, judged, reports))  # type: ignore[misc]
                break
            except _LeaseLost:
                measures.LEASES_LOST.of().value += 1
                self._log("lease-lost", level="warning", next_hop=batch.next_hop)
                return
            except (StoreError, Conflict) as error:  # a conflict: the id of a report was there already, and the next one is another
                self._log("outcome-not-recorded", level="error", error=error, again=pause + 1 < _RECORD_TRIES)
                if pause + 1 == _RECORD_TRIES:
                    raise
                await asyncio.sleep(_RECORD_PAUSE_S)
        _count(judged, reports)
        for account in touched:
            self._changes.poke(account)
        if any(report.is_remote for report in reports):
            self.wake()

    async def _write_reports(self, batch: Batch, judged: _Judged, sendable: Sendable | None) -> list[Report]:
        if batch.envelope.sender == NULL_PATH or not (judged.failed or judged.late):
            return []
        original = await self._header_of(sendable)
        reports = await self._reports.failed(batch.envelope, judged.failed, original)
        if judged.late:
            until = gives_up_at(self._settings.schedule, self._ages.stamp(batch.deliveries[0].queued_at), is_report=False)
            reports += await self._reports.delayed(batch.envelope, judged.late, original, until)
        return reports

    async def _header_of(self, sendable: Sendable | None) -> bytes:
        if sendable is None:
            return b""
        if sendable.content is not None:
            return sendable.prefix + sendable.content
        blob = BlobId(sendable.blob_id or "")
        with suppress(Damaged):  # a report goes out without the header of what is gone
            return sendable.prefix + await asyncio.to_thread(self._blobs.read, blob, 0, _HEADER_BYTES)
        return sendable.prefix


@dataclass(slots=True)
class _Judged:
    """What a batch's outcomes mean. changes: delivery, new status, due_at (of what waits), reply. late: the sender hears of it."""

    now: Millis
    changes: list[tuple[Outcome, Status, Millis]] = field(default_factory=list)
    failed: list[Telling] = field(default_factory=list)
    late: list[Telling] = field(default_factory=list)
    steps: list[journey.Step] = field(default_factory=list)


def _judge(
    batch: Batch, attempted: Attempted, schedule: Schedule, now: Millis, chance: Callable[[], float], ages: Ages
) -> _Judged:
    """2xx is done; 5xx has failed; all else is tried again, until it has waited too long."""
    judged = _Judged(now, steps=list(attempted.steps))
    is_report = batch.envelope.sender == NULL_PATH
    for outcome in attempted.outcomes:
        delivery, reply = outcome.delivery, outcome.reply
        recipient = format_path(delivery.recipient.path)
        if reply.is_positive:
            judged.changes.append((outcome, Status.DONE, now))
            judged.steps.append(journey.Delivered(now, recipient, outcome.host, reply.text))
            continue
        if reply.is_permanent:
            judged.changes.append((outcome, Status.FAILED, now))
            judged.failed.append(Telling(outcome))
            judged.steps.append(journey.Failed(now, recipient, reply.text))
            continue
        queued_at = ages.stamp(delivery.queued_at)
        due_at = next_try(schedule, tries=delivery.attempts + 1, queued_at=queued_at, now=now, is_report=is_report, chance=chance)
        if due_at is None:
            judged.changes.append((outcome, Status.EXPIRED, now))
            judged.failed.append(Telling(outcome, expired=True))
            judged.steps.append(journey.Failed(now, recipient, reply.text, expired=True))
            continue
        judged.changes.append((outcome, Status.DUE, due_at))
        because = reply.text + (" (ambiguous: the host may have it)" if outcome.ambiguous else "")
        judged.steps.append(journey.Deferred(now, recipient, because, due_at))
        if wants_delay_notice(schedule, queued_at=queued_at, now=now, reported_at=delivery.delay_reported_at):
            judged.late.append(Telling(outcome))
    return judged


def _forget_leases(tx: Tx, gone: Collection[str], now: Millis) -> None:
    """What a courier that is gone had in hand may have been handed over: it is due again, and its journey says why (RFC 1047)."""
    for owner in sorted(gone):
        for envelope, recipient in queue.forget_leases(tx, owner):
            journeys.add_steps(tx, envelope, [journey.Deferred(now, recipient, _CUT_OFF, now)])


_RESULTS = {Status.DONE: "delivered", Status.DUE: "deferred", Status.FAILED: "failed", Status.EXPIRED: "expired"}


def _count(judged: _Judged, reports: Sequence[Report]) -> None:
    measures.REPORTS.of().value += len(reports)
    for _, status, _ in judged.changes:
        measures.DELIVERIES.of(_RESULTS[status]).value += 1


def _store(tx: Tx, batch: Batch, judged: _Judged, reports: list[Report]) -> list[AccountId]:
    """The transaction of B8 and B9. Raises _LeaseLost, and then nothing of it is kept."""
    for outcome, status, due_at in judged.changes:
        reply = outcome.reply.text
        if status is Status.DUE:
            kept = queue.again(tx, batch, outcome.delivery.id, due_at, reply)
        else:
            kept = queue.finish(tx, batch, outcome.delivery.id, status, reply, judged.now)
        if not kept:
            raise _LeaseLost
        if failpoints.armed:
            failpoints.hit("K17")
    if judged.late:
        queue.delay_reported(tx, [telling.outcome.delivery.id for telling in judged.late], judged.now)
    touched: list[AccountId] = []
    for report in reports:
        touched += report.store(tx)
        if failpoints.armed:
            failpoints.hit("K18")
    journeys.add_steps(tx, batch.envelope.id, [*judged.steps, *(report.step for report in reports)])
    return touched

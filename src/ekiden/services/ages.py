"""How old what waits in the queue is, whatever the wall clock does.

Steady time runs as the monotonic clock does and goes on over restarts: by how much, says the last heartbeat. What the store holds is
stamped by the wall clock, so each jump of that begins an era: in it the wall clock is ahead of steady time by so much. A stamp that
fits into several eras belongs to the latest, because too young is a try more, too old a message sent back untried.
Source: reliability.md §1.3 (C7), F-60, F-61.
"""

from __future__ import annotations

from typing import NamedTuple

from ekiden.base.clock import Clock, Millis
from ekiden.base.errors import StoreError
from ekiden.policy.stage import Log
from ekiden.store import heartbeat
from ekiden.store.database import Database
from ekiden.store.heartbeat import Heartbeat

BEAT_MS = 60_000
_JUMP_MS = 5_000  # less is what clocks do when they are kept right
_LATE_MS = 2 * BEAT_MS  # a jump is noticed so late at the latest
_UNKNOWN_MS = 24 * 3_600_000
"""Of a time without the machine nobody knows how long it was but the wall clock, which may have jumped: so much of it counts at most."""
_ERAS = 100
_EVER = -(2**62)


class Era(NamedTuple):
    """From this steady time on the wall clock is ahead by so much."""

    steady: int
    ahead: int


class Ages:
    """Steady time of one courier, and ages by it. boot: names the start of the machine that monotonic() counts from, "" if unknown."""

    def __init__(self, clock: Clock, boot: str, former: Heartbeat | None = None) -> None:
        self._clock = clock
        self._boot = boot
        self._began_ms = self._monotonic_ms()
        self._steady = int(clock.now())
        self._eras = [Era(_EVER, 0)]
        if former is not None:
            self._steady = former.steady + self._without_us(former)
            self._eras = [Era(*each) for each in former.eras] or [Era(_EVER, former.wall - former.steady)]
        self.look()

    def now(self) -> Millis:
        """Steady time: never set back, never ahead of itself; at the first start of all it was the wall clock's."""
        return Millis(self._steady + self._monotonic_ms() - self._began_ms)

    def look(self) -> int:
        """See whether the wall clock has jumped; by how much since the last look, 0 if it runs as it should."""
        steady = int(self.now())
        ahead = int(self._clock.now()) - steady
        jump = ahead - self._eras[-1].ahead
        if abs(jump) <= _JUMP_MS:
            return 0
        self._eras = [*self._eras[-_ERAS + 1 :], Era(steady, ahead)]
        return jump

    def age_ms(self, stamp: Millis) -> int:
        """How long ago it was that the wall clock said so; at least 0."""
        self.look()
        now = int(self.now())
        end, over, was_before = now, None, False
        for era in reversed(self._eras):
            at = stamp - era.ahead
            if era.steady - _LATE_MS <= at <= end + _LATE_MS:
                return max(0, now - at)
            if at > end and was_before and over is None:
                over = end  # the wall clock may have jumped over that, between this era and the next one
            end, was_before = era.steady, at < era.steady
        return now - over if over is not None else 0

    def stamp(self, stamp: Millis) -> Millis:
        """The same moment by today's wall clock."""
        return Millis(self._clock.now() - self.age_ms(stamp))

    def heartbeat(self) -> Heartbeat:
        """What a successor has to know."""
        self.look()
        eras = tuple((era.steady, era.ahead) for era in self._eras)
        return Heartbeat(self._boot, self._monotonic_ms(), int(self._clock.now()), int(self.now()), eras)

    def _without_us(self, former: Heartbeat) -> int:
        """How long nobody counted: as long as the wall clock says, but no longer than it can have been."""
        passed = self._monotonic_ms() - former.monotonic
        known = passed if self._boot and self._boot == former.boot and passed >= 0 else _UNKNOWN_MS
        return min(max(int(self._clock.now()) - former.wall, 0), known)

    def _monotonic_ms(self) -> int:
        return int(self._clock.monotonic() * 1000)


async def begin(database: Database, clock: Clock, boot: str) -> Ages:
    """Go on from the last heartbeat. Raises StoreError."""
    return Ages(clock, boot, await database.read(heartbeat.last))


async def beat(ages: Ages, database: Database, log: Log) -> None:
    """Write a heartbeat; where the store fails, the next one has to do."""
    if jump := ages.look():
        log("clock-jumped", level="warning", seconds=round(jump / 1000))
    clocks = ages.heartbeat()
    try:
        await database.write(lambda tx: heartbeat.beat(tx, clocks))
    except StoreError as error:
        log("heartbeat-failed", level="warning", error=error)

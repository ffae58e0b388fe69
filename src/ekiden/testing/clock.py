"""A clock that a test moves: five days of retries in milliseconds.

    clock = FakeClock()
    clock.advance(minutes=5)                    # who slept until then wakes up when the event loop runs next
    await clock.run_for(days=5)                 # goes from one waiting sleeper to the next, in order

FakeClock is a Clock and a Timer of ekiden.base.clock. Nothing here ever waits for real time, except run_for() and
until_asleep(), which give the tasks of the test the chance to fall asleep.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from ekiden.base.clock import Millis

START = Millis(1_800_000_000_000)
"""Where a FakeClock begins unless told otherwise: 2027-01-15 08:00 UTC."""


class FakeClock:
    """A clock that stands still until it is moved.

    Example:
        clock = FakeClock()
        before = clock.now()
        clock.advance(hours=4)
        assert clock.now() - before == 4 * 3_600_000
    """

    def __init__(self, now: int = START) -> None:
        self._now = now
        self._monotonic_ms = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> Millis:
        """The wall clock, in milliseconds since 1970."""
        return Millis(self._now)

    def monotonic(self) -> float:
        """Seconds since this clock was made; jumps of the wall clock do not touch it."""
        return self._monotonic_ms / 1000

    @property
    def asleep(self) -> int:
        """How many tasks wait on this clock now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, ms: int = 0) -> None:
        """Let time pass at once; sleepers whose time has come wake up when the event loop runs next.

        What they do then happens at the new time: use run_for() where each is to wake at its own.
        """
        self._pass(_millis(days, hours, minutes, seconds, ms))

    def jump(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, ms: int = 0) -> None:
        """Set the wall clock forward or back, as an administrator would; monotonic time does not notice."""
        step = _millis(days, hours, minutes, seconds, ms)
        self._now += step
        if step < 0:  # a wait gets no longer by it (base.clock.Timer)
            self._sleepers = [(at + step, order, future) for at, order, future in self._sleepers]
        self._wake()

    async def sleep_until(self, at: Millis) -> None:
        """Wait until the clock has been moved to `at` or beyond."""
        if self._now >= at:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at, next(self._order), future))
        await future

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by so many seconds."""
        await self.sleep_until(Millis(self._now + round(seconds * 1000)))

    async def until_asleep(self, sleepers: int = 1, *, real_timeout_s: float = 5.0) -> None:
        """Return once at least so many tasks wait on this clock; raises TimeoutError after seconds of real time.

        Example: the courier has nothing left to do until its next retry:
            await clock.until_asleep()
        """
        async with asyncio.timeout(real_timeout_s):
            pause = 0.0
            while self.asleep < sleepers:
                await asyncio.sleep(pause)
                pause = min(0.002, pause + 0.0001)  # threads and sockets get real time, but not before the loop is idle

    async def run_for(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, ms: int = 0, sleepers: int = 0
    ) -> None:
        """Let time pass from one sleeper to the next, so that each wakes at its own time and may sleep again.

        sleepers: how many tasks of the test always come back to sleep on this clock; time does not go on before they do,
        whatever they have to do in between (threads, sockets). With 0 they get only a few turns of the event loop.
        """
        end = self._now + _millis(days, hours, minutes, seconds, ms)
        while True:
            await self._settle(sleepers)
            self._forget_the_cancelled()
            if not self._sleepers or self._sleepers[0][0] > end:
                break
            self._pass(self._sleepers[0][0] - self._now)
        self._pass(end - self._now)
        await self._settle(sleepers)

    async def _settle(self, sleepers: int) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        if sleepers:
            await self.until_asleep(sleepers)

    def _pass(self, ms: int) -> None:
        if ms < 0:
            raise ValueError("time does not run back; jump() moves the wall clock")
        self._now += ms
        self._monotonic_ms += ms
        self._wake()

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def _forget_the_cancelled(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)


def _millis(days: float, hours: float, minutes: float, seconds: float, ms: int) -> int:
    return ms + round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)

"""The real clock."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from ekiden.base.clock import Millis

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Names the start of the machine that SystemClock.monotonic() counts from; "" where the system does not say."""
    with suppress(OSError):
        return _BOOT.read_text("ascii").strip()
    return ""


class SystemClock:
    """The machine's clocks, and sleep by them (base.clock.Clock and Timer)."""

    def now(self) -> Millis:
        """The wall clock."""
        return Millis(time.time_ns() // 1_000_000)

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    async def sleep_until(self, at: Millis) -> None:
        """Return when the wall clock is at or past at; a jump forward is noticed within a minute, one back adds nothing."""
        end = self.monotonic() + (at - self.now()) / 1000
        while (left := min((at - self.now()) / 1000, end - self.monotonic())) > 0:  # noqa: ASYNC110  # a clock sends no event when it jumps
            await asyncio.sleep(min(left, 60.0))

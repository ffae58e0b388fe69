"""The real clock."""

from __future__ import annotations

import asyncio
import time

from ekiden.app.clock import SystemClock
from ekiden.base.clock import Millis


def test_it_tells_the_time_and_sleeps_until_it() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time() * 1000) < 1000
    before = clock.now()
    asyncio.run(clock.sleep_until(Millis(before + 30)))
    assert clock.now() >= before + 30
    asyncio.run(clock.sleep_until(Millis(0)))

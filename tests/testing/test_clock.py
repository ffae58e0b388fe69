"""The clock of the tests."""

from __future__ import annotations

import asyncio

import pytest

from ekiden.base.clock import Clock, Millis, Timer
from ekiden.testing.clock import START, FakeClock


def test_a_fake_clock_is_a_clock_and_a_timer() -> None:
    clock: Clock = FakeClock()
    timer: Timer = FakeClock()
    assert clock.now() == timer.now() == START
    assert clock.monotonic() == 0.0


def test_time_passes_only_when_told() -> None:
    clock = FakeClock(now=1_000)
    clock.advance(days=1, hours=1, minutes=1, seconds=1.5, ms=1)
    assert clock.now() == 1_000 + 86_400_000 + 3_600_000 + 60_000 + 1_501
    assert clock.monotonic() == 90_061.501


def test_the_wall_clock_can_jump_back_alone() -> None:
    clock = FakeClock()
    clock.jump(hours=-1)
    assert clock.now() == START - 3_600_000
    assert clock.monotonic() == 0.0


def test_time_does_not_run_back() -> None:
    with pytest.raises(ValueError, match="jump"):
        FakeClock().advance(ms=-1)


def test_sleepers_wake_each_at_its_own_time_and_may_sleep_again() -> None:
    clock = FakeClock(now=0)
    seen: list[tuple[str, int]] = []

    async def retry(name: str, waits: list[int]) -> None:
        for wait in waits:
            await clock.sleep(wait)
            seen.append((name, clock.now()))

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(retry("a", [5, 10, 20]))
            group.create_task(retry("b", [7, 1]))
            await clock.run_for(minutes=1)
        assert clock.now() == 60_000

    asyncio.run(story())
    assert seen == [("a", 5_000), ("b", 7_000), ("b", 8_000), ("a", 15_000), ("a", 35_000)]


def test_a_time_that_has_come_already_does_not_wait() -> None:
    async def story() -> None:
        clock = FakeClock()
        async with asyncio.timeout(1):
            await clock.sleep_until(Millis(START - 1))
            await clock.sleep_until(START)

    asyncio.run(story())


def test_a_cancelled_sleeper_is_forgotten() -> None:
    async def story() -> None:
        clock = FakeClock()
        task = asyncio.create_task(clock.sleep(10))
        await clock.until_asleep()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert clock.asleep == 0
        await clock.run_for(seconds=20)

    asyncio.run(story())


def test_time_waits_for_work_that_threads_do() -> None:
    clock = FakeClock(now=0)
    seen: list[int] = []

    async def courier() -> None:
        for _ in range(3):
            await clock.sleep(60)
            await asyncio.to_thread(lambda: None)
            seen.append(clock.now())

    async def story() -> None:
        task = asyncio.create_task(courier())
        await clock.run_for(minutes=2.5, sleepers=1)
        clock.advance(minutes=1)
        await task

    asyncio.run(story())
    assert seen == [60_000, 120_000, 210_000]


def test_waiting_for_a_sleeper_that_never_comes_ends() -> None:
    async def story() -> None:
        with pytest.raises(TimeoutError):
            await FakeClock().until_asleep(real_timeout_s=0.02)

    asyncio.run(story())

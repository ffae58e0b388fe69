"""Clocks that jump: nothing is given up, nothing freezes, ids stay unique.

Source: reliability.md §1.3 (C7), F-60, F-61, F-63.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.services.test_courier import Post, with_courier

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId, IdMaker
from ekiden.services.schedule import Schedule, longest_wait_ms
from ekiden.store import queue
from ekiden.testing.clock import START, FakeClock
from ekiden.testing.peers import HANG, ScriptedHost

JUMPS_DAYS = (1, 365, -1, -365, -20_833, 4023)
"""A day, a year, both ways, near 1970, to January 2038."""
ID = 7 << 50
"""Of the message that waits: none that is made near 1970 gets this one."""


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_a_jump_while_mail_waits_neither_gives_up_nor_freezes(tmp_path: Path, days: int) -> None:
    async def work(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        (before,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(ID)))
        assert (before.status, before.attempts) == ("due", 1)
        post.clock.jump(days=days)
        await post.settle()
        await post.clock.run_for(hours=5, sleepers=1)
        (after,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(ID)))
        assert after.status == "due"
        assert after.attempts >= 2
        assert after.attempts <= 9
        assert {report.recipients[0].action for report in await post.reports()} <= {"delayed"}, "it has waited for five hours"

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, work)


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_after_the_jump_the_lifetime_is_as_long_as_ever(tmp_path: Path, days: int) -> None:
    """Neither shorter, nor for ever: what waits is given up after five days of real time, and its sender hears of the delay in time.

    Where the wall clock comes through the same days a second time, what waits is as young as it can be by that.
    """

    async def work(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        post.clock.jump(days=days)
        await post.clock.run_for(hours=4 * 24, sleepers=1)
        assert await post.statuses(ID) == ["due"]
        assert [report.recipients[0].action for report in await post.reports()] == ["delayed"]
        await post.clock.run_for(hours=60 if days == -1 else 36, sleepers=1)
        assert await post.statuses(ID) == ["expired"]

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, work)


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_a_jump_while_the_server_is_stopped_gives_nothing_up(tmp_path: Path, days: int) -> None:
    async def before(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        await post.clock.run_for(hours=5, sleepers=1)

    async def after(post: Post) -> None:
        await post.settle()
        await post.clock.run_for(hours=4 * 24 - 5 - 24, sleepers=1)  # a day may have passed meanwhile
        assert await post.statuses(ID) == ["due"]
        await post.clock.run_for(hours=84 if days == -1 else 60, sleepers=1)
        assert await post.statuses(ID) == ["expired"]

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, before)
    with_courier(tmp_path, port, after, now=START + 5 * 3_600_000 + days * 86_400_000)


@pytest.mark.parametrize("days", [1, 365])
def test_a_jump_ahead_does_not_take_the_lease_of_a_running_attempt(tmp_path: Path, days: int) -> None:
    """What is being handed over must not be handed over a second time at the same moment."""

    async def work(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        async with asyncio.timeout(5):
            while not host.connections:  # noqa: ASYNC110  # a host lives in threads
                await asyncio.sleep(0.001)
        post.clock.jump(days=days)
        for _ in range(20):
            post.courier.wake()
            await asyncio.sleep(0.005)
        assert host.connections == 1
        (copy,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(ID)))
        assert copy.leased_until
        await post.settle()

    with ScriptedHost(says={"banner": HANG}) as host:
        with_courier(tmp_path, host.port, work, patience_s=1.0)
        assert host.connections == 1


def test_mail_that_a_person_dropped_during_an_attempt_stays_dropped(tmp_path: Path) -> None:
    async def work(post: Post) -> None:
        await post.courier.stop()
        await post.post("x@remote.test")
        now = post.clock.now()
        until = Millis(now + 60_000)
        (batch,) = await post.database.write(lambda tx: queue.lease_due(tx, owner="me", now=now, until=until, count=9))
        number = batch.deliveries[0].id
        await post.database.write(lambda tx: queue.drop(tx, EnvelopeId(1), now, "by hand"))
        assert not await post.database.write(lambda tx: queue.again(tx, batch, number, until, "later"))
        assert not await post.database.write(lambda tx: queue.finish(tx, batch, number, queue.Status.DONE, "250", now))
        (after,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(1)))
        assert (after.status, after.reply) == ("failed", "by hand")

    with_courier(tmp_path, 9, work)


def test_a_clock_that_is_set_back_makes_no_wait_longer() -> None:
    async def main() -> None:
        clock = FakeClock()
        sleeping = asyncio.create_task(clock.sleep_until(Millis(clock.now() + 60_000)))
        await clock.until_asleep()
        clock.jump(days=-365)
        clock.advance(seconds=60)
        async with asyncio.timeout(5):
            await sleeping

    asyncio.run(main())


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_ids_are_unique_and_grow_over_a_jump(days: int) -> None:
    clock = FakeClock()
    maker = IdMaker(clock)
    made = [maker.envelope_id() for _ in range(100)]
    clock.jump(days=days)
    made += [maker.envelope_id() for _ in range(100)]
    assert made == sorted(set(made))


def test_the_longest_wait_has_its_jitter() -> None:
    assert longest_wait_ms(Schedule(waits_s=(60, 100), jitter=0.1)) == 110_000

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
from ekiden.testing.clock import FakeClock
from ekiden.testing.peers import ScriptedHost

JUMPS_DAYS = (1, 365, -1, -365, -20_833, 4023)
"""A day, a year, both ways, near 1970, to January 2038."""


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_a_jump_while_mail_waits_neither_gives_up_nor_freezes(tmp_path: Path, days: int) -> None:
    async def work(post: Post) -> None:
        await post.post("x@remote.test")
        await post.settle()
        (before,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(1)))
        assert (before.status, before.attempts) == ("due", 1)
        post.clock.jump(days=days)
        await post.settle()
        await post.clock.run_for(hours=5, sleepers=1)
        (after,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(1)))
        assert after.status == "due"
        assert after.attempts >= 2
        assert after.attempts <= 9
        assert await post.reports() == [] or days > 0

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, work)


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

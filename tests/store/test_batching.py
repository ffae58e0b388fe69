"""Functions that wait for a thread, and how they get their answers."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ekiden.base.errors import StoreError
from ekiden.store.batching import Crew, Job


def _echo(jobs: list[Job[str]]) -> None:
    for job in jobs:
        job.result = job.work.upper()


def test_each_caller_gets_its_own_answer() -> None:
    async def main() -> list[object]:
        crew = Crew("test", _echo, most=10)
        try:
            return list(await asyncio.gather(*(crew.do(word) for word in ("a", "b", "c"))))
        finally:
            crew.close()

    assert asyncio.run(main()) == ["A", "B", "C"]


def test_what_comes_while_the_thread_is_busy_is_one_batch_of_bounded_size() -> None:
    sizes: list[int] = []
    begun, released = threading.Event(), threading.Event()

    def serve(jobs: list[Job[str]]) -> None:
        sizes.append(len(jobs))
        begun.set()
        released.wait(20)

    async def main() -> None:
        crew = Crew("test", serve, most=5)
        first = asyncio.create_task(crew.do("first"))
        await asyncio.to_thread(begun.wait, 20)
        others = [asyncio.create_task(crew.do("other")) for _ in range(7)]
        await asyncio.sleep(0)
        released.set()
        await asyncio.gather(first, *others)
        crew.close()

    asyncio.run(main())
    assert sizes == [1, 5, 2]


def test_an_error_goes_to_its_caller() -> None:
    def serve(jobs: list[Job[str]]) -> None:
        for job in jobs:
            job.error = StoreError(job.work)

    async def main() -> None:
        crew = Crew("test", serve)
        with pytest.raises(StoreError, match="mine"):
            await crew.do("mine")
        crew.close()

    asyncio.run(main())


def test_what_comes_after_an_answer_is_done_when_nobody_waits() -> None:
    order: list[str] = []

    def serve(jobs: list[Job[str]]) -> None:
        order.append("serve")

    async def main() -> None:
        crew = Crew("test", serve, after=lambda: order.append("after"))
        await crew.do("x")
        crew.close()

    asyncio.run(main())
    assert order == ["serve", "after"]


def test_riders_do_not_wake_the_thread_and_are_not_lost_at_the_end() -> None:
    served: list[list[str]] = []

    def serve(jobs: list[Job[str]]) -> None:
        served.append([job.work for job in jobs])

    async def main() -> None:
        crew = Crew("test", serve, most=10)
        crew.ride_along("rider")
        await crew.do("x")
        crew.ride_along("last")
        crew.close()

    asyncio.run(main())
    assert served == [["x", "rider"], ["last"]]


def test_many_riders_wake_the_thread_and_come_in_bounded_batches() -> None:
    sizes: list[int] = []
    all_there = threading.Event()

    def serve(jobs: list[Job[str]]) -> None:
        sizes.append(len(jobs))
        if sum(sizes) >= 200:
            all_there.set()

    crew = Crew("test", serve, most=10)
    for _ in range(450):
        crew.ride_along("rider")
    assert all_there.wait(20)
    crew.close()
    assert sum(sizes) == 450
    assert max(sizes) <= 200


def test_an_event_loop_that_is_gone_does_not_stop_the_thread() -> None:
    begun, released = threading.Event(), threading.Event()

    def serve(jobs: list[Job[str]]) -> None:
        if jobs[0].work == "slow":
            begun.set()
            released.wait(20)

    crew = Crew("test", serve)

    async def leave() -> None:
        task = asyncio.create_task(crew.do("slow"))
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()

    asyncio.run(leave())
    released.set()
    asyncio.run(_do(crew))
    crew.close()


async def _do(crew: Crew[str]) -> None:
    await crew.do("again")


def test_a_closed_crew_takes_nothing() -> None:
    async def main() -> None:
        crew = Crew("test", _echo)
        crew.close()
        with pytest.raises(StoreError):
            await crew.do("x")

    asyncio.run(main())


def test_a_thread_does_not_die_of_what_it_does() -> None:
    def serve(jobs: list[Job[str]]) -> None:
        if jobs[0].work == "bad":
            raise RuntimeError("a bug")
        _echo(jobs)

    def after() -> None:
        raise RuntimeError("another bug")

    async def main() -> object:
        crew = Crew("test", serve, after=after)
        with pytest.raises(StoreError, match="a bug"):
            await crew.do("bad")
        try:
            return await crew.do("good")
        finally:
            crew.close()

    assert asyncio.run(main()) == "GOOD"

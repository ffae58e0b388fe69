"""Content while it comes in: memory, then a file, and nothing left of what was not wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pytest

from ekiden.base.errors import StorageFull
from ekiden.services.intake import INLINE_BYTES, Intakes, Room
from ekiden.store.blobs.files import FileBlobs

T = TypeVar("T")


def _with_intakes(folder: Path, work: Callable[[Intakes], Awaitable[T]]) -> tuple[T, list[Path]]:
    async def main() -> T:
        return await work(Intakes(FileBlobs(folder / "blobs")))

    result = asyncio.run(main())
    return result, [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, 4096, 20_000, INLINE_BYTES, INLINE_BYTES + 1, 3 * 1024 * 1024])
def test_small_content_stays_in_memory_and_large_content_becomes_a_file(tmp_path: Path, size: int) -> None:
    raw = bytes(range(256)) * (size // 256 + 1)
    raw = raw[:size]

    async def work(intakes: Intakes) -> None:
        intake = intakes.begin()
        for at in range(0, size, 100_000):
            await intake.add(raw[at : at + 100_000])
        assert await intake.read_back() == raw
        stored = await intake.finish()
        assert (stored.blob.size, stored.blob.sha256) == (size, sha256(raw).digest())
        assert (stored.inline is None) == (size > INLINE_BYTES)
        intake.kept()
        await intake.discard()

    _, files = _with_intakes(tmp_path, work)
    assert [path.read_bytes() for path in files] == ([raw] if size > INLINE_BYTES else [])


def test_what_is_discarded_leaves_no_file(tmp_path: Path) -> None:
    async def work(intakes: Intakes) -> None:
        for finished in (False, True):
            intake = intakes.begin()
            await intake.add(b"x" * 2_000_000)
            if finished:
                await intake.finish()
            await intake.discard()
            await intake.discard()

    assert _with_intakes(tmp_path, work)[1] == []


def test_content_can_be_replaced(tmp_path: Path) -> None:
    async def work(intakes: Intakes) -> bytes | None:
        intake = intakes.begin()
        await intake.add(b"x" * 2_000_000)
        other = await intake.replaced_by(b"short")
        return (await other.finish()).inline

    assert _with_intakes(tmp_path, work) == (b"short", [])


def test_what_all_messages_hold_is_counted_and_given_back(tmp_path: Path) -> None:
    async def main() -> None:
        room = Room(10_000_000)
        intakes = Intakes(FileBlobs(tmp_path), room)
        small, large = intakes.begin(), intakes.begin()
        await small.add(b"x" * 1000)
        await large.add(b"y" * 700_000)
        assert room.held == 701_000
        await large.add(b"y" * 700_000)
        assert room.held == 1000
        assert len(await large.read_back()) == 1_400_000
        assert room.held == 2_801_000
        await small.discard()
        await large.discard()
        assert room.held == 0

    asyncio.run(main())


def test_whole_messages_wait_for_one_another_in_their_order(tmp_path: Path) -> None:
    async def main() -> None:
        room = Room(3_000_000)
        intakes = Intakes(FileBlobs(tmp_path), room)
        all_of_them = [intakes.begin() for _ in range(6)]
        for intake in all_of_them:
            await intake.add(b"x" * 1_100_000)
        most: list[int] = []
        order: list[int] = []

        async def read(number: int) -> None:
            intake = all_of_them[number]
            await intake.read_back()
            order.append(number)
            most.append(room.held)
            await asyncio.sleep(0)
            await intake.finish()
            await intake.discard()

        await asyncio.gather(*(read(number) for number in range(6)))
        assert max(most) <= 3_000_000
        assert order == sorted(order)
        assert room.held == 0

    asyncio.run(main())


def test_a_message_larger_than_the_room_has_it_alone(tmp_path: Path) -> None:
    async def main() -> None:
        room = Room(1_000_000)
        intake = Intakes(FileBlobs(tmp_path), room).begin()
        await intake.add(b"x" * 3_000_000)
        assert len(await intake.read_back()) == 3_000_000
        await intake.discard()
        assert room.held == 0

    asyncio.run(main())


def test_who_waits_too_long_for_room_is_told_so_and_keeps_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        room = Room(3_000_000, wait_s=0.05)
        intakes = Intakes(FileBlobs(tmp_path), room)
        first, second, third = (intakes.begin() for _ in range(3))
        for intake in (first, second, third):
            await intake.add(b"x" * 1_200_000)
        await first.read_back()
        with pytest.raises(StorageFull):
            await second.read_back()
        waiting = asyncio.create_task(third.read_back())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for intake in (first, second, third):
            await intake.discard()
        assert room.held == 0
        again = intakes.begin()
        await again.add(b"x" * 1_200_000)
        assert len(await again.read_back()) == 1_200_000
        await again.discard()

    asyncio.run(main())


def test_where_room_is_tight_large_ones_go_to_their_files_and_small_ones_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        room = Room(1_000_000)
        intakes = Intakes(FileBlobs(tmp_path), room)
        holding = [intakes.begin() for _ in range(4)]
        for intake in holding:
            await intake.add(b"x" * 230_000)
        large = intakes.begin()
        await large.add(b"y" * 300_000)
        assert room.held == 920_000
        small = intakes.begin()
        with pytest.raises(StorageFull):
            await small.add(b"x" * 200_000)
        for intake in (*holding, large, small):
            await intake.discard()
        assert room.held == 0

    asyncio.run(main())


def test_there_are_so_many_files_of_large_messages_and_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        room = Room(files=1)
        intakes = Intakes(FileBlobs(tmp_path), room)
        first, second = intakes.begin(), intakes.begin()
        await first.add(b"x" * 1_200_000)
        with pytest.raises(StorageFull):
            await second.add(b"x" * 1_200_000)
        await second.discard()
        await first.discard()
        assert (room.files, room.held) == (1, 0)

    asyncio.run(main())


def test_content_that_is_finished_needs_no_room(tmp_path: Path) -> None:
    async def main() -> None:
        room = Room(3_000_000)
        intakes = Intakes(FileBlobs(tmp_path), room)
        kept = []
        for _ in range(3):
            intake = intakes.begin()
            await intake.add(b"x" * 1_200_000)
            await intake.read_back()
            await intake.finish()
            intake.let_go()
            kept.append(intake)
        assert room.held == 0
        for intake in kept:
            await intake.discard()
        assert room.held == 0

    asyncio.run(main())


def test_the_room_of_content_that_is_replaced_stays_taken_until_the_new_one_goes(tmp_path: Path) -> None:
    async def main() -> None:
        room = Room(9_000_000)
        intake = Intakes(FileBlobs(tmp_path), room).begin()
        await intake.add(b"x" * 1_200_000)
        raw = await intake.read_back()
        other = await intake.replaced_by(raw + b"y")
        assert room.held == 2_400_000
        await other.discard()
        await intake.discard()
        assert room.held == 0

    asyncio.run(main())

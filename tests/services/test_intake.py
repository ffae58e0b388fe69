"""Content while it comes in: memory, then a file, and nothing left of what was not wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pytest

from ekiden.services.intake import INLINE_BYTES, Intakes
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

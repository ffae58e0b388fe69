"""Pokes wake who waits, in this process and in others."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ekiden.base.ids import AccountId
from ekiden.store.changes import JUDGED, KEYS, LESSONS, QUEUE, Changes, taught_of


def test_a_poke_wakes_its_own_account_only() -> None:
    async def main() -> None:
        changes = Changes()
        one = asyncio.ensure_future(changes.wait(AccountId(1), 5))
        two = asyncio.ensure_future(changes.wait(AccountId(2), 0.05))
        await asyncio.sleep(0)
        changes.poke(AccountId(1))
        assert await one is True
        assert await two is False
        changes.close()

    asyncio.run(main())


def test_a_poke_reaches_the_other_processes_of_the_host(tmp_path: Path) -> None:
    async def main() -> None:
        here, there = Changes(tmp_path / "run", 0), Changes(tmp_path / "run", 1)
        heard: list[AccountId] = []
        there.on_poke(heard.append)
        waiting = asyncio.ensure_future(there.wait(AccountId(7), 5))
        await asyncio.sleep(0)
        here.poke(AccountId(7))
        assert await waiting is True
        assert heard == [7]
        there.close()
        here.poke(AccountId(7))  # nobody is left to hear it
        here.close()

    asyncio.run(main())


def test_a_process_that_has_just_come_is_told_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        here = Changes(tmp_path / "run", 0)
        heard: list[AccountId] = []
        here.on_poke(heard.append)
        here.poke(AccountId(7))  # now it knows who is there: nobody
        there = Changes(tmp_path / "run", 1)
        waiting = asyncio.ensure_future(there.wait(AccountId(7), 5))
        await asyncio.sleep(0.01)  # a turn of the loop in which here hears of it
        here.poke(AccountId(7))
        assert await waiting is True
        assert heard == [7, 7], "that somebody has come is no news of an account"
        there.close()
        here.close()

    asyncio.run(main())


def test_no_two_things_share_a_poke() -> None:
    accounts = [AccountId(1), AccountId(2), AccountId(1 << 39)]
    pokes = [QUEUE, JUDGED, KEYS, LESSONS, *accounts, *map(taught_of, [QUEUE, *accounts])]
    assert len(set(pokes)) == len(pokes)

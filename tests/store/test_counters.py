"""Counters over windows, and leases that one owner holds."""

from __future__ import annotations

from pathlib import Path

from tests.store.stores import NOW, in_one

from ekiden.base.clock import Millis
from ekiden.store import counters
from ekiden.store.database import Tx


def test_a_window_that_is_over_begins_anew(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert [counters.add(tx, "k", NOW, 1000) for _ in range(3)] == [1, 2, 3]
        assert counters.add(tx, "k", Millis(NOW + 1000), 1000) == 1
        assert counters.add(tx, "other", NOW, 1000, amount=5) == 5
        assert counters.forget(tx, Millis(NOW + 5000)) == 2

    in_one(tmp_path, work)


def test_a_lease_has_one_owner_until_it_ends(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        end = Millis(NOW + 1000)
        assert counters.take_lease(tx, "l", "a", NOW, end)
        assert not counters.take_lease(tx, "l", "b", NOW, end)
        assert counters.take_lease(tx, "l", "a", NOW, end)
        assert counters.take_lease(tx, "l", "b", Millis(end + 1), Millis(end + 2))
        counters.drop_lease(tx, "l", "a")
        assert not counters.take_lease(tx, "l", "a", Millis(end + 1), end)
        counters.drop_lease(tx, "l", "b")
        assert counters.take_lease(tx, "l", "a", NOW, end)

    in_one(tmp_path, work)


def test_leases_of_a_former_life_are_dropped_by_name(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        end = Millis(NOW + 1000)
        for name in ("maildrop:1", "maildrop:22", "mail", "upkeep"):
            counters.take_lease(tx, name, "a", NOW, end)
        assert counters.drop_leases(tx, "maildrop:", "maildrop;") == 2
        assert counters.take_lease(tx, "maildrop:22", "b", NOW, end)
        assert not counters.take_lease(tx, "upkeep", "b", NOW, end)

    in_one(tmp_path, work)

"""Counters over fixed windows, and named leases. Functions of a transaction."""

from __future__ import annotations

from ekiden.base.clock import Millis
from ekiden.store.columns import integer
from ekiden.store.database import Tx


def add(tx: Tx, key: str, now: Millis, window_ms: int, amount: int = 1) -> int:
    """Count, and say how much it is in the window that began with the first count."""
    return integer(tx.one("counter_add", key=key, amount=amount, now=now, ends_at=now + window_ms), 0)


def forget(tx: Tx, now: Millis) -> int:
    """Drop windows that are over; how many."""
    return tx.run("counters_forget", now=now)


def take_lease(tx: Tx, name: str, owner: str, now: Millis, until: Millis) -> bool:
    """Take or renew a lease; False if another owner holds it."""
    return tx.run("lease_take", name=name, owner=owner, now=now, until=until) == 1


def drop_leases(tx: Tx, first: str, last: str) -> int:
    """Leases of a former life: those with names from first up to, and without, last; how many."""
    return tx.run("leases_drop", first=first, last=last)


def drop_lease(tx: Tx, name: str, owner: str) -> None:
    """Give a lease back; nothing happens if it is not the owner's."""
    tx.run("lease_drop", name=name, owner=owner)

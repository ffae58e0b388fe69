"""The clocks of who carries the queue out, written down now and then, so that his successor knows how long nobody did.

Functions of a transaction. Source: reliability.md §1.3 (C7), F-61.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ekiden.store.columns import string
from ekiden.store.database import Tx


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """All in milliseconds. boot: which start of the machine monotonic belongs to, "" if unknown. steady, eras: those of services.ages."""

    boot: str
    monotonic: int
    wall: int
    steady: int
    eras: tuple[tuple[int, int], ...]


def beat(tx: Tx, clocks: Heartbeat) -> None:
    """Write it down."""
    tx.run("heartbeat_put", value=msgspec.json.encode(clocks).decode())


def last(tx: Tx) -> Heartbeat | None:
    """The last one; None if there is none, or none that this version understands."""
    row = tx.one("heartbeat_get")
    try:
        return msgspec.json.decode(string(row, 0), type=Heartbeat) if row is not None else None
    except msgspec.DecodeError:
        return None

"""Messages whose content is not what was stored: noted, kept, never delivered as if they were whole. Functions of a transaction.

Source: reliability.md §1.3 (C10), F-29.
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.mail import journey
from ekiden.mail.address import format_path
from ekiden.store import journeys
from ekiden.store.columns import string
from ekiden.store.database import Tx
from ekiden.store.queue import Batch

_PREFIX = "damaged:"


@dataclass(frozen=True, slots=True)
class Noted:
    """A message that was found damaged, and what was wrong with it."""

    message: EnvelopeId
    because: str


def note(tx: Tx, message: EnvelopeId, because: str) -> None:
    """Remember that a message is damaged; the newest reason stays."""
    tx.run("damage_note", name=f"{_PREFIX}{message:d}", value=because)


def noted(tx: Tx) -> list[Noted]:
    """Everything that is known to be damaged."""
    found = [(string(row, 0), string(row, 1)) for row in tx.all("damage_noted", first=_PREFIX, end=_PREFIX[:-1] + ";")]
    return [Noted(EnvelopeId(int(name.removeprefix(_PREFIX))), because) for name, because in found]


def forget(tx: Tx, message: EnvelopeId) -> None:
    """It is whole again, or gone."""
    tx.run("damage_forget", name=f"{_PREFIX}{message:d}")


def park(tx: Tx, batch: Batch, because: str, now: Millis) -> int:
    """Hold the copies of a batch whose content is damaged, until a person has seen to it; how many were still ours to hold."""
    held = 0
    steps: list[journey.Step] = []
    for delivery in batch.deliveries:
        if tx.run("delivery_park", id=delivery.id, reply=because, owner=batch.owner, until=batch.until):
            held += 1
            steps.append(journey.Queued(now, format_path(delivery.recipient.path), batch.next_hop, "held", because))
    if steps:
        journeys.add_steps(tx, batch.envelope.id, steps)
    return held

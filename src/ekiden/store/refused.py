"""Journeys of mail that was refused or put off when its content was there: they have no message, and a shorter life.

Functions of a transaction. What the peer sent is bounded before it comes here (services.refusals).
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.store.columns import integer, octets, string
from ekiden.store.database import Tx


@dataclass(frozen=True, slots=True)
class Refusal:
    """One message that we did not take. message_id: without <>, or "". recipients: the first ones. reply: what the peer was told."""

    id: EnvelopeId
    at: Millis
    message_id: str
    sender: str
    recipients: str
    reply: str


def keep(tx: Tx, refusal: Refusal, steps: bytes) -> None:
    """Write one down. steps: mail.journey.encode_steps. Raises Conflict for an id that is there already."""
    tx.run(
        "refused_insert",
        id=refusal.id,
        at=refusal.at,
        message_id=refusal.message_id,
        sender=refusal.sender,
        recipients=refusal.recipients,
        reply=refusal.reply,
        steps=steps,
    )


def steps_of(tx: Tx, message: EnvelopeId) -> bytes | None:
    """The journey of one; None if it is not known."""
    row = tx.one("refused_steps", id=message)
    return octets(row, 0) if row is not None else None


def by_message_id(tx: Tx, message_id: str, count: int) -> list[EnvelopeId]:
    """The newest first. message_id: without <>."""
    return [EnvelopeId(integer(row, 0)) for row in tx.all("refused_by_message_id", text=message_id, count=count)]


def latest(tx: Tx, text: str = "", count: int = 50) -> list[Refusal]:
    """The newest first. text: a part of sender, recipients or Message-ID; letters of ASCII are the same in both cases."""
    rows = tx.all("refused_latest", text=text.lower(), count=count)
    return [
        Refusal(
            EnvelopeId(integer(row, 0)), Millis(integer(row, 1)), string(row, 2), string(row, 3), string(row, 4), string(row, 5)
        )
        for row in rows
    ]  # fmt: skip


def forget(tx: Tx, before: Millis, most: int, count: int = 500) -> int:
    """Forget some that came before a time, or before the newest so many; how many."""
    row = tx.one("refused_beyond", most=most)
    if row is not None:
        before = Millis(max(before, integer(row, 0) + 1))
    return tx.run("refused_forget", before=before, count=count)

"""The journeys of messages: rows of steps, one a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from ekiden.base.errors import BadValue
from ekiden.base.ids import EnvelopeId, id_from_text
from ekiden.mail.journey import AnyStep, Step, decode_steps, encode_steps
from ekiden.store import refused
from ekiden.store.columns import integer, octets
from ekiden.store.database import Tx

__all__ = ["Tx", "add_steps", "begin", "find", "steps_of"]

_FOUND = 20


def begin(tx: Tx, message: EnvelopeId, steps: Sequence[Step]) -> None:
    """The first row of a new message's journey: all up to the commit. Raises Conflict if there is one already."""
    begin_all(tx, ((message, steps),))


def begin_all(tx: Tx, begun: Sequence[tuple[EnvelopeId, Sequence[Step]]]) -> None:
    """The same for many. Raises Conflict."""
    tx.insert_all("journey_begin", [(message, encode_steps(steps)) for message, steps in begun])


def add_steps(tx: Tx, message: EnvelopeId, steps: Sequence[Step]) -> None:
    """Append steps to a message's journey, as one row."""
    if steps:
        tx.run("journey_insert", message=message, steps=encode_steps(steps))


def steps_of(tx: Tx, message: EnvelopeId) -> list[AnyStep]:
    """The whole journey in order, also of what was refused; empty if nothing is known."""
    steps = [step for row in tx.all("journey_of", message=message) for step in decode_steps(octets(row, 0))]
    if not steps and (row := refused.steps_of(tx, message)) is not None:
        return decode_steps(row)
    return steps


def find(tx: Tx, text: str) -> list[EnvelopeId]:
    """Messages by our id (base.ids.id_text) or by Message-ID, with or without <>, refused ones too; the newest first, at most 20."""
    try:
        message = id_from_text(text)
    except BadValue:
        bare = text.strip().removeprefix("<").removesuffix(">")
        found = [EnvelopeId(integer(row, 0)) for row in tx.all("journey_by_message_id", text=bare, since=0, count=_FOUND)]
        return sorted([*found, *refused.by_message_id(tx, bare, _FOUND)], reverse=True)[:_FOUND]
    known = tx.one("journey_exists", message=message) is not None or refused.steps_of(tx, message) is not None
    return [message] if known else []

"""Messages that break what works on them: how often each did so, and setting them aside. Functions of a transaction.

Two kinds are counted: copies in the queue, named by envelope and next hop, and what a policy was asked about, named by a digest.
Source: reliability.md F-54, F-55; docs/adr/0007.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.mail import journey
from ekiden.store import journeys, queue
from ekiden.store.columns import string
from ekiden.store.database import Tx
from ekiden.store.queue import Waiting

COPIES, JUDGED = "copies", "judged"
"""The kinds."""
_END = "~"  # behind every digit


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one. times: how often it broke something, the last time at that time."""

    key: bytes
    times: int
    at: Millis
    about: str


class _Value(msgspec.Struct):
    times: int
    at: int
    about: str


def copies_key(envelope: EnvelopeId, next_hop: str) -> bytes:
    """What names the copies of an envelope for a next hop: 16 bytes, the first eight of which are the envelope's id."""
    return envelope.to_bytes(8, "big") + blake2b(next_hop.encode(), digest_size=8).digest()


def count(tx: Tx, kind: str, key: bytes, now: Millis, about: str) -> int:
    """Once more; how often it is now."""
    name = _name(kind, key)
    row = tx.one("poison_one", name=name)
    times = 1 + (msgspec.json.decode(string(row, 0), type=_Value).times if row is not None else 0)
    tx.run("poison_note", name=name, value=msgspec.json.encode(_Value(times, now, about)).decode())
    return times


def known(tx: Tx, kind: str) -> list[Known]:
    """All of one kind."""
    found = []
    for row in tx.all("poison_all", first=_name(kind), end=_name(kind) + _END):
        value = msgspec.json.decode(string(row, 1), type=_Value)
        key = bytes.fromhex(string(row, 0).removeprefix(_name(kind)))
        found.append(Known(key, value.times, Millis(value.at), value.about))
    return found


def forget(tx: Tx, kind: str, begins: bytes = b"") -> None:
    """Forget those of one kind whose key begins so."""
    tx.run("poison_forget", first=_name(kind, begins), end=_name(kind, begins) + _END)


def forget_copies(tx: Tx, envelope: EnvelopeId) -> None:
    """A person has seen to the message: what it did before counts no more."""
    forget(tx, COPIES, envelope.to_bytes(8, "big"))


def copies(tx: Tx, key: bytes) -> list[Waiting]:
    """The unfinished copies that a key of copies_key() names."""
    envelope = EnvelopeId(int.from_bytes(key[:8], "big"))
    found = queue.of_envelope(tx, envelope)
    return [each for each in found if each.status in ("due", "held") and copies_key(envelope, each.next_hop) == key]


def set_aside(tx: Tx, key: bytes, because: str, now: Millis) -> int:
    """Hold these copies until a person has seen to them, with a step in their journey, and forget the count; how many they were."""
    steps: list[journey.Step] = []
    found = copies(tx, key)
    for each in found:
        if tx.run("poison_set_aside", id=each.id, reply=because):
            steps.append(journey.Queued(now, each.recipient, each.next_hop, "held", because))
    if steps:
        journeys.add_steps(tx, found[0].envelope, steps)
    forget(tx, COPIES, key)
    return len(steps)


def _name(kind: str, key: bytes = b"") -> str:
    return f"poison:{kind}:{key.hex()}"

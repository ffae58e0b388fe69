"""The queue: one row a recipient, leased by couriers. Functions of a transaction.

A lease is fenced: who took it names it (owner, until) when he records an outcome, and nothing changes if it is no longer his.
Source: RFC 5321 §4.5.4; house.md §7 (Q2 … Q5); reliability.md F-34.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

import msgspec

from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId, DeliveryId, EnvelopeId
from ekiden.mail.address import NULL_PATH, Path, format_path, parse_mailbox
from ekiden.mail.envelope import Body, Envelope, Notify, Peer, Recipient
from ekiden.smtp.replies import Reply
from ekiden.store.columns import integer, optional_integer, optional_text, string
from ekiden.store.database import Row, Tx

_SAMPLE = 1000  # copies that are looked at for one lease


class Status(Enum):
    """What is to be done with a copy."""

    DUE = "due"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One leased copy. attempts: tries so far."""

    id: DeliveryId
    recipient: Recipient
    attempts: int
    queued_at: Millis
    delay_reported_at: Millis | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one attempt carries: one envelope, one next hop. owner, until: the lease."""

    envelope: Envelope
    next_hop: str
    deliveries: tuple[Delivery, ...]
    owner: str
    until: Millis


@dataclass(frozen=True, slots=True)
class Waiting:
    """A copy as people see it in lists."""

    id: DeliveryId
    envelope: EnvelopeId
    sender: str
    recipient: str
    next_hop: str
    status: str
    attempts: int
    due_at: Millis
    queued_at: Millis
    reply: str
    leased_until: Millis


def enqueue(
    tx: Tx, envelope: Envelope, recipient: Recipient, next_hop: str, *, now: Millis, status: str = "due", because: str = ""
) -> DeliveryId:
    """One copy for one recipient. The message row of envelope.id must be there. because: why it is held."""
    tx.run(
        "envelope_insert",
        id=envelope.id,
        message=envelope.id,
        sender=format_path(envelope.sender),
        received_at=envelope.received_at,
        body=envelope.body.value,
        utf8=int(envelope.utf8),
        return_full=int(envelope.return_full),
        envid=envelope.envid,
        peer=_peer_text(envelope.peer),
        seal_by=envelope.seal_by,
    )
    row = tx.one(
        "delivery_insert",
        envelope=envelope.id,
        recipient=format_path(recipient.path),
        original=recipient.original,
        notify=recipient.notify.value,
        next_hop=next_hop,
        status=status,
        now=now,
        reply=because or None,
    )
    return DeliveryId(integer(row, 0))


def lease_due(
    tx: Tx,
    *,
    owner: str,
    now: Millis,
    until: Millis,
    count: int,
    busy: Collection[str] = (),
    per_hop: int = 1000,
    steady: Millis | None = None,
) -> list[Batch]:
    """Take up to count batches that are due, at most per_hop for one next hop, none for those in busy. The longest due come first.

    steady: the time that leases run by, and until with it, where that is not now.
    """
    at = now if steady is None else steady
    batches = []
    listed = msgspec.json.encode(sorted(busy)).decode()
    for row in tx.all("due_batches", now=now, at=at, busy=listed, count=count, per_hop=per_hop, sample=_SAMPLE):
        envelope_id, next_hop = EnvelopeId(integer(row, 0)), string(row, 1)
        taken = tx.all("lease", owner=owner, until=until, now=now, at=at, envelope=envelope_id, next_hop=next_hop)
        deliveries = tuple(_delivery(each) for each in taken)
        found = tx.one("envelope_get", id=envelope_id)
        if deliveries and found is not None:
            recipients = tuple(each.recipient for each in deliveries)
            batches.append(Batch(_envelope(found, recipients), next_hop, deliveries, owner, until))
    return batches


def envelope(tx: Tx, id: EnvelopeId) -> Envelope | None:
    """One that has copies in the queue, without its recipients; None if there is none."""
    found = tx.one("envelope_get", id=id)
    return _envelope(found, ()) if found is not None else None


def finish(tx: Tx, batch: Batch, delivery: DeliveryId, status: Status, reply: str, now: Millis) -> bool:
    """DONE, FAILED or EXPIRED; False (and nothing changes) if the lease is no longer ours, or a person has finished it."""
    return tx.run("delivery_finish", id=delivery, status=status.value, now=now, reply=reply, owner=batch.owner, until=batch.until) == 1


def again(tx: Tx, batch: Batch, delivery: DeliveryId, due_at: Millis, reply: str) -> bool:
    """Due again at due_at; False if the lease is no longer ours, or a person has finished it."""
    return tx.run("delivery_again", id=delivery, due_at=due_at, reply=reply, owner=batch.owner, until=batch.until) == 1


def release_lease(tx: Tx, batch: Batch) -> None:
    """Give the lease of a whole batch back, untried."""
    for delivery in batch.deliveries:
        tx.run("delivery_release", id=delivery.id, owner=batch.owner, until=batch.until)


def delay_reported(tx: Tx, deliveries: Sequence[DeliveryId], now: Millis) -> None:
    """The sender has been told of the delay of these."""
    for delivery in deliveries:
        tx.run("delivery_delay_reported", id=delivery, now=now)


def next_due(tx: Tx) -> Millis | None:
    """When the next copy that nobody has leased is due; None if there is none. A lease that ends tells nobody: look again in time."""
    value = optional_integer(tx.one("next_due"), 0)
    return Millis(value) if value is not None else None


def not_later(tx: Tx, latest: Millis) -> int:
    """What waits is due at that time at the latest; how many copies would have waited longer."""
    return tx.run("deliveries_not_later", latest=latest)


def forget_leases(tx: Tx, owner: str) -> list[tuple[EnvelopeId, str]]:
    """At the start of a courier: leases of its former life are nobody's; which unfinished copies it had in hand, with their recipients."""
    rows = tx.all("leases_forget", owner=owner)
    return [(EnvelopeId(integer(row, 0)), string(row, 1)) for row in rows if optional_integer(row, 2) is None]


def waiting(tx: Tx, count: int = 1000) -> list[Waiting]:
    """Unfinished copies, the longest due first."""
    return [_waiting(row) for row in tx.all("deliveries_list", count=count)]


def of_envelope(tx: Tx, envelope: EnvelopeId) -> list[Waiting]:
    """All copies of one envelope, also finished ones."""
    return [_waiting(row) for row in tx.all("deliveries_of", envelope=envelope)]


def retry(tx: Tx, envelope: EnvelopeId, now: Millis) -> int:
    """Try now what waits or is held; how many copies."""
    return tx.run("deliveries_status", envelope=envelope, status=Status.DUE.value, due_at=now)


def hold(tx: Tx, envelope: EnvelopeId, now: Millis) -> int:
    """Do not try until released; how many copies."""
    return tx.run("deliveries_status", envelope=envelope, status=Status.HELD.value, due_at=now)


def drop(tx: Tx, envelope: EnvelopeId, now: Millis, because: str) -> int:
    """Give up without a report; how many copies."""
    return tx.run("deliveries_drop", envelope=envelope, now=now, reply=because)


def counts(tx: Tx) -> dict[str, int]:
    """Unfinished copies by status."""
    return {string(row, 0): integer(row, 1) for row in tx.all("deliveries_count")}


def oldest(tx: Tx) -> Millis | None:
    """When the oldest unfinished copy was put in; None without one."""
    found = [integer(row, 2) for row in tx.all("deliveries_count")]
    return Millis(min(found)) if found else None


def remove_finished(tx: Tx, before: Millis, count: int = 500) -> int:
    """Envelopes whose copies were all finished before that time; how many are gone now."""
    found = [integer(row, 0) for row in tx.all("envelopes_finished", before=before, count=count)]
    for envelope in found:
        tx.run("envelope_freed", envelope=envelope)
        tx.run("deliveries_delete", envelope=envelope)
        tx.run("envelope_delete", envelope=envelope)
    return len(found)


def path_of(text: str) -> Path:
    """A path from its column."""
    return parse_mailbox(text) if text else NULL_PATH


def reply_text(reply: Reply) -> str:
    """A reply for its column: one line."""
    return reply.text


def _delivery(row: Row) -> Delivery:
    recipient = Recipient(path_of(string(row, 1)), optional_text(row, 2), Notify(integer(row, 3)))
    reported = optional_integer(row, 6)
    return Delivery(
        DeliveryId(integer(row, 0)),
        recipient,
        integer(row, 4),
        Millis(integer(row, 5)),
        Millis(reported) if reported is not None else None,
    )


def _envelope(row: Row, recipients: tuple[Recipient, ...]) -> Envelope:
    return Envelope(
        EnvelopeId(integer(row, 0)),
        path_of(string(row, 2)),
        recipients,
        _peer(string(row, 8)),
        Millis(integer(row, 3)),
        Body(string(row, 4)),
        bool(integer(row, 5)),
        bool(integer(row, 6)),
        optional_text(row, 7),
        string(row, 9),
    )


def _peer_text(peer: Peer) -> str:
    facts = {"ip": str(peer.ip), "port": peer.port, "listener": peer.listener, "hello": peer.hello, "account": peer.account}
    return msgspec.json.encode(facts).decode()


class _PeerFacts(msgspec.Struct):
    ip: str
    port: int
    listener: str
    hello: str = ""
    account: int | None = None


def _peer(text: str) -> Peer:
    facts = msgspec.json.decode(text, type=_PeerFacts)
    account = AccountId(facts.account) if facts.account is not None else None
    return Peer(ip_address(facts.ip), facts.port, facts.listener, hello=facts.hello, account=account)


def _waiting(row: Row) -> Waiting:
    return Waiting(
        DeliveryId(integer(row, 0)),
        EnvelopeId(integer(row, 1)),
        string(row, 9),
        string(row, 2),
        string(row, 3),
        string(row, 4),
        integer(row, 5),
        Millis(integer(row, 6)),
        Millis(integer(row, 7)),
        optional_text(row, 8) or "",
        Millis(integer(row, 10)),
    )

"""Messages that are damaged: noted, and parked in the queue."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from tests.store.stores import NOW, a_message, in_one

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, Domain
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.store import damage, journeys, messages, queue
from ekiden.store.database import Tx

LATER = Millis(NOW + 60_000)


def test_damage_is_remembered_until_it_is_forgotten(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        damage.note(tx, EnvelopeId(7), "too short")
        damage.note(tx, EnvelopeId(70), "gone")
        damage.note(tx, EnvelopeId(7), "gone")
        assert damage.noted(tx) == [damage.Noted(EnvelopeId(7), "gone"), damage.Noted(EnvelopeId(70), "gone")]
        damage.forget(tx, EnvelopeId(7))
        assert damage.noted(tx) == [damage.Noted(EnvelopeId(70), "gone")]

    in_one(tmp_path, work)


def test_a_parked_copy_is_held_with_its_reason_and_only_by_who_leased_it(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        messages.insert(tx, a_message(1))
        envelope = Envelope(EnvelopeId(1), NULL_PATH, (), Peer(IPv4Address("192.0.2.1"), 9, "mx"), NOW)
        queue.enqueue(tx, envelope, Recipient(MailPath("x", Domain("two.test"))), "two.test", now=NOW)
        journeys.begin(tx, EnvelopeId(1), [])
        (lost,) = queue.lease_due(tx, owner="me", now=NOW, until=LATER, count=9)
        after = Millis(LATER + 1)
        (batch,) = queue.lease_due(tx, owner="other", now=after, until=Millis(after + 1000), count=9)
        assert damage.park(tx, lost, "blob x is gone", after) == 0
        assert damage.park(tx, batch, "blob x is gone", after) == 1
        (waiting,) = queue.waiting(tx)
        assert (waiting.status, waiting.reply) == ("held", "blob x is gone")
        assert queue.lease_due(tx, owner="me", now=Millis(after + 10**9), until=Millis(after + 2 * 10**9), count=9) == []
        (step,) = journeys.steps_of(tx, EnvelopeId(1))
        assert isinstance(step, journey.Queued)
        assert (step.status, step.because) == ("held", "blob x is gone")

    in_one(tmp_path, work)

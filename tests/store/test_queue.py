"""The queue: leases, outcomes, what people do by hand."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from tests.store.stores import NOW, a_message, in_one

from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId, EnvelopeId
from ekiden.mail.address import NULL_PATH, Domain
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Body, Envelope, Notify, Peer, Recipient
from ekiden.store import messages, queue
from ekiden.store.database import Tx
from ekiden.store.queue import Status

LATER = Millis(NOW + 60_000)


def _envelope(number: int, sender: MailPath = NULL_PATH) -> Envelope:
    peer = Peer(IPv4Address("192.0.2.1"), 99, "submission", hello="me", account=AccountId(3))
    return Envelope(EnvelopeId(number), sender, (), peer, NOW, Body.EIGHT, utf8=True, return_full=True, envid="e")


def _recipient(local: str, domain: str = "two.test") -> Recipient:
    return Recipient(MailPath(local, Domain(domain)), None, Notify.FAILURE)


def _put(tx: Tx, number: int, *recipients: Recipient, status: str = "due") -> None:
    messages.insert(tx, a_message(number))
    for recipient in recipients:
        host = recipient.path.host
        assert isinstance(host, Domain)
        queue.enqueue(tx, _envelope(number, MailPath("a b", Domain("one.test"))), recipient, host.ascii, now=NOW, status=status)


def _lease(tx: Tx, now: Millis = NOW, count: int = 10, busy: tuple[str, ...] = ()) -> list[queue.Batch]:
    return queue.lease_due(tx, owner="me", now=now, until=LATER, count=count, busy=busy)


def test_recipients_of_one_domain_are_leased_together_with_their_envelope(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        _put(tx, 1, _recipient("x"), _recipient("y"), _recipient("z", "three.test"))
        batches = _lease(tx)
        assert sorted((b.next_hop, len(b.deliveries)) for b in batches) == [("three.test", 1), ("two.test", 2)]
        envelope = batches[0].envelope
        assert (envelope.sender, envelope.body, envelope.utf8, envelope.envid) == (
            MailPath("a b", Domain("one.test")),
            Body.EIGHT,
            True,
            "e",
        )
        assert envelope.peer.account == 3
        assert _lease(tx) == []

    in_one(tmp_path, work)


def test_a_lease_that_ran_out_is_taken_again_and_its_former_owner_changes_nothing(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        _put(tx, 1, _recipient("x"))
        (first,) = _lease(tx)
        after = Millis(LATER + 1)
        (second,) = queue.lease_due(tx, owner="other", now=after, until=Millis(after + 1000), count=9)
        assert not queue.finish(tx, first, first.deliveries[0].id, Status.DONE, "250 ok", after)
        assert queue.finish(tx, second, second.deliveries[0].id, Status.DONE, "250 ok", after)
        assert queue.waiting(tx) == []

    in_one(tmp_path, work)


def test_what_failed_for_now_is_due_again_later(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        _put(tx, 1, _recipient("x"))
        (batch,) = _lease(tx)
        assert queue.again(tx, batch, batch.deliveries[0].id, LATER, "451 later")
        assert _lease(tx) == []
        assert queue.next_due(tx) == LATER
        (again,) = queue.lease_due(tx, owner="me", now=LATER, until=Millis(LATER + 1000), count=1)
        assert again.deliveries[0].attempts == 1

    in_one(tmp_path, work)


def test_busy_next_hops_and_held_copies_are_left_alone(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        _put(tx, 1, _recipient("x"))
        _put(tx, 2, _recipient("y", "three.test"))
        _put(tx, 3, _recipient("z", "four.test"), status="held")
        assert [b.next_hop for b in _lease(tx, busy=("two.test",))] == ["three.test"]

    in_one(tmp_path, work)


def test_the_operators_hand(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        _put(tx, 1, _recipient("x"), status="held")
        assert queue.counts(tx) == {"held": 1}
        assert queue.retry(tx, EnvelopeId(1), NOW) == 1
        assert queue.hold(tx, EnvelopeId(1), NOW) == 1
        (listed,) = queue.waiting(tx)
        assert (listed.sender, listed.recipient, listed.status) == ('"a b"@one.test', "x@two.test", "held")
        assert queue.drop(tx, EnvelopeId(1), NOW, "by hand") == 1
        assert queue.waiting(tx) == []
        assert [each.status for each in queue.of_envelope(tx, EnvelopeId(1))] == ["failed"]

    in_one(tmp_path, work)


def test_leases_of_a_former_life_and_finished_envelopes_are_cleared_away(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        _put(tx, 1, _recipient("x"))
        (batch,) = _lease(tx)
        assert queue.forget_leases(tx, "me") == [(EnvelopeId(1), "x@two.test")]
        (batch,) = _lease(tx)
        queue.release_lease(tx, batch)
        (batch,) = _lease(tx)
        queue.finish(tx, batch, batch.deliveries[0].id, Status.FAILED, "550 no", NOW)
        assert queue.remove_finished(tx, NOW) == 1
        assert queue.of_envelope(tx, EnvelopeId(1)) == []

    in_one(tmp_path, work)


def test_one_next_hop_cannot_take_all_places(tmp_path: Path) -> None:
    """Row OU-28."""

    def work(tx: Tx) -> None:
        for number in range(1, 8):
            _put(tx, number, _recipient("x"))
        _put(tx, 9, _recipient("z", "three.test"))
        batches = queue.lease_due(tx, owner="me", now=NOW, until=LATER, count=4, per_hop=3)
        assert sorted(batch.next_hop for batch in batches) == ["three.test", "two.test", "two.test", "two.test"]

    in_one(tmp_path, work)

"""Messages that break what works on them: counted, and set aside with a reason."""

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
from ekiden.store import journeys, messages, poison, queue
from ekiden.store.database import Tx
from ekiden.store.poison import COPIES, JUDGED, copies_key

ONE = EnvelopeId(1)


def test_counts_of_each_kind_are_their_own(tmp_path: Path) -> None:
    key = copies_key(ONE, "two.test")

    def work(tx: Tx) -> None:
        assert poison.count(tx, COPIES, key, NOW, "") == 1
        assert poison.count(tx, COPIES, key, Millis(NOW + 5), "it raised") == 2
        assert poison.count(tx, JUDGED, key, NOW, "") == 1
        assert poison.known(tx, COPIES) == [poison.Known(key, 2, Millis(NOW + 5), "it raised")]
        poison.forget(tx, JUDGED)
        assert (len(poison.known(tx, COPIES)), poison.known(tx, JUDGED)) == (1, [])

    in_one(tmp_path, work)


def test_a_person_who_sees_to_a_message_ends_the_counts_of_all_its_copies_and_no_others(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        for envelope, hop in ((ONE, "a.test"), (ONE, "b.test"), (EnvelopeId(256), "a.test")):
            poison.count(tx, COPIES, copies_key(envelope, hop), NOW, "")
        poison.forget_copies(tx, ONE)
        assert [each.key for each in poison.known(tx, COPIES)] == [copies_key(EnvelopeId(256), "a.test")]

    in_one(tmp_path, work)


def test_only_the_copies_for_one_next_hop_are_set_aside_and_none_that_is_finished(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        messages.insert(tx, a_message(1))
        envelope = Envelope(ONE, NULL_PATH, (), Peer(IPv4Address("192.0.2.1"), 9, "mx"), NOW)
        for name, hop in (("x", "two.test"), ("y", "two.test"), ("z", "three.test")):
            queue.enqueue(tx, envelope, Recipient(MailPath(name, Domain(hop))), hop, now=NOW)
        journeys.begin(tx, ONE, [])
        until = Millis(NOW + 1000)
        batches = queue.lease_due(tx, owner="me", now=NOW, until=until, count=9)
        (batch,) = [each for each in batches if each.next_hop == "two.test"]
        queue.finish(tx, batch, batch.deliveries[0].id, queue.Status.DONE, "250", NOW)
        key = copies_key(ONE, "two.test")
        poison.count(tx, COPIES, key, NOW, "")
        assert poison.set_aside(tx, key, "it raised", NOW) == 1
        assert [(each.status, each.reply) for each in queue.of_envelope(tx, ONE)] == [("done", "250"), ("held", "it raised"), ("due", "")]
        assert poison.known(tx, COPIES) == []
        assert not queue.again(tx, batch, batch.deliveries[1].id, until, "the lease went with it")
        (step,) = journeys.steps_of(tx, ONE)
        assert step == journey.Queued(NOW, "y@two.test", "two.test", "held", "it raised")
        assert poison.set_aside(tx, copies_key(EnvelopeId(5), "two.test"), "there is no such message", NOW) == 0

    in_one(tmp_path, work)

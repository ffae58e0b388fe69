"""Journeys of refused mail: found by id, by Message-ID and by a part of an address; the old and the many go."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message, in_one

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId, id_text
from ekiden.mail.journey import Greeted, Refused, encode_steps
from ekiden.store import journeys, messages, refused
from ekiden.store.database import Conflict, Tx
from ekiden.store.refused import Refusal

STEPS = [Greeted(NOW, "EHLO", "c.test"), Refused(NOW, "550 no")]


def _refusal(number: int, at: int = NOW, sender: str = "Eve@Evil.test") -> Refusal:
    return Refusal(EnvelopeId(number), Millis(at), f"m{number}@one.test", sender, "alice@one.test, bob@one.test", "550 no")


def test_it_is_found_as_any_other(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        messages.insert(tx, a_message(5))
        journeys.begin(tx, EnvelopeId(5), STEPS[:1])
        kept = Refusal(EnvelopeId(7), NOW, "m5@one.test", "eve@evil.test", "alice@one.test", "550 no")
        refused.keep(tx, kept, encode_steps(STEPS))
        assert journeys.steps_of(tx, EnvelopeId(7)) == STEPS
        assert journeys.find(tx, id_text(7)) == [EnvelopeId(7)]
        assert journeys.find(tx, "<m5@one.test>") == [EnvelopeId(7), EnvelopeId(5)]
        assert journeys.find(tx, id_text(8)) == []
        assert journeys.steps_of(tx, EnvelopeId(8)) == []

    in_one(tmp_path, work)


def test_the_same_id_twice_is_a_conflict(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        refused.keep(tx, _refusal(1), encode_steps(STEPS))
        refused.keep(tx, _refusal(1), encode_steps(STEPS))

    with pytest.raises(Conflict):
        in_one(tmp_path, work)


def test_the_newest_come_first_and_a_part_of_an_address_chooses(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        for number in range(1, 6):
            refused.keep(tx, _refusal(number, NOW + number, "carol@c.test" if number == 3 else "Eve@Evil.test"), encode_steps(STEPS))
        assert [each.id for each in refused.latest(tx, count=3)] == [5, 4, 3]
        assert refused.latest(tx, "CAROL@") == [_refusal(3, NOW + 3, "carol@c.test")]
        assert [each.id for each in refused.latest(tx, "eve@evil")] == [5, 4, 2, 1]
        assert len(refused.latest(tx, "bob@")) == 5
        assert [each.id for each in refused.latest(tx, "m2@")] == [2]
        assert refused.latest(tx, "%") == []

    in_one(tmp_path, work)


def test_the_old_and_the_many_are_forgotten(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        for number in range(1, 11):
            refused.keep(tx, _refusal(number, NOW + number), encode_steps(STEPS))
        assert refused.forget(tx, Millis(NOW + 3), 100) == 2
        assert refused.forget(tx, Millis(NOW + 3), 100) == 0
        assert refused.forget(tx, Millis(0), 4, count=3) == 3
        assert refused.forget(tx, Millis(0), 4, count=3) == 1
        assert [each.id for each in refused.latest(tx)] == [10, 9, 8, 7]

    in_one(tmp_path, work)

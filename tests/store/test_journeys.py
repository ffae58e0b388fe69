"""Journeys are kept in order and found by our id or by Message-ID."""

from __future__ import annotations

from pathlib import Path

from tests.store.stores import NOW, a_message, in_one

from ekiden.base.ids import EnvelopeId, id_text
from ekiden.mail.journey import Committed, Greeted
from ekiden.store import journeys, messages
from ekiden.store.database import Tx


def test_steps_come_back_in_order_from_several_rows(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        messages.insert(tx, a_message(5))
        first, second, third = Greeted(NOW, "EHLO", "a"), Committed(NOW, "250"), Greeted(NOW, "HELO", "b")
        journeys.add_steps(tx, EnvelopeId(5), [first, second])
        journeys.add_steps(tx, EnvelopeId(5), [])
        journeys.add_steps(tx, EnvelopeId(5), [third])
        assert journeys.steps_of(tx, EnvelopeId(5)) == [first, second, third]
        for text in (id_text(5), id_text(5).upper(), "m5@one.test", "<m5@one.test>"):
            assert journeys.find(tx, text) == [EnvelopeId(5)]
        assert journeys.find(tx, id_text(6)) == []
        assert journeys.find(tx, "nobody@nowhere") == []

    in_one(tmp_path, work)

"""Rows of a journey."""

from __future__ import annotations

import pytest

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.mail.journey import Deferred, Deposited, Judged, Queued, Reason, Step, decode_steps, encode_steps


def test_steps_come_back_as_they_were() -> None:
    steps: list[Step] = [
        Deposited(Millis(1), recipient="bob@b.test", account="bob", mailbox="INBOX", uid=7),
        Queued(Millis(2), recipient="会@b.test", next_hop="b.test"),
        Deferred(Millis(3), recipient="eve@c.test", because="450 later", due_at=Millis(9)),
    ]
    assert decode_steps(encode_steps(steps)) == steps
    assert decode_steps(encode_steps([])) == []


def test_reasons_are_kept_and_rows_from_before_there_were_any_are_read() -> None:
    judged = Judged(Millis(1), "builtin:score", "message", "tag", "X-A", (Reason("spf-fail", 30, "a.test"), Reason("listed-x", -5)))
    assert decode_steps(encode_steps([judged])) == [judged]
    old = b'[{"step":"judged","at":1,"policy":"builtin:dmarc","stage":"message","verdict":"reject","because":"x"}]'
    assert decode_steps(old) == [Judged(Millis(1), "builtin:dmarc", "message", "reject", "x")]


@pytest.mark.parametrize("row", [b"", b"{}", b'[{"type":"nobody-knows"}]', b"[1]", b"\xff"])
def test_a_row_of_something_else_is_refused(row: bytes) -> None:
    with pytest.raises(BadValue):
        decode_steps(row)


def test_every_step_names_one_layer_and_says_what_it_is() -> None:
    for kind in Step.__subclasses__():
        assert kind.LAYER in ("application", "tls", "transport", "house"), kind
        assert kind.__doc__

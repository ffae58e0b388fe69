"""Verdicts become steps of the journey."""

from __future__ import annotations

from ekiden.base.clock import Millis
from ekiden.mail.journey import Judged, Step
from ekiden.policy.chain import Judgement, Opinion
from ekiden.policy.stage import Stage
from ekiden.policy.verdict import Reject, Tag
from ekiden.services.verdicts import note
from ekiden.smtp.replies import NOT_ALLOWED


def test_each_opinion_is_a_step() -> None:
    steps: list[Step] = []
    opinions = (Opinion("a", Tag(b"X-A", b"1")), Opinion("b", Reject(NOT_ALLOWED, "why")))
    note(Judgement(opinions=opinions), Stage.MESSAGE, Millis(5), steps)
    assert steps == [Judged(Millis(5), "a", "message", "tag", "X-A"), Judged(Millis(5), "b", "message", "reject", "why")]

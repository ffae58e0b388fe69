"""Verdicts become steps of the journey."""

from __future__ import annotations

from ekiden.base.clock import Millis
from ekiden.mail.journey import Judged, Reason, Step
from ekiden.policy.chain import Judgement, Opinion
from ekiden.policy.stage import Stage
from ekiden.policy.verdict import Pass, Quarantine, Reject, Tag
from ekiden.services.verdicts import note
from ekiden.smtp.replies import NOT_ALLOWED


def test_each_opinion_is_a_step() -> None:
    steps: list[Step] = []
    opinions = (Opinion("a", Tag(b"X-A", b"1")), Opinion("b", Reject(NOT_ALLOWED, "why")))
    note(Judgement(opinions=opinions), Stage.MESSAGE, Millis(5), steps)
    assert steps == [Judged(Millis(5), "a", "message", "tag", "X-A"), Judged(Millis(5), "b", "message", "reject", "why")]


def test_the_reasons_of_a_verdict_are_in_its_step() -> None:
    steps: list[Step] = []
    reasons = (Reason("iprev-fail", 15),)
    said = (Quarantine("q", reasons=reasons), Tag(b"X-A", b"1", reasons), Pass("p", reasons), Reject(NOT_ALLOWED, "r", reasons))
    note(Judgement(opinions=tuple(Opinion("a", verdict) for verdict in said)), Stage.MESSAGE, Millis(5), steps)
    assert [(step.verdict, step.reasons) for step in steps if isinstance(step, Judged)] == [
        ("quarantine", reasons), ("tag", reasons), ("pass", reasons), ("reject", reasons),
    ]  # fmt: skip

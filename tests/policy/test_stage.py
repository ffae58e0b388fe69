"""Decorators name the stage of a policy and change nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ekiden.policy.stage import Context, Stage, connect, hello, message, recipient, sender, stage_of
from ekiden.policy.verdict import Verdict


@pytest.mark.parametrize(
    ("mark", "stage"),
    [
        (connect, Stage.CONNECT),
        (hello, Stage.HELLO),
        (sender, Stage.SENDER),
        (recipient, Stage.RECIPIENT),
        (message, Stage.MESSAGE),
    ],
)
def test_the_decorator_names_the_stage(mark: Callable[[object], object], stage: Stage) -> None:
    async def judge(context: Context) -> Verdict | None:
        return None

    assert mark(judge) is judge
    assert stage_of(judge) is stage


def test_other_things_have_no_stage() -> None:
    assert stage_of(42) is None

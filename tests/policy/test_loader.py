"""Policies by name: builtin ones, an operator's file, and names that are wrong."""

from __future__ import annotations

from types import ModuleType

import pytest

from ekiden.base.errors import ConfigError
from ekiden.policy.loader import builtin_names, load
from ekiden.policy.stage import SenderContext, Stage, sender
from ekiden.policy.verdict import Verdict


def _operators_file(path: str) -> ModuleType:
    module = ModuleType("operators")

    @sender
    async def nobody(ctx: SenderContext) -> Verdict | None:
        return None

    nobody.__module__ = "operators"
    module.__dict__["nobody"] = nobody
    return module


def test_a_builtin_policy_brings_all_its_stages() -> None:
    policies = load(["builtin:sender"], _operators_file)
    assert {p.stage for p in policies} == {Stage.SENDER, Stage.MESSAGE}
    assert {p.name for p in policies} == {"builtin:sender"}


def test_a_function_of_the_operators_own_file_is_found_by_its_name() -> None:
    (policy,) = load(["mine.py:nobody"], _operators_file)
    assert (policy.name, policy.stage) == ("mine.py:nobody", Stage.SENDER)


def test_every_wrong_name_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load(["builtin:sendr", "mine.py:somebody"], _operators_file)
    assert len(caught.value.problems) == 2
    assert "sender" in caught.value.problems[0]


def test_the_builtin_policies_are_listed() -> None:
    assert "sender" in builtin_names()

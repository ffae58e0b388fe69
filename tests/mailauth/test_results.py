"""The words of RFC 8601."""

from __future__ import annotations

from ekiden.mailauth.results import Evidence, Result


def test_results_are_spelled_as_the_registry_spells_them() -> None:
    assert {result.value for result in Result} == {
        "none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror",
    }  # fmt: skip
    assert Evidence("spf", Result.PASS).about == {}

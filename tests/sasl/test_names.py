"""One form for each name (row AU-13)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.sasl.names import prepare_name


@pytest.mark.parametrize("typed", [
    "alice@local.test", "ALICE@local.test", "Alice@Local.TEST", "alice@local.test.",
    "ａｌｉｃｅ@local.test", "ＡＬＩＣＥ＠local.test",
])
def test_ways_to_type_one_name(typed: str) -> None:
    assert prepare_name(typed) == "alice@local.test"


def test_composed_and_decomposed_are_one() -> None:
    for typed in (unicodedata.normalize("NFD", "Élodie@local.test"), "élodie@local.test"):
        assert prepare_name(typed) == "élodie@local.test"
    assert prepare_name("ｱ") == prepare_name("ア")


@pytest.mark.parametrize("typed", [
    "", "a b", "a\0b", "a\tb", "a\u00a0b", "a\u200bb", "ﬁ", "①", "\ud800", "😀", "a" * 1_025, "a\u2028",
])
def test_what_no_name_contains(typed: str) -> None:
    with pytest.raises(BadValue):
        prepare_name(typed)


@given(st.text(max_size=30))
def test_preparing_twice_changes_nothing(typed: str) -> None:
    try:
        once = prepare_name(typed)
    except BadValue:
        return
    if not once.endswith("."):
        assert prepare_name(once) == once

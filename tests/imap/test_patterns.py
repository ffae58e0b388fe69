"""Patterns of LIST."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.imap.mutf7 import encode_mutf7
from ekiden.imap.patterns import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        (b"*", "a/b/c", True),
        (b"%", "a", True),
        (b"%", "a/b", False),
        (b"a/%", "a/b", True),
        (b"a/%", "a/b/c", False),
        (b"a*c", "a/b/c", True),
        (b"a%c", "a/c", False),
        (b"%/%", "a/b", True),
        (b"*%", "a/b", True),
        (b"", "", True),
        (b"", "a", False),
        (b"inbox", "INBOX", True),
        (b"inb%", "INBOX", True),
        (b"A", "a", False),
        (b"inbox/a", "INBOX/a", False),
        (b"&ZeVnLIqe-*", "日本語/a", True),
        (b"&AGE-", "a", False),
        (b"[a-z]+.", "b", False),
        (b"(a+)+$", "aaaa", False),
    ],
)
def test_names_match(pattern: bytes, name: str, matches: bool) -> None:
    assert compile_pattern(pattern)(name) is matches


def test_a_wild_pattern_costs_no_more_than_a_tame_one() -> None:  # IM-10
    matches = compile_pattern(b"%*" * 500 + b"x")
    names = [f"{'a/' * 10}{number}" for number in range(1000)]
    start = time.perf_counter()
    assert not any(matches(name) for name in names)
    matches = compile_pattern(b"*a%" * 500 + b"x")
    assert not any(matches(name) for name in names)
    assert time.perf_counter() - start < 1.0


@given(st.text("ab/%*&é", max_size=12), st.text("ab/&é", max_size=12))
def test_it_is_what_a_regular_expression_would_say(pattern: str, name: str) -> None:
    expected = "".join(".*" if c == "*" else "[^/]*" if c == "%" else re.escape(c) for c in pattern)
    # The wildcards are not part of shifted text, so that the pattern can be written piece by piece.
    assert compile_pattern(encode_mutf7(pattern))(name) is (re.fullmatch(expected, name) is not None)

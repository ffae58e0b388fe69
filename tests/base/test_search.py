"""Looking for a few octets in a long text: the same answer as the language gives, whatever the text is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base import search
from ekiden.base.search import holds

_NEEDLES = (b"  ", b" \r\n", b"\xff\xff")


@given(st.sampled_from([0, 100, 16_383, 16_384, 70_001]), st.binary(max_size=8), st.binary(max_size=8), st.sampled_from(_NEEDLES))
def test_it_finds_what_is_there(length: int, before: bytes, after: bytes, needle: bytes) -> None:
    for text in (before + b"x" * length + after, before + b"x" * length + needle + after, needle + b"x" * length, b" \r" * length):
        assert holds(text, needle) == (needle in text)


@pytest.mark.parametrize("needle", _NEEDLES)
@pytest.mark.parametrize("length", [10, 20_000])
def test_neither_a_nul_nor_the_end_hides_anything(needle: bytes, length: int) -> None:
    plain = b"x" * length
    assert holds(plain + b"\0" + plain + needle, needle)
    assert holds(plain + needle, needle)
    assert not holds(plain + needle[:-1], needle)
    assert not holds(plain + needle[:-1] + b"\0", needle)


def test_without_a_c_library_it_is_slow_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_FOUND", None)
    assert holds(b"x" * 20_000 + b"  ", b"  ")
    assert not holds(b"x" * 20_000, b"  ")

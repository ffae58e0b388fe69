"""xtext, RFC 3461 §4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.smtp.xtext import decode_xtext, encode_xtext


@pytest.mark.parametrize(("raw", "text"), [(b"a+2Bb", "a+b"), (b"", ""), (b"e+3Dmc2@x.test", "e=mc2@x.test"), (b"+20", " ")])
def test_xtext_is_undone(raw: bytes, text: str) -> None:
    assert decode_xtext(raw) == text


@pytest.mark.parametrize(
    "raw",
    [b"+", b"+2", b"+2b", b"a=b", b"a b", b"e+0D+0A", b"+00", b"+7F", b"+80", b"\xc3\xa9", b"+2B\n", b"x" * 501],
)
def test_what_is_not_xtext_is_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        decode_xtext(raw)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100))
def test_decoding_undoes_encoding(text: str) -> None:
    assert decode_xtext(encode_xtext(text).encode("ascii")) == text


@pytest.mark.parametrize("text", ["é", "a\nb"])
def test_text_that_xtext_cannot_carry(text: str) -> None:
    with pytest.raises(BadValue):
        encode_xtext(text)

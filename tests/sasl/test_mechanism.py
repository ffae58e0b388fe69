"""The lines that carry an exchange."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.sasl.mechanism import MOST_BYTES, Proof, decode_initial, decode_line, encode_line


@given(st.binary(max_size=600))
def test_what_is_encoded_comes_back(message: bytes) -> None:
    assert decode_line(encode_line(message)) == message


@pytest.mark.parametrize("line", [
    b"!!!!",                              # AU-04
    b"AG E$$=bGljZQBhbGljZS1wdw==",       # AU-05: Python's own decoder reads this as b"\x00a…"
    b"AGE",                               # padding missing
    b"AG==AG==",                          # padding in the middle
    b"AH==",                              # bits that stand for nothing
    b"AAE=\n",
    b"=",
    b"====",
    b" AAE=",
    "AAEé".encode(),
    b"-_AA",
    b64encode(bytes(MOST_BYTES + 1)),
])
def test_anything_but_canonical_base64_is_refused(line: bytes) -> None:
    with pytest.raises(BadValue):
        decode_line(line)


def test_the_initial_response_may_be_missing_or_empty() -> None:
    assert decode_initial(None) is None
    assert decode_initial(b"=") == b""            # RFC 4954 §4
    assert decode_initial(b"AGE=") == b"\0a"
    with pytest.raises(BadValue):
        decode_initial(b"==")


def test_a_proof_does_not_show_its_password() -> None:
    assert "secret" not in repr(Proof("alice", b"secret"))  # ST-09


def test_a_bad_line_is_not_in_the_error() -> None:
    with pytest.raises(BadValue) as caught:
        decode_line(b"c2VjcmV0 c2VjcmV0")
    assert "c2Vj" not in str(caught.value)

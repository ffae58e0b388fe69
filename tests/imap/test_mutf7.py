"""Modified UTF-7: one spelling of each name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.imap.mutf7 import decode_mutf7, encode_mutf7


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (b"INBOX", "INBOX"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),  # RFC 3501 §5.1.3
        (b"&-", "&"),
        (b"A&-B", "A&B"),
        (b"&AOk-&-", "é&"),
        (b"&2D3eCg-", "\U0001f60a"),
        (b"", ""),
    ],
)
def test_names_are_read_and_written(wire: bytes, name: str) -> None:
    assert decode_mutf7(wire) == name
    assert encode_mutf7(name) == wire


@pytest.mark.parametrize(
    "wire",
    [
        b"&AGE-",  # IM-12: "a" needs no shift
        b"&AGEA",
        b"&2AA-",  # IM-12: half of a pair
        b"&",
        b"&U,BTFw",
        b"&U,BTFw-&ZeVnLIqe-",  # RFC 3501 §5.1.3: no null shifts
        b"&AGE=-",
        b"&AC4ALg-/&AC4ALg-/x",  # IM-11: ../..
        b"caf\xc3\xa9",
        b"a\x00b",
        b"a\x7f",
        b"&AAA-b&AAE-\n",
        b"&ZeVnLIqf",
    ],
)
def test_every_other_spelling_is_refused(wire: bytes) -> None:
    with pytest.raises(BadValue):
        decode_mutf7(wire)


def test_a_lone_surrogate_cannot_be_written() -> None:
    with pytest.raises(BadValue):
        encode_mutf7("\ud800")


@given(st.text())
def test_every_name_comes_back(name: str) -> None:
    assert decode_mutf7(encode_mutf7(name)) == name


@given(st.binary(max_size=40))
def test_what_is_read_is_the_one_spelling(wire: bytes) -> None:
    try:
        name = decode_mutf7(wire)
    except BadValue:
        return
    assert encode_mutf7(name) == wire

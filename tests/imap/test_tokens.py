"""The words of IMAP, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.imap.tokens import Announced, Incomplete, Reader, astring, nstring, quote, string


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"atom", b"atom"),
        (b"a]b", b"a]b"),  # RFC 3501 §9: ASTRING-CHAR holds "]"
        (b'""', b""),
        (b'"a b"', b"a b"),
        (b'"a\\"b\\\\"', b'a"b\\'),
        (b'"caf\xc3\xa9"', b"caf\xc3\xa9"),  # RFC 9051 §9
        (b"{3}\r\n", b"a\r\n"),
        (b"{3+}\r\n", b"a\r\n"),
        (b"~foo", b"~foo"),
    ],
)
def test_astrings_are_read(raw: bytes, value: bytes) -> None:
    reader = Reader(raw, [b"a\r\n"])
    assert reader.astring() == value
    reader.end()


@pytest.mark.parametrize(
    "raw", [b"", b" a", b'"a', b'"a\\b"', b"(", b"%", b"*", b'"a\rb"', b'"a\0"', b"\xff", b"{3}", b"{a}\r\n", b"{3 }\r\n"]
)
def test_what_is_no_astring_is_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        Reader(raw).astring()


def test_a_literal_that_has_not_come_is_incomplete() -> None:
    with pytest.raises(Incomplete):
        Reader(b"{3}\r\n").astring()


def test_a_nul_in_a_literal_is_refused() -> None:
    with pytest.raises(BadValue):
        Reader(b"{1}\r\n", [b"\0"]).astring()


@pytest.mark.parametrize(("raw", "value"), [(b"0", 0), (b"4294967295", 0xFFFFFFFF), (b"007", 7)])
def test_numbers_are_read(raw: bytes, value: int) -> None:
    assert Reader(raw).number() == value


@pytest.mark.parametrize("raw", [b"4294967296", b"-1", b"+1", b"1_0", "٣".encode(), b"", b"9" * 5000, b" 1"])
def test_what_is_no_number_is_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        _read_all(raw)


def _read_all(raw: bytes) -> None:
    reader = Reader(raw)
    reader.number()
    reader.end()


def test_zero_is_no_nz_number() -> None:
    with pytest.raises(BadValue):
        Reader(b"0").nz_number()
    assert Reader(b"10").nz_number() == 10


def test_a_number_of_63_bits_is_the_largest() -> None:  # IM-23
    assert Reader(b"9223372036854775807").number64() == 2**63 - 1
    with pytest.raises(BadValue):
        Reader(b"18446744073709551616").number64()


def test_a_streamed_literal_is_the_last_thing() -> None:
    assert Reader(b"{12}\r\n").announced() == Announced(12, True)
    assert Reader(b"{12+}\r\n").announced() == Announced(12, False)
    with pytest.raises(BadValue):
        Reader(b"{12+}\r\n x").announced()


def test_nil_is_not_a_string() -> None:
    assert Reader(b"nil").nstring() is None
    assert Reader(b'"nil"').nstring() == b"nil"


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (b"", b'""'),
        (b"abc", b'"abc"'),
        (b'a"b\\', b'"a\\"b\\\\"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"caf\xc3\xa9", b"{5}\r\ncaf\xc3\xa9"),
        (b"a\0b", b"{2}\r\nab"),
        (b"x" * 4097, b"{4097}\r\n" + b"x" * 4097),
    ],
)
def test_strings_are_written_so_that_no_text_breaks_the_line(text: bytes, wire: bytes) -> None:  # IM-27
    assert string(text) == wire


@pytest.mark.parametrize(
    ("text", "wire"),
    [(b"INBOX", b"INBOX"), (b"", b'""'), (b"nil", b'"nil"'), (b"a b", b'"a b"'), (b"a]", b'"a]"'), (b"~x", b'"~x"')],
)
def test_astrings_are_written(text: bytes, wire: bytes) -> None:
    assert astring(text) == wire


def test_none_is_written_as_nil() -> None:
    assert nstring(None) == b"NIL"
    assert nstring(b"NIL") == b'"NIL"'
    assert quote(b"x") == b'"x"'


@given(st.binary())
def test_what_is_written_is_read_again(text: bytes) -> None:
    wire = string(text)
    text = text.replace(b"\0", b"")
    if wire.startswith(b"{"):
        head, _, content = wire.partition(b"\r\n")
        assert Reader(head + b"\r\n", [content]).astring() == text
    else:
        assert Reader(wire).astring() == text


@given(st.binary(max_size=60))
def test_no_bytes_make_a_reader_raise_anything_else(raw: bytes) -> None:
    for method in (Reader.astring, Reader.atom, Reader.number, Reader.number64, Reader.list_mailbox, Reader.nstring, Reader.tag):
        reader = Reader(raw, [b"x"])
        try:
            method(reader)
        except (BadValue, Incomplete):
            continue
        assert 0 < reader.at <= len(raw)

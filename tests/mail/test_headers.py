"""Where fields and headers begin and end."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.mail.headers import USUAL, HeaderLimits, Headers, over_limits, parse_headers, unfold


@pytest.mark.parametrize(
    ("raw", "fields", "body"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nbody", [(b"A", b" 1"), (b"B", b" 2")], b"body"),
        (b"A: 1\r\n\t2\r\n 3\r\n\r\n", [(b"A", b" 1\r\n\t2\r\n 3")], b""),
        (b"A : 1\r\n\r\nx", [(b"A", b" 1")], b"x"),  # RFC 5322 §4.5
        (b"A:\r\n\r\nx", [(b"A", b"")], b"x"),
        (b"A: 1\nB: 2\n\nbody", [(b"A", b" 1"), (b"B", b" 2")], b"body"),
        (b"A: 1\rB: 2\r\n\r\nbody", [(b"A", b" 1\rB: 2")], b"body"),  # a bare CR ends nothing
        (b"A: 1\r\nno field\r\nB: 2\r\n\r\n", [(b"A", b" 1")], b"no field\r\nB: 2\r\n\r\n"),
        (b"no field\r\n", [], b"no field\r\n"),
        (b"\r\nbody", [], b"body"),
        (b"\nbody", [], b"body"),
        (b"A: 1", [(b"A", b" 1")], b""),
        (b"A: 1\r\n", [(b"A", b" 1")], b""),
        (b"A: 1\r\n \r\nB: 2\r\n\r\n", [(b"A", b" 1\r\n "), (b"B", b" 2")], b""),
        (b"", [], b""),
        (b" A: 1\r\n\r\n", [], b" A: 1\r\n\r\n"),
        (b"\xe3: 1\r\n\r\n", [], b"\xe3: 1\r\n\r\n"),
    ],
)
def test_fields_and_body_are_told_apart(raw: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers = parse_headers(raw)
    assert list(headers.fields) == fields
    assert raw[headers.body_at :] == body
    assert b"".join(headers.whole()) == headers.block


def test_a_field_is_found_by_its_name_in_lower_case() -> None:
    headers = parse_headers(b"To: a\r\nTO: b\r\nSubject:\r\n  c\r\n  d\r\n\r\n")
    assert headers.first(b"to") == b" a"
    assert headers.all(b"to") == (b" a", b" b")
    assert headers.count(b"to") == 2
    assert headers.text(b"subject") == b"c  d"
    assert (headers.first(b"x"), headers.all(b"x"), headers.text(b"x")) == (None, (), b"")


def test_a_part_of_a_message_ends_where_it_is_told() -> None:
    raw = b"xxA: 1\r\n\r\nbody--"
    assert parse_headers(raw, 2, 10) == Headers(((b"A", b" 1"),), 10, b"A: 1\r\n")
    assert parse_headers(raw, 2, 6).fields == ((b"A", b" 1"),)


_PIECES = [b"A", b"Subject", b":", b" ", b"\t", b"\r\n", b"\n", b"\r", b"x", b"\xff", b"\x00", b"\r\n\r\n"]


@given(st.lists(st.sampled_from(_PIECES), max_size=40))
@settings(max_examples=500)
def test_the_header_is_covered_whatever_it_holds(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    headers = parse_headers(raw)
    assert raw.startswith(headers.block)
    assert raw[len(headers.block) : headers.body_at] in (b"", b"\r\n", b"\n")
    assert b"".join(headers.whole()) == headers.block
    assert [name for name, _ in headers.fields] == [field.partition(b":")[0].rstrip(b" \t") for field in headers.whole()]


@pytest.mark.parametrize("piece", [b"a", b"a: ", b" ", b"\t\r\n ", b":\r\n", b"a:\r\n", b"\r", b"a:\r", b"a \r\n "])
def test_hostile_headers_cost_their_length(piece: bytes) -> None:
    raw = piece * (2_000_000 // len(piece))
    begun = time.process_time()
    over_limits(parse_headers(raw))
    parse_headers(raw + b"\r\n\r\n")
    assert time.process_time() - begun < 3


def test_headers_beyond_the_limits_are_named() -> None:
    assert over_limits(parse_headers(b"A: 1\r\n\r\n")) == ""
    assert over_limits(parse_headers(b"A: 1\r\nB: 2\r\n\r\n"), HeaderLimits(fields=1)) == "more than 1 header fields"
    assert "2000 header fields" in over_limits(parse_headers(b"A: 1\r\n" * (USUAL.fields + 1) + b"\r\n"))
    assert "over 262144 bytes" in over_limits(parse_headers(b"A: " + b"x" * (300 << 10) + b"\r\n\r\n"))
    assert "block over 1048576 bytes" in over_limits(parse_headers((b"A: " + b"x" * 200_000 + b"\r\n") * 6 + b"\r\n"))


def test_unfolding_drops_line_ends_and_outer_space() -> None:
    assert unfold(b" a\r\n b\n\tc \r\n") == b"a b\tc"

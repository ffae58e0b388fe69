"""Sequence sets: resolved by ranges, never number by number."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.imap.sequence import format_set, parse_sequence_set


@pytest.mark.parametrize(
    ("raw", "largest", "ranges"),
    [
        (b"1", 9, [(1, 1)]),
        (b"2,4:7,9,12:*", 15, [(2, 2), (4, 7), (9, 9), (12, 15)]),  # RFC 3501 §9
        (b"*:4,5:7", 10, [(4, 10)]),  # RFC 3501 §9
        (b"4:2", 9, [(2, 4)]),
        (b"3291:*", 100, [(100, 3291)]),  # RFC 3501 §9: holds the last message
        (b"*", 7, [(7, 7)]),
        (b"1:2,3", 9, [(1, 3)]),
        (b"4294967295:1", 9, [(1, 4294967295)]),
    ],
)
def test_sets_are_resolved(raw: bytes, largest: int, ranges: list[tuple[int, int]]) -> None:
    assert parse_sequence_set(raw).resolve(largest) == ranges


@pytest.mark.parametrize("raw", [b"", b"0", b"01", b"1:0", b"4294967296", b"1:4294967296", b"1,", b",1", b"1::2", b"1:2:3", b"**", b"a"])
def test_bad_sets_are_refused(raw: bytes) -> None:  # IM-07
    with pytest.raises(BadValue):
        parse_sequence_set(raw)


def test_huge_ranges_cost_what_the_mailbox_costs() -> None:  # IM-07
    view = array("I", [3, 5, 9])
    assert parse_sequence_set(b"1:4294967295").uids(view) == [3, 5, 9]
    assert parse_sequence_set(b"*:1").uids(view) == [3, 5, 9]
    assert parse_sequence_set(b"10:*").uids(view) == [9]
    assert parse_sequence_set(b"4,6:8").uids(view) == []
    assert parse_sequence_set(b",".join(b"%d" % (2 * n + 1) for n in range(10_000))).uids(view) == [3, 5, 9]
    assert parse_sequence_set(b"1:*").uids(array("I")) == []


@pytest.mark.parametrize(("raw", "count"), [(b"1:4", 3), (b"4", 3), (b"*", 0), (b"1", 0)])
def test_a_message_number_above_the_last_is_refused(raw: bytes, count: int) -> None:
    with pytest.raises(BadValue):
        parse_sequence_set(raw).numbers(count)


def test_message_numbers_are_resolved() -> None:
    assert parse_sequence_set(b"3,1:*").numbers(3) == [(1, 3)]


@pytest.mark.parametrize(("numbers", "wire"), [([], b""), ([1], b"1"), ([1, 2, 3, 7, 9, 10], b"1:3,7,9:10")])
def test_sets_are_written(numbers: Iterable[int], wire: bytes) -> None:
    assert format_set(numbers) == wire


@given(st.sets(st.integers(1, 300), min_size=1))
def test_what_is_written_is_read_again(numbers: set[int]) -> None:
    parsed = parse_sequence_set(format_set(sorted(numbers)))
    assert parse_sequence_set(parsed.text()) == parsed
    assert parsed.uids(array("I", sorted(numbers | {400}))) == sorted(numbers)


@given(st.binary(max_size=30))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    try:
        parse_sequence_set(raw).resolve(10)
    except BadValue:
        pass

"""Sizes, durations and rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.base.units import duration_text, parse_duration, parse_rate, parse_size, rate_text, size_text


@pytest.mark.parametrize(("text", "size"), [
    ("512", 512), ("512B", 512), ("25MB", 25_000_000), ("64KiB", 65_536), ("64 KiB", 65_536), ("1kB", 1000),
    ("2GiB", 2**31), ("0", 0),
])
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1.5MB", "-1", "1 000", "1_000", "٣", "25mb", "25MB\n", "9" * 16, "1  KiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_size(text)


@pytest.mark.parametrize(("text", "seconds"), [
    ("90s", 90), ("90", 90), ("5m", 300), ("4h", 14_400), ("5d", 432_000), ("1h30m", 5400),
    ("1h 30m", 5400), ("2w", 1_209_600), ("0s", 0),
])
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "h", "30m1h", "1.5h", "-5m", "5M", "5min", "5m\n", "٣m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_duration(text)


@pytest.mark.parametrize(("text", "rate"), [("500B/s", 500), ("10MB/s", 10_000_000), ("500", 500)])
def test_a_rate_is_read(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["/s", "500B/m", "500B/s/s", "fast"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_rate(text)


@pytest.mark.parametrize(("size", "text"), [(50_000_000, "50MB"), (65_536, "64KiB"), (512, "512B"), (0, "0B"), (1000, "1kB")])
def test_a_size_is_written_short(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (300, "5m"), (5400, "90m"), (432_000, "5d"), (1_209_600, "14d"), (0, "0s"), (61, "61s"),
])
def test_a_duration_is_written_short(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.integers(0, 10**14))
def test_what_is_written_is_read_as_the_same(number: int) -> None:
    assert parse_size(size_text(number)) == number
    assert parse_rate(rate_text(number)) == number
    assert parse_duration(duration_text(number % 10**9)) == number % 10**9

"""Quantiles of many times in little memory."""

from __future__ import annotations

import pytest

from ekiden.app.load.spread import Spread


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.5), (0.9, 0.9), (0.99, 0.99), (1.0, 1.0)])
def test_a_quantile_is_right_within_one_percent(share: float, expected: float) -> None:
    spread = Spread()
    for number in range(1, 1001):
        spread.add(number / 1000)
    assert expected <= spread.quantile(share) <= expected * 1.011


def test_the_longest_is_exact_and_no_quantile_is_above_it() -> None:
    spread = Spread()
    for seconds in (0.1, 0.25, 7.123456):
        spread.add(seconds)
    assert spread.longest == 7.123456
    assert spread.quantile(0.999) == 7.123456
    assert spread.summary()["max"] == 7123.456


def test_nothing_measured_is_nothing() -> None:
    assert set(Spread().summary().values()) == {0.0}


def test_very_short_times_count_too() -> None:
    spread = Spread()
    for seconds in (0.0, 1e-9, 1e-7):
        spread.add(seconds)
    assert spread.count == 3
    assert spread.quantile(1.0) <= 1e-7

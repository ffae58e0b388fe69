"""Times as dates."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from ekiden.base.clock import Millis, moment


@pytest.mark.parametrize("name", ["UTC", "right/UTC", "Europe/Berlin"])
def test_a_moment_is_utc_without_leap_seconds_in_every_zone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", name)
    time.tzset()
    try:
        assert moment(Millis(1_483_228_800_999)) == datetime(2017, 1, 1, 0, 0, 0, 999_000, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_no_calendar_has_is_the_nearest_day_of_it() -> None:
    assert moment(Millis(-5)) == datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(Millis(10**18)).year == 9999

"""When to try again. Rows OU-11, OU-38; faults F-60 to F-63."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.services.schedule import Schedule, gives_up_at, next_try, wants_delay_notice

DEFAULT = Schedule()
START = Millis(1_800_000_000_000)
MINUTE = 60_000
HOUR = 60 * MINUTE


def even() -> float:
    """No jitter at all."""
    return 0.5


def tries_of(*, is_report: bool = False, schedule: Schedule = DEFAULT) -> list[int]:
    """Minutes after the start of each try, until the message is given up."""
    now, tries = START, 0
    times = []
    while True:
        times.append((now - START) // MINUTE)
        tries += 1
        due = next_try(schedule, tries=tries, queued_at=START, now=now, is_report=is_report, chance=even)
        if due is None:
            return times
        now = due


def test_waits_grow_to_four_hours() -> None:
    assert tries_of()[:10] == [0, 5, 15, 35, 75, 135, 255, 435, 675, 915]


def test_the_last_try_is_after_five_days() -> None:
    times = tries_of()
    assert times[-1] == 5 * 24 * 60
    assert len(times) == 37


def test_reports_are_tried_for_two_days() -> None:
    assert tries_of(is_report=True)[-1] == 2 * 24 * 60


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 60))
def test_jitter_stays_in_its_bounds(luck: float, tries: int) -> None:
    due = next_try(DEFAULT, tries=tries, queued_at=START, now=START, is_report=False, chance=lambda: luck)
    assert due is not None
    wait = 1000 * DEFAULT.waits_s[min(tries, 8) - 1]
    assert 0.9 * wait <= due - START <= 1.1 * wait


def test_a_clock_that_jumps_ahead_gives_nothing_up() -> None:
    later = Millis(START + 400 * 24 * HOUR)
    assert next_try(DEFAULT, tries=1, queued_at=START, now=later, is_report=False, chance=even) == later + 5 * MINUTE


def test_a_short_lifetime_needs_few_tries() -> None:
    schedule = Schedule(waits_s=(60,), jitter=0.0, lifetime_s=60)
    assert tries_of(schedule=schedule) == [0, 1]


def test_a_clock_that_jumps_back_keeps_the_waits() -> None:
    earlier = Millis(START - 400 * 24 * HOUR)
    assert next_try(DEFAULT, tries=3, queued_at=START, now=earlier, is_report=False, chance=even) == earlier + 20 * MINUTE


def test_end_of_lifetime() -> None:
    assert gives_up_at(DEFAULT, START, is_report=False) == START + 5 * 24 * HOUR
    assert gives_up_at(DEFAULT, START, is_report=True) == START + 2 * 24 * HOUR


def test_the_sender_hears_of_a_delay_once() -> None:
    for now, reported, wanted in [
        (START + 4 * HOUR - 1, None, False),
        (START + 4 * HOUR, None, True),
        (START + 5 * HOUR, Millis(START + 4 * HOUR), False),
    ]:
        assert wants_delay_notice(DEFAULT, queued_at=START, now=Millis(now), reported_at=reported) == wanted
    never = Schedule(delay_notice_s=0)
    assert not wants_delay_notice(never, queued_at=START, now=Millis(START + 99 * HOUR), reported_at=None)

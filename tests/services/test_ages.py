"""Ages that no jump of the wall clock touches, over restarts too.

Source: reliability.md §1.3 (C7), F-60, F-61.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.services.ages import _LATE_MS, _UNKNOWN_MS, BEAT_MS, Ages
from ekiden.testing.clock import START, FakeClock

HOUR = 3_600_000
DAY = 24 * HOUR
JUMPS_DAYS = (1, 365, -1, -365, -20_833, 4023)


class Machine:
    """A machine with a courier that comes and goes. really: what a clock would show that nobody can set, in milliseconds."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.boot = 1
        self.really = 0
        self.off = 0  # of that, without the machine or with its clock set meanwhile
        self.ages = Ages(self.clock, "boot 1")

    def run(self, ms: int) -> None:
        """Time passes while the courier lives; he looks at the clock once a minute."""
        while ms > 0:
            step = min(ms, BEAT_MS)
            self.clock.advance(ms=step)
            self.really += step
            self.ages.look()
            ms -= step

    def stop(self, ms: int, jump_ms: int = 0, *, reboot: bool = False) -> None:
        """He ends, so much time passes, the clock is set, and another one comes."""
        former = self.ages.heartbeat()
        self.clock.advance(ms=ms)
        self.really += ms
        self.clock.jump(ms=jump_ms)
        if reboot:
            self.boot += 1
            self.clock = FakeClock(self.clock.now())
        if reboot or jump_ms:
            self.off += ms
        self.ages = Ages(self.clock, f"boot {self.boot}", former)


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_a_jump_while_he_runs_ages_nothing(days: int) -> None:
    machine = Machine()
    queued = machine.clock.now()
    machine.run(HOUR)
    machine.clock.jump(days=days)
    assert abs(machine.ages.age_ms(queued) - HOUR) < 1000
    later = machine.clock.now()
    machine.run(HOUR)
    assert abs(machine.ages.age_ms(queued) - 2 * HOUR) < 1000
    assert abs(machine.ages.age_ms(later) - HOUR) < 1000
    assert machine.ages.stamp(later) == later
    assert abs(machine.ages.now() - START - 2 * HOUR) < 1000


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_a_jump_while_he_is_stopped_ages_nothing_by_more_than_the_stop(days: int) -> None:
    machine = Machine()
    queued = machine.clock.now()
    machine.run(HOUR)
    machine.stop(10 * 60_000, days * DAY)
    passed = machine.ages.age_ms(queued) - HOUR
    assert passed == (10 * 60_000 if days > 0 else 0), "the wall clock's word, but no more than the machine's own clock has seen"


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_after_a_reboot_with_another_clock_a_day_counts_at_most(days: int) -> None:
    machine = Machine()
    queued = machine.clock.now()
    machine.run(HOUR)
    machine.stop(10 * 60_000, days * DAY, reboot=True)
    assert machine.ages.age_ms(queued) - HOUR == (_UNKNOWN_MS if days > 1 else DAY if days == 1 else 0)


def test_a_stop_with_a_clock_that_runs_counts_wholly() -> None:
    machine = Machine()
    queued = machine.clock.now()
    machine.stop(3 * DAY)
    assert machine.ages.age_ms(queued) == 3 * DAY
    machine.stop(2 * HOUR, reboot=True)
    assert machine.ages.age_ms(queued) == 3 * DAY + 2 * HOUR


def test_without_the_name_of_a_boot_its_clock_says_nothing() -> None:
    clock = FakeClock()
    former = Ages(clock, "").heartbeat()
    clock.advance(days=3)
    assert Ages(clock, "", former).age_ms(START) == _UNKNOWN_MS


def test_a_time_that_no_clock_has_shown_is_younger_than_the_jump_over_it() -> None:
    machine = Machine()
    machine.run(HOUR)
    machine.clock.jump(days=10)
    machine.run(HOUR)
    assert HOUR - BEAT_MS <= machine.ages.age_ms(Millis(START + 5 * DAY)) <= HOUR
    assert machine.ages.age_ms(Millis(START + 5000 * DAY)) == 0


_DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("queue"), st.just(0)),
        st.tuples(st.just("run"), st.integers(1, 8 * HOUR)),
        st.tuples(st.just("jump"), st.integers(-400 * DAY, 400 * DAY)),
        st.tuples(st.just("stop"), st.integers(0, 9 * DAY)),
        st.tuples(st.just("stop and jump"), st.integers(-400 * DAY, 400 * DAY)),
        st.tuples(st.just("reboot and jump"), st.integers(-400 * DAY, 400 * DAY)),
    ),
    max_size=12,
)


@given(_DEEDS)
def test_whatever_happens_nothing_is_older_than_it_is(deeds: list[tuple[str, int]]) -> None:
    machine = Machine()
    queued: list[tuple[Millis, int]] = []
    for deed, ms in deeds:
        match deed:
            case "queue":
                queued.append((machine.clock.now(), machine.really))
            case "run":
                machine.run(ms)
            case "jump":
                machine.clock.jump(ms=ms)
            case "stop":
                machine.stop(ms)
            case "stop and jump":
                machine.stop(HOUR, ms)
            case _:
                machine.stop(HOUR, ms, reboot=True)
                machine.really += DAY  # what such a stop may count for at most, and the wall clock said
        for stamp, at in queued:
            assert 0 <= machine.ages.age_ms(stamp) <= machine.really - at + 2 * _LATE_MS


@given(st.lists(st.integers(1, 400 * DAY), max_size=6))
def test_jumps_ahead_make_nothing_younger(jumps: list[int]) -> None:
    """Ahead no stamp is ambiguous, so the age is exact: nobody waits for ever because a clock is set again and again."""
    machine = Machine()
    queued = machine.clock.now()
    for ms in jumps:
        machine.run(HOUR)
        machine.clock.jump(ms=ms)
    machine.run(HOUR)
    assert abs(machine.ages.age_ms(queued) - machine.really) <= _LATE_MS

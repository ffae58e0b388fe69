"""Identifiers that sort by time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.base.ids import IdMaker, id_from_text, id_text


class Clock:
    """A clock that a test sets."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> Millis:
        return Millis(self.at)

    def monotonic(self) -> float:
        return self.at / 1000


def test_ids_grow_also_while_the_clock_steps_back() -> None:
    clock = Clock(1_800_000_000_000)
    maker = IdMaker(clock)
    made = []
    for step in (0, 0, 5, -10_000, -20_000, 0, 6):
        clock.at = 1_800_000_000_000 + step
        made.append(maker.envelope_id())
    assert made == sorted(set(made))


def test_more_ids_than_a_millisecond_has_room_for_still_differ() -> None:
    maker = IdMaker(Clock(1_800_000_000_000))
    made = [maker.envelope_id() for _ in range(40_000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)


def test_processes_of_one_host_never_make_the_same_id() -> None:
    clock = Clock(1_800_000_000_000)
    makers = [IdMaker(clock, node) for node in (0, 1, 255)]
    made = [maker.envelope_id() for maker in makers for _ in range(100)]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("node", [-1, 256])
def test_a_process_number_has_eight_bits(node: int) -> None:
    with pytest.raises(BadValue):
        IdMaker(Clock(0), node)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_the_text_of_an_id_sorts_as_the_id_and_leads_back(one: int, other: int) -> None:
    assert id_from_text(id_text(one)) == one
    assert (id_text(one) < id_text(other)) == (one < other)


def test_upper_case_means_the_same() -> None:
    assert id_from_text(id_text(12345).upper()) == 12345


@pytest.mark.parametrize("text", ["", "0", "0" * 12, "0" * 14, "u" * 13, "zzzzzzzzzzzzz", "0000000000 00", "٠" * 13, "<a@b>"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        id_from_text(text)

"""What lookups have found is kept as long as their answers, and within bounds."""

from __future__ import annotations

from ekiden.dns.questions import Answer, Finding, Question
from ekiden.dns.records import Txt
from ekiden.net.memory import OutcomeMemory, Used
from ekiden.testing.clock import FakeClock


def _used(name: str = "one.test", *, until: float = 60.0, finding: Finding = Finding.FOUND, size: int = 500) -> Used:
    return Used(Answer(Question(Txt, name), finding, (Txt((b"hello\x07",)),)), until, size)


def _memory(clock: FakeClock, *, entries: int = 10, size: int = 1 << 20) -> OutcomeMemory:
    begun = clock.monotonic()
    return OutcomeMemory(entries, size, lambda: clock.monotonic() - begun)


def test_an_outcome_lasts_as_long_as_the_first_of_its_answers_to_grow_old() -> None:
    clock = FakeClock()
    memory = _memory(clock)
    memory.put("key", "outcome", [_used(until=60.0), _used("two.test", until=30.0)])
    clock.advance(seconds=29.9)
    kept = memory.get("key")
    assert kept is not None
    assert kept.value == "outcome"
    assert [words for _, words in kept.told] == [("one.test. TXT", '"hello\\007"'), ("two.test. TXT", '"hello\\007"')]
    clock.advance(seconds=0.2)
    assert memory.get("key") is None
    assert memory.get("other") is None


def test_what_a_failure_had_a_part_in_and_what_rests_on_nothing_is_not_kept() -> None:
    memory = _memory(FakeClock())
    memory.put("a", "outcome", [_used(), _used("ill.test", finding=Finding.FAILED)])
    memory.put("b", "outcome", [])
    memory.put("c", "outcome", [_used(size=1 << 15)])  # more than a sixty-fourth
    assert [memory.get(key) for key in "abc"] == [None] * 3


def test_the_least_used_leaves_first_and_bytes_count() -> None:
    memory = _memory(FakeClock(), entries=3)
    for key in "abc":
        memory.put(key, key, [_used()])
    assert memory.get("a") is not None
    memory.put("d", "d", [_used()])
    assert [memory.get(key) is not None for key in "abcd"] == [True, False, True, True]
    memory.clear()
    assert memory.get("a") is None
    few = _memory(FakeClock(), entries=1_000, size=200_000)
    for number in range(200):
        few.put(number, number, [_used()])
    assert [number for number in range(200) if few.get(number) is not None] == list(range(120, 200))  # 2,500 bytes each


def test_an_outcome_that_comes_anew_replaces_the_old_one() -> None:
    memory = _memory(FakeClock(), entries=1_000, size=200_000)
    for number in range(200):
        memory.put("key", number, [_used()])
    memory.put("other", "other", [_used()])
    kept = memory.get("key")
    assert kept is not None
    assert kept.value == 199
    assert memory.get("other") is not None

"""Is it wanted? What words say alone and together, when there is no opinion, and how often it is right."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mail.letters import Letter, letters

from ekiden.mail.bayes import ENOUGH, NEVER, STRONGEST, Opinion, Seen, is_enough, judge
from ekiden.mail.words import words_of

TOTAL = Seen(50, 50)


def told(words: Mapping[str, Seen], total: Seen = TOTAL) -> Opinion:
    opinion = judge(words, words, total, {}, NEVER)
    assert opinion is not None
    return opinion


def test_words_of_one_side_decide_and_are_named_strongest_first() -> None:
    opinion = told({"pills": Seen(20, 0), "offer": Seen(10, 5), "meeting": Seen(0, 3), "the": Seen(50, 50)})
    assert [each.word for each in opinion.words] == ["pills", "meeting", "offer"]
    assert opinion.words[0].probability > 0.97
    assert opinion.reasons == ("pills", "offer")
    assert told({"pills": Seen(20, 0), "cheap": Seen(15, 0), "casino": Seen(9, 0)}).probability > 0.98
    assert told({"meeting": Seen(0, 20), "minutes": Seen(0, 15), "lunch": Seen(0, 9)}).probability < 0.02


def test_much_of_both_sides_is_no_opinion_and_neither_is_nothing() -> None:
    both = {f"s{at}": Seen(20, 0) for at in range(30)} | {f"h{at}": Seen(0, 20) for at in range(30)}
    assert told(both).probability == pytest.approx(0.5, abs=1e-6)
    assert told({}).probability == 0.5
    assert told({"the": Seen(25, 25)}) == Opinion(0.5, ())


def test_a_word_that_was_seen_once_says_less_than_one_that_was_seen_often() -> None:
    once, often = told({"x": Seen(1, 0)}).words[0].probability, told({"x": Seen(30, 0)}).words[0].probability
    assert 0.6 < once < 0.9 < often < 1.0


def test_what_counts_is_how_large_a_part_of_each_kind_has_a_word() -> None:
    (word,) = told({"x": Seen(10, 10)}, Seen(20, 2000)).words
    assert word.probability > 0.95, "half of all unwanted mail, and half a percent of the rest"


@pytest.mark.parametrize(("own", "everybody", "enough"), [
    (Seen(ENOUGH, ENOUGH), NEVER, True),
    (Seen(ENOUGH - 1, 1000), NEVER, False),
    (Seen(1000, ENOUGH - 1), NEVER, False),
    (Seen(1, 0), Seen(ENOUGH - 1, ENOUGH), True),
    (NEVER, Seen(ENOUGH, ENOUGH), True),
    (NEVER, NEVER, False),
])
def test_too_few_lessons_of_either_kind_are_no_opinion(own: Seen, everybody: Seen, enough: bool) -> None:
    assert is_enough(own, everybody) is enough
    assert (judge(["x"], {"x": own}, own, {"x": everybody}, everybody) is not None) is enough


def test_ten_of_ones_own_outweigh_what_everybody_was_taught() -> None:
    everybody, total = {"golf": Seen(30, 10), "club": Seen(30, 10)}, Seen(100, 100)
    assert all(each.probability > 0.7 for each in judge(["golf", "club"], {}, NEVER, everybody, total).words)  # type: ignore[union-attr]
    own = {"golf": Seen(0, 10), "club": Seen(0, 10)}
    mine = judge(["golf", "club"], own, Seen(0, 10), everybody, total)
    assert mine is not None
    assert all(each.probability < 0.45 for each in mine.words)


def test_so_many_words_decide_and_no_more() -> None:
    words = {f"s{at}": Seen(40, 0) for at in range(STRONGEST)} | {f"h{at}": Seen(0, 2) for at in range(500)}
    opinion = told(words)
    assert len(opinion.words) == STRONGEST
    assert opinion.probability > 0.999


_COUNTS = st.integers(0, 10**12)


@given(st.dictionaries(st.text(max_size=3), st.builds(Seen, _COUNTS, _COUNTS), max_size=300), st.integers(10, 10**12), st.integers(10, 999))
def test_numbers_stay_numbers(words: dict[str, Seen], spam: int, ham: int) -> None:
    opinion = judge(words, words, Seen(spam, ham), words, Seen(spam, ham))
    assert opinion is not None
    assert 0.0 <= opinion.probability <= 1.0
    assert all(0.0 < each.probability < 1.0 and math.isfinite(each.probability) for each in opinion.words)


# ---- how often it is right ---------------------------------------------------------------------


class Taught:
    """Counts in memory."""

    def __init__(self, lessons: Iterable[Letter]) -> None:
        spam: Counter[str] = Counter()
        ham: Counter[str] = Counter()
        numbers = Counter[bool]()
        for one in lessons:
            (spam if one.is_spam else ham).update(words_of(one.raw))
            numbers[one.is_spam] += 1
        self.words = {word: Seen(spam[word], ham[word]) for word in spam.keys() | ham.keys()}
        self.total = Seen(numbers[True], numbers[False])

    def probability(self, raw: bytes) -> float:
        opinion = judge(words_of(raw), self.words, self.total, {}, NEVER)
        assert opinion is not None
        return opinion.probability


def _rates(taught: Taught, asked: list[Letter]) -> tuple[float, float, float]:
    """The part that is on the right side of 0.5, that of spam which is above 0.9, and that of ham which is above 0.5."""
    values = [(one.is_spam, taught.probability(one.raw)) for one in asked]
    right = sum((value > 0.5) == is_spam for is_spam, value in values) / len(values)
    spam = [value for is_spam, value in values if is_spam]
    ham = [value for is_spam, value in values if not is_spam]
    return right, sum(value > 0.9 for value in spam) / len(spam), sum(value > 0.5 for value in ham) / len(ham)


@pytest.mark.parametrize("lessons", [30, 150])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_is_right_about_mail_that_it_has_not_seen(language: str, lessons: int) -> None:
    right, caught, wrong = _rates(Taught(letters(lessons, 1, language)), list(letters(300, 2, language)))
    assert right >= 0.95
    assert caught >= 0.9
    assert wrong < 0.01


def test_both_languages_are_learned_together() -> None:
    taught = Taught([*letters(100, 1, "en"), *letters(100, 1, "ja")])
    for language in ("en", "ja"):
        right, _, wrong = _rates(taught, list(letters(200, 2, language)))
        assert right >= 0.95
        assert wrong < 0.01

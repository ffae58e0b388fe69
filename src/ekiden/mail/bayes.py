"""Is mail with these words wanted? From how often each word was in mail that readers kept, and in mail that they threw away.

Each word has a probability of its own, near 0.5 where little is known of it (Robinson's prior); the strongest are combined by Fisher's
method, once for each side, so that a message with much of both sides ends near 0.5. A reader's own lessons count several times as much as
those that were given for everybody.
Pure: no I/O. All numbers stay finite, whatever the counts.
Source: G. Robinson, "A Statistical Approach to the Spam Problem" (2003); R. A. Fisher's combination of probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import exp, lgamma, log
from typing import NamedTuple

ENOUGH = 10
"""Lessons of each kind without which there is no opinion."""
STRONGEST = 150
"""How many words decide at most."""
OWN = 5
"""How many lessons for everybody one of a reader's own outweighs."""
_PRIOR = 0.5
_PRIOR_WEIGHT = 0.45
_LEAST = 0.1


class Seen(NamedTuple):
    """How many messages of each kind: all that were taught, or those with a word."""

    spam: int = 0
    ham: int = 0


NEVER = Seen()


class Weighed(NamedTuple):
    """A word and what it says by itself: 0.0 (wanted) to 1.0 (unwanted)."""

    word: str
    probability: float


class Opinion(NamedTuple):
    """probability: 0.0 (wanted) to 1.0 (unwanted). words: those that decided, the strongest first."""

    probability: float
    words: tuple[Weighed, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The words that say the same as the whole, the strongest first."""
        return tuple(each.word for each in self.words if (each.probability > 0.5) == (self.probability > 0.5))


def is_enough(own: Seen, everybody: Seen = NEVER) -> bool:
    """Whether so many lessons are enough for an opinion."""
    return own.spam + everybody.spam >= ENOUGH and own.ham + everybody.ham >= ENOUGH


def judge(
    words: Iterable[str], own: Mapping[str, Seen], own_total: Seen, everybody: Mapping[str, Seen], everybody_total: Seen
) -> Opinion | None:
    """What a message with these words is like; None as long as too little has been taught.

    own, everybody: counts of those words that were seen at all.
    """
    if not is_enough(own_total, everybody_total):
        return None
    all_spam = OWN * own_total.spam + everybody_total.spam
    all_ham = OWN * own_total.ham + everybody_total.ham
    weighed: list[Weighed] = []
    for word in words:
        mine, theirs = own.get(word, NEVER), everybody.get(word, NEVER)
        messages = mine.spam + mine.ham + theirs.spam + theirs.ham
        if messages <= 0:
            continue
        in_spam = (OWN * mine.spam + theirs.spam) / all_spam
        in_ham = (OWN * mine.ham + theirs.ham) / all_ham
        probability = (_PRIOR_WEIGHT * _PRIOR + messages * in_spam / (in_spam + in_ham)) / (_PRIOR_WEIGHT + messages)
        if abs(probability - 0.5) >= _LEAST:
            weighed.append(Weighed(word, probability))
    weighed.sort(key=lambda each: (-abs(each.probability - 0.5), each.word))
    del weighed[STRONGEST:]
    return Opinion(_combined([each.probability for each in weighed]), tuple(weighed))


def _combined(probabilities: list[float]) -> float:
    """Of both hypotheses, the one that fails worse loses; 0.5 where both or none fail."""
    if not probabilities:
        return 0.5
    count = len(probabilities)
    against_ham = _chance(-sum([log(1.0 - each) for each in probabilities]), count)
    against_spam = _chance(-sum([log(each) for each in probabilities]), count)
    return min(1.0, max(0.0, (1.0 + against_spam - against_ham) / 2.0))


def _chance(surprise: float, count: int) -> float:
    """How likely so much surprise, or more, is by chance: chi-square of 2 * surprise with 2 * count degrees of freedom."""
    if surprise <= 0.0:
        return 1.0
    step = log(surprise)
    return min(1.0, sum([exp(number * step - surprise - lgamma(number + 1)) for number in range(count)]))

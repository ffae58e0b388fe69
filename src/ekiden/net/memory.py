"""What lookups have found, kept for as long as all the answers that it rests on may be kept.

Who asks the same thing for each message (may this address send for this domain?) gets the same outcome until one of its answers
is too old, without asking and without thinking anew. The answers are kept beside it, since each message tells in its journey what it
rests on. Nothing is kept that a failed question had a part in. Bounded in outcomes and bytes; what was used least leaves first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from ekiden.dns.questions import Answer, Finding
from ekiden.smtp.replies import printable

_OF_ONE = 64
"""One outcome takes at most so small a part of all bytes."""
_OUTCOME_BYTES = 2_000


def words_of(answer: Answer) -> tuple[str, str]:
    """A question and its answer, as people read them in a journey."""
    return printable(str(answer.question)), printable(answer.brief())


class Used(NamedTuple):
    """An answer that a lookup was given. until: when it is too old, by the clock of the memory. size: about how many bytes."""

    answer: Answer
    until: float
    size: int


class Kept(NamedTuple):
    """An outcome. told: the answers in the order in which they were given, each with its words."""

    value: object
    told: tuple[tuple[Answer, tuple[str, str]], ...]
    until: float
    size: int


class OutcomeMemory:
    """Outcomes by key. now: a clock that never goes back, in seconds."""

    def __init__(self, entries: int, size: int, now: Callable[[], float]) -> None:
        self._most_entries = entries
        self._most_bytes = size
        self._now = now
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def get(self, key: Hashable) -> Kept | None:
        """What is kept under a key and not too old."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._now() >= kept.until:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, key: Hashable, value: object, used: Sequence[Used]) -> None:
        """Keep an outcome, unless it rests on nothing, on a question that failed, or on so much that others would have to go."""
        if not used or any(each.answer.finding is Finding.FAILED for each in used):
            return
        size = _OUTCOME_BYTES + sum(each.size for each in used)
        if size > self._most_bytes // _OF_ONE:
            return
        self._drop(key)
        told = tuple((each.answer, words_of(each.answer)) for each in used)
        self._kept[key] = Kept(value, told, min(each.until for each in used), size)
        self._bytes += size
        while len(self._kept) > self._most_entries or self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._bytes = 0

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.size

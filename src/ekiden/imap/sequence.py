"""Sets of message numbers and of UIDs, resolved without walking through their ranges.

Source: RFC 3501 §9 (sequence-set), RFC 9051 §9, RFC 4315 §3 (uid-set).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ekiden.base.errors import BadValue

LARGEST = 0xFFFFFFFF
STAR = LARGEST + 1
"""Stands for "*" in a range: larger than every number until it is resolved."""

_SET = re.compile(rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?(?:,(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?)*+")


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges as the client wrote them, each (low, high) with low <= high; STAR where it wrote "*"."""

    ranges: tuple[tuple[int, int], ...]

    def resolve(self, largest: int) -> list[tuple[int, int]]:
        """Ranges in rising order that do not touch; "*" is `largest`. Parts above it stay (but for "*" itself)."""
        found: list[tuple[int, int]] = []
        for low, high in self.ranges:
            low = largest if low == STAR else low
            high = largest if high == STAR else high
            # RFC 3501 §9: the order of the two ends does not matter, "559:*" always holds "*".
            found.append((low, high) if low <= high else (high, low))
        if len(found) < 2:
            return found
        found.sort()
        joined = [found[0]]
        for low, high in found[1:]:
            last_low, last_high = joined[-1]
            if low <= last_high + 1:
                if high > last_high:
                    joined[-1] = (last_low, high)
            else:
                joined.append((low, high))
        return joined

    def highest(self) -> int:
        """The largest number that the client named, 0 if it named none but "*"."""
        return max((high if high != STAR else (low if low != STAR else 0) for low, high in self.ranges), default=0)

    def uids(self, view: Sequence[int]) -> list[int]:
        """The UIDs of `view` (rising) that are in this set of UIDs."""
        found: list[int] = []
        for low, high in self.resolve(view[-1] if view else 0):
            found.extend(view[bisect_left(view, low) : bisect_right(view, high)])
        return found

    def numbers(self, count: int) -> list[tuple[int, int]]:
        """Ranges of message numbers 1 … count. Raises BadValue for a number above (RFC 3501 §9 asks for BAD).

        An empty mailbox has no message number at all, so that every set raises there.
        """
        if self.highest() > count or not count:
            raise BadValue("message number", str(self.highest()), f"the mailbox holds {count}")
        return self.resolve(count)

    def text(self) -> bytes:
        """The set in the client's words."""
        return b",".join(_number(low) if low == high else b"%b:%b" % (_number(low), _number(high)) for low, high in self.ranges)


def _number(value: int) -> bytes:
    return b"*" if value == STAR else b"%d" % value


def parse_sequence_set(raw: bytes) -> SequenceSet:
    """A set from the wire. Raises BadValue for 0, a number above 2**32-1, or any other text."""
    if not _SET.fullmatch(raw):
        raise BadValue("sequence set", raw)
    ranges: list[tuple[int, int]] = []
    for piece in raw.split(b","):
        first, colon, last = piece.partition(b":")
        low = STAR if first == b"*" else int(first)
        high = low if not colon else STAR if last == b"*" else int(last)
        if (first != b"*" and low > LARGEST) or (last not in (b"", b"*") and high > LARGEST):
            raise BadValue("sequence set", piece, "number above 2**32-1")
        ranges.append((low, high) if low <= high else (high, low))
    return SequenceSet(tuple(ranges))


def format_set(numbers: Iterable[int]) -> bytes:
    """The shortest sequence set of some numbers, which come in rising order (RFC 4315 §3). b"" for none."""
    pieces: list[bytes] = []
    low = high = 0
    for number in numbers:
        if number == high + 1 and low:
            high = number
            continue
        if low:
            pieces.append(b"%d" % low if low == high else b"%d:%d" % (low, high))
        low = high = number
    if low:
        pieces.append(b"%d" % low if low == high else b"%d:%d" % (low, high))
    return b",".join(pieces)

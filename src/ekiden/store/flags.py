"""Flags as columns: the system flags are bits, keywords a sorted list with a blank between.

Source: RFC 9051 §2.3.2.
"""

from __future__ import annotations

from collections.abc import Iterable

SEEN, ANSWERED, FLAGGED, DELETED, DRAFT = 1, 2, 4, 8, 16
_BITS = {"\\seen": SEEN, "\\answered": ANSWERED, "\\flagged": FLAGGED, "\\deleted": DELETED, "\\draft": DRAFT}
_NAMES = ((SEEN, "\\Seen"), (ANSWERED, "\\Answered"), (FLAGGED, "\\Flagged"), (DELETED, "\\Deleted"), (DRAFT, "\\Draft"))
_sets: dict[tuple[int, str], frozenset[str]] = {}


def split(flags: Iterable[str]) -> tuple[int, frozenset[str]]:
    """Bits and keywords; \\Recent and unknown system flags are left out, a keyword keeps the spelling it has here."""
    bits = 0
    keywords = set()
    for flag in flags:
        if flag.startswith("\\"):
            bits |= _BITS.get(flag.lower(), 0)
        else:
            keywords.add(flag)
    return bits, frozenset(keywords)


def join(bits: int, keywords: str) -> frozenset[str]:
    """The set that a reader sees."""
    found = _sets.get((bits, keywords))
    if found is None:
        found = frozenset([name for bit, name in _NAMES if bits & bit] + (keywords.split(" ") if keywords else []))
        if len(_sets) < 10_000:
            _sets[bits, keywords] = found
    return found

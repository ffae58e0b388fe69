"""Patterns of LIST and LSUB: "*" is anything, "%" anything without a delimiter.

Judged in one pass over the name, whatever the pattern: the set of places in the pattern that the name may have reached is one
number, a bit for each place.
Source: RFC 3501 §6.3.8, RFC 5258 §3.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from ekiden.base.errors import BadValue
from ekiden.imap.grammar import DELIMITER, INBOX
from ekiden.imap.mutf7 import decode_mutf7

_LONGEST = 2_048


def compile_pattern(raw: bytes) -> Callable[[str], bool]:
    """A function that tells whether a mailbox name matches. raw: reference and pattern joined, in modified UTF-7."""
    try:
        pattern = unicodedata.normalize("NFC", decode_mutf7(raw))
    except BadValue:
        return _never
    if len(pattern) > _LONGEST and len(pattern.strip("%*")) > _LONGEST:
        return _never  # no name is as long as that
    matches = _compile(pattern)
    # INBOX is the same in any case (RFC 3501 §5.1), names below it are not.
    inbox = _compile("".join(c.upper() if c.isascii() else c for c in pattern))
    return lambda name: inbox(name) if name == INBOX else matches(name)


def _never(name: str) -> bool:
    return False


def _compile(pattern: str) -> Callable[[str], bool]:
    places: dict[str, int] = {}  # character → bits of the places from which it leads on
    any_star = any_percent = 0  # bits of the places where a wildcard stands
    place = 0
    for character in pattern:
        if character == "*":
            any_star |= 1 << place
        elif character == "%":
            any_percent |= 1 << place
        else:
            places[character] = places.get(character, 0) | 1 << place
            place += 1
    last = 1 << place

    def matches(name: str) -> bool:
        reached = 1
        for character in name:
            stay = reached & any_star
            if character != DELIMITER:
                stay |= reached & any_percent
            reached = (reached & places.get(character, 0)) << 1 | stay
            if not reached:
                return False
        return bool(reached & last)

    return matches

"""Texts that are published in the DNS: policies, keys, reasons; with bounds on what a stranger may make us read.

Promise: at most ten texts of one name, each with its strings joined and at most one byte longer than the caller has use
for, so that a text that is too long is seen to be so and never half of it is taken for the whole.
Source: RFC 1035 §3.3.14, RFC 7208 §3.3, RFC 6376 §3.6.2.2, RFC 7489 §6.6.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.dns.questions import Answer, Lookup, ask_fully
from ekiden.dns.records import Txt

MOST_TEXTS = 10
MOST_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Texts:
    """What one name publishes. values: as asked for, in the order they came. more: some were left out. answer: all that was said."""

    values: tuple[bytes, ...]
    more: bool
    answer: Answer


def ask_texts(name: str, *, begins: bytes = b"", most_bytes: int = MOST_BYTES) -> Lookup[Texts]:
    """The texts of a name that begin with `begins` (ASCII, upper and lower case are one); none where there are none.

    most_bytes: a longer text is cut to one byte more than that; whoever reads it refuses it by its length.
    Raises NoAnswer where nobody could tell.
    """
    answer = yield from ask_fully(Txt, name)
    wanted = begins.lower()
    values: list[bytes] = []
    for record in answer.records:
        if not isinstance(record, Txt):
            continue
        value = record.value[: most_bytes + 1]
        if value[:len(wanted)].lower() != wanted:
            continue
        if len(values) == MOST_TEXTS:
            return Texts(tuple(values), True, answer)
        values.append(value)
    return Texts(tuple(values), False, answer)

"""The identifiers of the house, and the maker of those that sort by time.

An EnvelopeId has 63 bits: 41 of milliseconds since 2020-01-01, 8 of the process that made it, 14 that count.
As text it is 13 characters of Crockford's base 32, in which no letter looks like a digit.
"""

from __future__ import annotations

from typing import NewType

from ekiden.base.clock import Clock
from ekiden.base.errors import BadValue

EnvelopeId = NewType("EnvelopeId", int)
DeliveryId = NewType("DeliveryId", int)
BlobId = NewType("BlobId", str)
AccountId = NewType("AccountId", int)
MailboxId = NewType("MailboxId", int)
Uid = NewType("Uid", int)
"""1 … 2**32-1, never used twice in a mailbox (RFC 9051 §2.3.1.1)."""
ModSeq = NewType("ModSeq", int)
"""1 … 2**63-1, grows with every change of a mailbox (RFC 7162 §3.1)."""

_EPOCH_MS = 1_577_836_800_000  # 2020-01-01 00:00 UTC
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_TEXT_LENGTH = 13


class IdMaker:
    """Makes EnvelopeIds that grow, also while the wall clock steps back.

    node: 0 … 255, different for each process that writes to one store.
    """

    def __init__(self, clock: Clock, node: int = 0) -> None:
        if not 0 <= node <= 255:
            raise BadValue("node number", str(node), "0 to 255")
        self._clock = clock
        self._node = node << 14
        self._last_ms = 0
        self._count = 0

    def envelope_id(self) -> EnvelopeId:
        """The next id; never the same twice from one maker."""
        ms = self._clock.now() - _EPOCH_MS
        if ms > self._last_ms:
            self._last_ms, self._count = ms, 0
        else:
            self._count += 1
            if self._count == 1 << 14:
                self._last_ms, self._count = self._last_ms + 1, 0
        return EnvelopeId(self._last_ms << 22 | self._node | self._count)


def id_text(number: int) -> str:
    """An id as people see it: 13 characters, which sort as the numbers do."""
    pairs = _PAIRS
    return (
        _DIGITS[number >> 60 & 31]
        + pairs[number >> 50 & 1023]
        + pairs[number >> 40 & 1023]
        + pairs[number >> 30 & 1023]
        + pairs[number >> 20 & 1023]
        + pairs[number >> 10 & 1023]
        + pairs[number & 1023]
    )


def id_from_text(text: str) -> EnvelopeId:
    """The number behind id_text's form; upper and lower case are the same. Raises BadValue."""
    lowered = text.lower()
    if len(lowered) != _TEXT_LENGTH or any(digit not in _VALUE for digit in lowered):
        raise BadValue("message id", text)
    number = 0
    for digit in lowered:
        number = number << 5 | _VALUE[digit]
    if number >= 1 << 63:
        raise BadValue("message id", text)
    return EnvelopeId(number)

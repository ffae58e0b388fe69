"""What time it is, as an injected thing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NewType, Protocol

Millis = NewType("Millis", int)
"""Milliseconds since 1970-01-01 00:00 UTC."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # 9999-12-31


def moment(at: Millis) -> datetime:
    """That time in UTC. Not by the C library, which counts leap seconds where the zone of the process does ("right/UTC")."""
    return _EPOCH + timedelta(milliseconds=min(max(at, 0), _LAST_MS))


class Clock(Protocol):
    """Wall time for records, monotonic time for intervals."""

    def now(self) -> Millis:
        """The wall clock; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; the zero point means nothing."""
        ...


class Timer(Clock, Protocol):
    """A clock that one can also wait on, for work that is due at a time of day (retries, upkeep)."""

    async def sleep_until(self, at: Millis) -> None:
        """Return once now() >= at; at once if that is so already. May be cancelled.

        A wall clock that is set back meanwhile makes the wait no longer than it was when it began.
        """
        ...

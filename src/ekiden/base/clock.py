"""What time it is, as an injected thing."""

from __future__ import annotations

from typing import NewType, Protocol

Millis = NewType("Millis", int)
"""Milliseconds since 1970-01-01 00:00 UTC."""


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

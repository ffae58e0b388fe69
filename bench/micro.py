"""How long one call takes, in a process that does nothing else; for the programs of bench/ that measure functions and not servers."""

from __future__ import annotations

import time
from collections.abc import Callable


def best_us(work: Callable[[], object], seconds: float = 0.6) -> float:
    """Microseconds of one call, the best of many rounds."""
    work()
    begun = time.perf_counter()
    work()
    count = max(1, int(0.02 / max(time.perf_counter() - begun, 1e-6)))
    found: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(found) < 3:
        begun = time.perf_counter()
        for _ in range(count):
            work()
        found.append((time.perf_counter() - begun) / count)
    return min(found) * 1e6


class Bar:
    """What one call may cost. Use it with `with`: at its end the program fails if something cost more."""

    def __init__(self, most_us: float) -> None:
        self._most_us = most_us
        self._slow: list[str] = []

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._slow:
            raise SystemExit(f"more than {self._most_us:.0f} µs: {', '.join(self._slow)}")

    def show(self, what: str, us: float, beside: str = "") -> None:
        """Print a row."""
        print(f"{what:44} {us:8.1f} µs{beside}")
        if us > self._most_us:
            self._slow.append(what)

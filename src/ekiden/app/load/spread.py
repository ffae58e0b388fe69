"""How times are spread: quantiles of any number of them in little memory, each within one percent."""

from __future__ import annotations

from collections import Counter
from math import ceil, exp, log

_PER_E = 100  # bins for each factor of e: one is 1 % wide
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


class Spread:
    """Times in seconds, counted in bins of one percent; longest is exact."""

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._bins: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one; what is below a microsecond counts as one."""
        self.count += 1
        if seconds > self.longest:
            self.longest = seconds
        self._bins[int(log(seconds * 1e6) * _PER_E) if seconds > 1e-6 else 0] += 1

    def quantile(self, share: float) -> float:
        """The time that this share (0 … 1) of all took at most; 0.0 if there was none."""
        wanted = ceil(share * self.count)
        seen = 0
        for place in sorted(self._bins):
            seen += self._bins[place]
            if seen >= wanted:
                return min(self.longest, exp((place + 1) / _PER_E) / 1e6)
        return self.longest

    def summary(self) -> dict[str, float]:
        """p50 … p99.9 and the longest, in milliseconds."""
        found = {f"p{share * 100:g}": round(self.quantile(share) * 1000, 3) for share in QUANTILES}
        return {**found, "max": round(self.longest * 1000, 3)}

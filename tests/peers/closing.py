"""The closing lines of a run: which foreign peers took part, and how many of the published cases passed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping


class Tally:
    """Filled from the reports of all tests, also from those of other processes: a report carries its properties along."""

    def __init__(self, reports: Mapping[str, Iterable[object]]) -> None:
        self._ran: set[str] = set()
        self._absent: dict[str, str] = {}
        self._total: dict[str, int] = {}
        self._passed: Counter[str] = Counter()
        self._elsewhere: set[str] = set()
        for outcome, some in reports.items():
            for report in some:
                for name, value in getattr(report, "user_properties", ()):
                    if name == "peer":
                        self._peer(value, report)
                    elif name == "conformance":
                        self._case(value, outcome, report)

    def _peer(self, value: tuple[str, str], report: object) -> None:
        peer, reason = value
        if reason:
            self._absent[peer] = reason
        elif getattr(report, "when", "") == "call":
            self._ran.add(peer)

    def _case(self, value: tuple[str, int, bool, bool], outcome: str, report: object) -> None:
        suite, cases, here, one = value
        self._total[suite] = cases
        if not here:
            self._elsewhere.add(suite)
        elif outcome == "passed" and getattr(report, "when", "") == "call":
            self._passed[suite] += 1 if one else cases

    def lines(self) -> list[str]:
        """None, one or two lines."""
        found = []
        if self._ran or self._absent:
            by_reason: defaultdict[str, list[str]] = defaultdict(list)
            for peer, reason in sorted(self._absent.items()):
                by_reason[reason].append(peer)
            why = "; ".join(f"{', '.join(peers)}: {reason}" for reason, peers in by_reason.items())
            found.append(f"peers: {len(self._ran)} run, {len(self._absent)} not here" + (f" ({why})" if why else ""))
        if self._total:
            done = {suite: min(self._passed[suite], cases) for suite, cases in self._total.items()}
            parts = ", ".join(
                f"{suite} {done[suite]} of {self._total[suite]}" for suite in sorted(self._total) if suite not in self._elsewhere
            )
            lead = "conformance: " + ("not here, " if self._elsewhere == set(self._total) else "")
            found.append(f"{lead}{sum(done.values())} of {sum(self._total.values())} cases" + (f" ({parts})" if parts else ""))
        return found

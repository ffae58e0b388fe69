"""What builtin policies go by: an operator's settings, as every context has them (Context.rules), and which lists are asked.

Source: RFC 5782 (lists in the DNS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ekiden.dns.dnsbl import DnsList, ListHealth
from ekiden.mail.findings import WEIGHTS
from ekiden.policy.score import Thresholds


@dataclass(frozen=True, slots=True)
class ListRule:
    """One list. name: its finding is "listed-NAME". points: below 0 for a list of the good. refuse: by builtin:dnsbl."""

    name: str
    listed_by: DnsList
    points: int
    refuse: bool = False

    @property
    def finding(self) -> str:
        """The name of its finding."""
        return f"listed-{self.name}"


@dataclass(frozen=True, slots=True)
class Lists:
    """All lists, and which of them proved sane: one health for all messages of a process."""

    rules: tuple[ListRule, ...]
    health: ListHealth


@dataclass(frozen=True, slots=True)
class Rules:
    """hostname: ours. weights: the points of every finding, those of lists too. lists: None where nobody is asked."""

    hostname: str = ""
    weights: Mapping[str, int] = field(default_factory=lambda: WEIGHTS)
    thresholds: Thresholds = field(default_factory=Thresholds)
    lists: Lists | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """What is on a list. about: the address or the domain. reason: the list's own words, printable; may be ""."""

    rule: ListRule
    about: str
    reason: str = ""


class Listings(Protocol):
    """What the lists say about one message; asked when the first policy wants to know, and once."""

    async def found(self) -> tuple[Listed, ...]:
        """All that is listed; () where nothing is, or nobody could tell."""
        ...


class _NobodyAsked:
    async def found(self) -> tuple[Listed, ...]:
        return ()


NO_LISTS: Listings = _NobodyAsked()
"""Where there is no list to ask."""

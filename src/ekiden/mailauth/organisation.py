"""Which domain stands for an organisation, and where its DMARC policy lies.

Two ways: the walk up the tree of the DNS (RFC 9989), which needs no list, and the Public Suffix List (RFC 7489). No I/O:
these are lookups; each name is asked once in an evaluation, a walk asks at most eight. NoAnswer comes out as it is.
Names here are those of canonical(): A-labels, lower case, no dot at the end.
Source: RFC 9989 §4.10, RFC 7489 §3.2, RFC 7489 §6.6.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii
from ekiden.dns.questions import Finding, Lookup, NoAnswer, Question, ask_fully, is_askable, records_of
from ekiden.dns.records import A, Txt
from ekiden.mailauth.dmarc_record import DmarcRecord, Psd, parse_record
from ekiden.mailauth.public_suffix import SuffixList

MOST_QUERIES = 8
"""How many names one walk asks (RFC 9989 §4.10)."""


@lru_cache(maxsize=2048)
def canonical(domain: str) -> str:
    """One spelling for each domain: A-labels, lower case. What is no host name stays as it is, in lower case. Never raises."""
    try:
        return to_ascii(domain.removesuffix("."))
    except BadValue:
        return domain.lower().removesuffix(".")


def is_at_or_below(domain: str, other: str) -> bool:
    """Whether domain is the other one or lies below it."""
    return domain == other or (domain.endswith(other) and domain[-len(other) - 1 : -len(other)] == "." and other != "")


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at one name. several: more than one record of DMARC, which counts as none (RFC 9989 §4.10)."""

    record: DmarcRecord | None
    several: bool = False


_NOTHING = Found(None)
_SEVERAL = Found(None, several=True)


class Records:
    """The DMARC records of domains, each asked for once."""

    __slots__ = ("_known", "_walks")

    def __init__(self) -> None:
        self._known: dict[str, Found] = {}
        self._walks: dict[str, Walk] = {}

    def at(self, domain: str) -> Lookup[Found]:
        """What is published for just this domain. Raises NoAnswer."""
        found = self._known.get(domain)
        if found is not None:
            return found
        question = question_about(domain)
        if question is None:
            return _NOTHING
        answer = yield question
        if answer.finding is Finding.FAILED:
            raise NoAnswer(answer)
        found = _NOTHING
        for txt in records_of(Txt, answer) if answer.records else ():
            record = parse_record(txt.value)
            if record is not None:
                found = Found(record) if found is _NOTHING else _SEVERAL
        self._known[domain] = found
        return found

    def walk(self, start: str) -> Lookup[Walk]:
        """Walk from a domain to the top of the tree, or to the first record that says whether it is a public suffix."""
        known = self._walks.get(start)
        if known is not None:
            return known
        seen: list[tuple[str, DmarcRecord]] = []
        for name in steps(start):
            found = self._known.get(name) or (yield from self.at(name))
            if found.record is not None:
                seen.append((name, found.record))
                if found.record.psd is not Psd.UNKNOWN:
                    break
        self._walks[start] = walked = Walk(start, tuple(seen))
        return walked


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk from a domain to the top has found. records: (name, record), the longest name first."""

    start: str
    records: tuple[tuple[str, DmarcRecord], ...]

    @property
    def organisation(self) -> str:
        """The organisational domain (RFC 9989 §4.10.2)."""
        for name, record in self.records:
            if record.psd is Psd.NO:
                return name
            if record.psd is Psd.YES and name != self.start:
                return _one_below(name, self.start)
        return self.records[-1][0] if self.records else self.start

    @property
    def policy(self) -> tuple[str, DmarcRecord] | None:
        """The record that applies and its name: of the start, else of its organisation, else of the public suffix."""
        if not self.records:
            return None
        if self.records[0][0] == self.start:
            return self.records[0]
        organisation = self.organisation
        for name, record in self.records:
            if name == organisation:
                return name, record
        # The organisation of rule 2 lies below a name with psd=y and need not have a record of its own.
        name, record = self.records[-1]
        return (name, record) if record.psd is Psd.YES else None


@lru_cache(maxsize=2048)
def steps(start: str) -> tuple[str, ...]:
    """The names that a walk asks about: the domain, then its parents, of which only the last seven (RFC 9989 §4.10)."""
    labels = start.split(".")
    longest = min(len(labels) - 1, MOST_QUERIES - 1)
    return (start, *(".".join(labels[-count:]) for count in range(longest, 0, -1)))


@lru_cache(maxsize=4096)
def question_about(domain: str) -> Question | None:
    """The question for the record of a domain; None for a name that no question can carry, where there cannot be one."""
    name = "_dmarc." + domain
    return Question(Txt, name) if domain and is_askable(name) else None


def organisation_of(records: Records, domain: str, suffixes: SuffixList | None) -> Lookup[str]:
    """The organisational domain: by the list where there is one, else by the tree."""
    if suffixes is not None:
        return suffixes.registrable(domain) or domain  # a public suffix stands for itself
    found = yield from records.walk(domain)
    return found.organisation


def policy_of(records: Records, domain: str, suffixes: SuffixList | None) -> Lookup[tuple[str, DmarcRecord] | None]:
    """The record that applies to mail from a domain, and the name where it lies; None where there is none.

    The record of the domain itself always comes first, and then nothing else is asked.
    """
    own = yield from records.at(domain)
    if own.record is not None:
        return domain, own.record
    if suffixes is None:
        return (yield from records.walk(domain)).policy
    organisation = suffixes.registrable(domain)
    # RFC 7489 §6.6.3: several records at the domain itself end the search.
    if own.several or organisation is None or organisation == domain:
        return None
    found = yield from records.at(organisation)
    return (organisation, found.record) if found.record is not None else None


def exists(domain: str) -> Lookup[bool]:
    """Whether there is any record at a name or below it: everything but NXDOMAIN (RFC 9989 §3.2.13). Raises NoAnswer."""
    answer = yield from ask_fully(A, domain)
    return answer.finding is not Finding.NO_NAME or bool(answer.aliases)


def _one_below(parent: str, name: str) -> str:
    """The name of one label more than parent, on the way to name, which lies below it."""
    return name[: -len(parent) - 1].rpartition(".")[2] + "." + parent

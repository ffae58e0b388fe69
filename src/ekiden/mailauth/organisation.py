"""Which domain stands for an organisation, and where its DMARC policy lies.

Two ways: the walk up the tree of the DNS (RFC 9989), which needs no list, and the Public Suffix List (RFC 7489). No I/O:
these are lookups; each name is asked once in an evaluation, a walk asks at most eight. NoAnswer comes out as it is.
Names here are those of canonical(): A-labels, lower case, no dot at the end.
Source: RFC 9989 §4.10, RFC 7489 §3.2, RFC 7489 §6.6.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii
from ekiden.dns.questions import Finding, Lookup, ask, ask_fully
from ekiden.dns.records import A, Txt
from ekiden.mailauth.dmarc_record import DmarcRecord, Psd, is_dmarc_record, parse_record
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


@dataclass(slots=True)
class Records:
    """The DMARC records of domains, each asked for once."""

    known: dict[str, Found] = field(default_factory=dict)
    walks: dict[str, Walk] = field(default_factory=dict)

    def at(self, domain: str) -> Lookup[Found]:
        """What is published for just this domain. Raises NoAnswer."""
        found = self.known.get(domain)
        if found is None:
            texts = yield from ask(Txt, "_dmarc." + domain)
            ours = [txt.value for txt in texts if is_dmarc_record(txt.value)]
            found = Found(parse_record(ours[0])) if len(ours) == 1 else Found(None, len(ours) > 1)
            self.known[domain] = found
        return found


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


def walk(records: Records, start: str) -> Lookup[Walk]:
    """Walk from a domain to the top of the tree, or to the first record that says whether it is a public suffix."""
    known = records.walks.get(start)
    if known is not None:
        return known
    seen: list[tuple[str, DmarcRecord]] = []
    for name in steps(start):
        found = yield from records.at(name)
        if found.record is not None:
            seen.append((name, found.record))
            if found.record.psd is not Psd.UNKNOWN:
                break
    records.walks[start] = Walk(start, tuple(seen))
    return records.walks[start]


def steps(start: str) -> tuple[str, ...]:
    """The names that a walk asks about: the domain, then its parents, of which only the last seven (RFC 9989 §4.10)."""
    labels = start.split(".")
    longest = min(len(labels) - 1, MOST_QUERIES - 1)
    return (start, *(".".join(labels[-count:]) for count in range(longest, 0, -1)))


def organisation_of(records: Records, domain: str, suffixes: SuffixList | None) -> Lookup[str]:
    """The organisational domain: by the list where there is one, else by the tree."""
    if suffixes is not None:
        return suffixes.registrable(domain) or domain  # a public suffix stands for itself
    found = yield from walk(records, domain)
    return found.organisation


def policy_of(records: Records, domain: str, suffixes: SuffixList | None) -> Lookup[tuple[str, DmarcRecord] | None]:
    """The record that applies to mail from a domain, and the name where it lies; None where there is none.

    The record of the domain itself always comes first, and then nothing else is asked.
    """
    own = yield from records.at(domain)
    if own.record is not None:
        return domain, own.record
    if suffixes is None:
        return (yield from walk(records, domain)).policy
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

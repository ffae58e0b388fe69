"""Questions to the DNS as generators, so that who asks needs no network.

A lookup is a generator: it yields a Question, is sent an Answer and returns what it was for. net.resolver answers with
sockets, ekiden.testing.dns with a dictionary:

    def sender_policy(domain: str) -> Lookup[bytes | None]:
        found = yield from ask(Txt, domain)
        return next((txt.value for txt in found if txt.value.startswith(b"v=spf1")), None)

There are four findings, and they are never mixed up: the records are there; the name is there without such records; the
name does not exist; nobody could tell (which is never "none": it delays mail, it does not refuse or admit it).
Source: RFC 1034 §3.7, RFC 2308 §2, RFC 1035 §2.3.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol, TypeAlias, TypeVar

from ekiden.base.errors import Unreachable
from ekiden.dns.records import A, Aaaa, Cname, Record

T = TypeVar("T")
R = TypeVar("R", bound=Record)

MOST_ALIASES = 8
"""How many CNAMEs in a row are followed; one more is a failure, not an answer."""

_NAME = re.compile(r"[\x20-\x2d\x2f-\x5b\x5d-\x7e]{1,63}(?:\.[\x20-\x2d\x2f-\x5b\x5d-\x7e]{1,63})*")


@dataclass(frozen=True, slots=True)
class Question:
    """Which records of one name. name: lower case, no dot at the end; see is_askable()."""

    kind: type[Record]
    name: str

    def __str__(self) -> str:
        return f"{self.name}. {self.kind.TYPE}"


class Finding(Enum):
    """What an answer says about its question."""

    FOUND = "found"
    NO_DATA = "NODATA"  # the name exists, without a record of this kind (RFC 2308 §2.2)
    NO_NAME = "NXDOMAIN"  # the name does not exist (RFC 2308 §2.1)
    FAILED = "failed"  # nobody could tell: SERVFAIL, timeout, nonsense


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one question.

    records: all of the kind asked for, at least one if FOUND, else none. aliases: the names that CNAMEs led to, in order.
    ttl_s: how long this may be kept, in seconds. authentic: a trusted server says that DNSSEC proved it.
    because: why it FAILED ("SERVFAIL", "timeout"), else "".
    """

    question: Question
    finding: Finding
    records: tuple[Record, ...] = ()
    aliases: tuple[str, ...] = ()
    ttl_s: int = 0
    authentic: bool = False
    because: str = ""

    @property
    def canonical(self) -> str:
        """The name at the end of the aliases; the question's own where there are none."""
        return self.aliases[-1] if self.aliases else self.question.name

    def __str__(self) -> str:
        if self.finding is Finding.FOUND:
            said = ", ".join(map(str, self.records))
        else:
            said = self.because or self.finding.value
        return "".join(f"CNAME {alias}. " for alias in self.aliases) + said

    def brief(self, most: int = 500) -> str:
        """As str(), but at most so many characters: an answer may have thousands of records."""
        few = self.records[: 1 + most // 10]
        shown = str(self) if len(few) == len(self.records) else f"{replace(self, records=few)}, …"
        return shown if len(shown) <= most else shown[: most - 1] + "…"


class NoAnswer(Unreachable):
    """A question stays open: asking later may help. It says nothing about the name."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"{answer.question}: {answer.because or 'no answer'}")


Lookup: TypeAlias = Generator[Question, Answer, T]
"""Yields questions, is sent answers, returns a T."""


class Resolver(Protocol):
    """Whoever can answer what a lookup asks."""

    async def resolve(self, lookup: Lookup[T]) -> T:
        """Run the lookup to its end and return what it returns; what it raises comes out as it is."""
        ...


def is_askable(name: str) -> bool:
    """Whether a question can carry this name: labels of 1 to 63 printable octets, 253 in all (RFC 1035 §2.3.4)."""
    return len(name) <= 253 and _NAME.fullmatch(name) is not None


def lower_name(name: str) -> str:
    """The form of a name in questions and zones: ASCII letters lower case, at most one dot taken off the end."""
    lowered = name.lower() if name.isascii() else name
    return lowered.removesuffix(".")


def ask(kind: type[R], name: str) -> Lookup[tuple[R, ...]]:
    """The records of a name: an empty tuple where there are none (NODATA and NXDOMAIN alike).

    name: upper or lower case, with or without a dot at the end. Raises NoAnswer where nobody could tell.
    """
    answer = yield from ask_fully(kind, name)
    return records_of(kind, answer)


def ask_fully(kind: type[Record], name: str) -> Lookup[Answer]:
    """The whole answer, for those to whom NODATA and NXDOMAIN are two things. Raises NoAnswer.

    A name that no question can carry cannot exist, so it is NXDOMAIN without asking anybody.
    """
    answer = yield from ask_anyhow(kind, name)
    if answer.finding is Finding.FAILED:
        raise NoAnswer(answer)
    return answer


def ask_anyhow(kind: type[Record], name: str) -> Lookup[Answer]:
    """As ask_fully, but a failure is an answer too; for those who have a second way."""
    question = Question(kind, lower_name(name))
    if not is_askable(question.name):
        return Answer(question, Finding.NO_NAME, because="not a domain name")
    return (yield question)


def records_of(kind: type[R], answer: Answer) -> tuple[R, ...]:
    """The records of an answer, with their type."""
    return tuple(record for record in answer.records if isinstance(record, kind))


def ask_addresses(name: str) -> Lookup[tuple[A | Aaaa, ...]]:
    """IPv6 and IPv4 addresses of a host. Raises NoAnswer only where one family failed and the other has nothing."""
    six = yield from ask_anyhow(Aaaa, name)
    four = yield from ask_anyhow(A, name)
    found: tuple[A | Aaaa, ...] = (*records_of(Aaaa, six), *records_of(A, four))
    for answer in (six, four):
        if not found and answer.finding is Finding.FAILED:
            raise NoAnswer(answer)
    return found


def run_lookup(lookup: Lookup[T], answer: Callable[[Question], Answer]) -> T:
    """Run a lookup without an event loop: answer() is called for each question.

    Example: run_lookup(ask(Mx, "example.test"), lambda question: answer_from(zone, question))
    """
    try:
        question = next(lookup)
        while True:
            question = lookup.send(answer(question))
    except StopIteration as end:
        value: T = end.value
        return value


def observed(lookup: Lookup[T], see: Callable[[Answer], None]) -> Lookup[T]:
    """The same lookup; see() is shown each answer before the lookup gets it (a journey, a counter that raises)."""
    try:
        question = next(lookup)
        while True:
            answer = yield question
            see(answer)
            question = lookup.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value


@dataclass(frozen=True, slots=True)
class Broken(Record):
    """Stands among a zone's records: questions about this name fail. kind: only those of one kind, or None for all."""

    because: str = "SERVFAIL"
    kind: type[Record] | None = None


Zone: TypeAlias = Mapping[str, Sequence[Record]]
"""Records by owner name, in the form that lower_name() gives. "*.name" answers for what does not exist below name."""


def answer_from(zone: Zone, question: Question, ttl_s: int = 300) -> Answer:
    """What a resolver would find if the whole DNS were this zone; follows CNAMEs (RFC 1034 §3.6.2, §4.3.3)."""
    aliases: list[str] = []
    name = question.name
    while True:
        found = _answer_without_aliases(zone, replace(question, name=name))
        target = next((record.target for record in found.records if isinstance(record, Cname)), None)
        if target is None or question.kind is Cname:
            return replace(found, question=question, aliases=tuple(aliases), ttl_s=ttl_s)
        if len(aliases) == MOST_ALIASES:
            return Answer(question, Finding.FAILED, aliases=tuple(aliases), because="too many CNAMEs")
        aliases.append(target)
        name = target


def _answer_without_aliases(zone: Zone, question: Question) -> Answer:
    records = _records_at(zone, question.name)
    if records is None:
        return Answer(question, Finding.NO_NAME)
    for record in records:
        if isinstance(record, Broken) and record.kind in (None, question.kind):
            return Answer(question, Finding.FAILED, because=record.because)
    wanted = tuple(record for record in records if isinstance(record, question.kind))
    wanted = wanted or tuple(record for record in records if isinstance(record, Cname))
    return Answer(question, Finding.FOUND if wanted else Finding.NO_DATA, wanted)


def _records_at(zone: Zone, name: str) -> Sequence[Record] | None:
    """The records of a name, or of the wildcard that covers it; None if it does not exist (RFC 4592 §2.2)."""
    if name in zone:
        return zone[name]
    if any(owner.endswith("." + name) for owner in zone):
        return ()  # an empty non-terminal: something exists below it
    parent = name
    while "." in parent:
        parent = parent.partition(".")[2]
        wildcard = zone.get("*." + parent)
        if wildcard is not None:
            return wildcard
        if parent in zone:
            return None
    return None

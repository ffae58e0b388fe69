"""SPF: whether a host may send for a domain, by what the domain publishes.

check_host() and check_helo() are lookups: they yield questions and do no I/O. Promise: at most ten terms that ask the DNS, two void
lookups, ten hosts of an "mx" and ten names of a "ptr" (RFC 7208 §4.6.4), whatever the records say; what could not be found out now is
TEMPERROR, never a verdict. How long it takes altogether is the resolver's bound: it answers FAILED when the time is up.

Lookups for "ptr" and %{p} are not counted as void: what the owner of an address publishes shall not decide what the record of another
domain is worth (RFC 7208 §5.5: there, errors only fail to match).
Source: RFC 7208.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Literal, TypeAlias, assert_never

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.dns.questions import Answer, Finding, Lookup, NoAnswer, Question, is_askable, lower_name
from ekiden.dns.records import A, Aaaa, Mx, Ptr, Record, Txt
from ekiden.mail.address import Domain, Ip, Path
from ekiden.mailauth.results import Evidence, Result
from ekiden.mailauth.spf_macro import MacroText, MacroValues, expand_explanation, expand_name, parse_explanation
from ekiden.mailauth.spf_record import Flaw, Kind, Mechanism, SpfRecord, is_spf, parse_record

MOST_TERMS = 10
"""Terms that ask the DNS, in all records of one check together (RFC 7208 §4.6.4)."""
MOST_VOID = 2
"""Questions that find nothing; one more is an error (RFC 7208 §4.6.4)."""
MOST_MX = 10
MOST_PTR = 10

Identity: TypeAlias = Literal["mailfrom", "helo"]

_HELO_MAX = 255
_EXPLANATION_RECORD_MAX = 2_048
_HELO = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)+(?![0-9]+\.?\Z)[A-Za-z0-9-]{1,63}\.?")


@dataclass(frozen=True, slots=True)
class SpfStep:
    """One term of one domain's record. text: as published, at most 80 characters of ASCII."""

    domain: str
    text: str

    def __str__(self) -> str:
        return f"{self.domain}: {self.text}"


@dataclass(frozen=True, slots=True)
class SpfOutcome:
    """What a check found.

    domain: whose policy it is, lower case, "" if there was none to ask for. explanation: what that domain wants to tell a sender that
    fails; text of a third party, printable ASCII, at most 500 characters, often "". matched: the term that decided, "" if none did.
    chain: the way to it or to what went wrong, from the domain's own record through includes and redirects, at most twelve steps.
    tried: every term that asked the DNS, in order, with whether it matched; at most eleven. because: why, for the journey.
    personal: a macro had a part in it that stands for more than the address, the domain and us: another sender of this domain, another
    name in HELO or another time may give something else.
    """

    result: Result
    domain: str
    identity: Identity
    explanation: str = ""
    matched: str = ""
    chain: tuple[SpfStep, ...] = ()
    tried: tuple[tuple[SpfStep, bool], ...] = ()
    because: str = ""
    personal: bool = False

    def evidence(self) -> Evidence:
        """As one result of Authentication-Results (RFC 8601 §2.7.2); the local part stays out."""
        about = {f"smtp.{self.identity}": self.domain} if self.domain else {}
        return Evidence("spf", self.result, about, self.because)


def check_host(ip: Ip, helo: str, sender: Path, *, receiver: str, now: Millis) -> Lookup[SpfOutcome]:
    """Whether ip may send mail from sender; for the null path, from postmaster@helo (RFC 7208 §2.4).

    ip: IPv4 inside IPv6 is taken as IPv4. helo: what the client said, unchecked. receiver: our host name, for %{r}. Raises nothing
    that a peer could cause.
    """
    if sender.host is None:
        return (yield from check_helo(ip, helo, receiver=receiver, now=now))
    domain = sender.host.ascii if isinstance(sender.host, Domain) else ""
    values = MacroValues(_plain_ip(ip), sender.local or "postmaster", domain, helo[:_HELO_MAX], receiver, now)
    return (yield from _Check(values, "mailfrom").run(domain))


def check_helo(ip: Ip, helo: str, *, receiver: str, now: Millis) -> Lookup[SpfOutcome]:
    """Whether ip may call itself helo (RFC 7208 §2.3). NONE for what is no name of several labels."""
    domain = helo.removesuffix(".").lower() if len(helo) <= _HELO_MAX and _HELO.fullmatch(helo) else ""
    values = MacroValues(_plain_ip(ip), "postmaster", domain or helo[:_HELO_MAX], helo[:_HELO_MAX], receiver, now)
    return (yield from _Check(values, "helo").run(domain))


def _plain_ip(ip: Ip) -> Ip:
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None  # RFC 7208 §5, "ip" of a mapped address
    return mapped or ip


class _Stopped(Exception):
    """A limit or an error of a record ends the whole check."""

    def __init__(self, because: str) -> None:
        self.because = because
        super().__init__(because)


@dataclass(frozen=True, slots=True)
class _Ruling:
    """What the record of one domain says. matched: None if no mechanism did. record: whose exp counts."""

    result: Result
    domain: str
    because: str = ""
    matched: Mechanism | None = None
    chain: tuple[SpfStep, ...] = ()
    record: SpfRecord | None = None


class _Check:
    """One check: what stays the same through all records, and what is counted over them."""

    __slots__ = ("_bits", "_family", "_identity", "_names", "_path", "_terms", "_tried", "_values", "_version", "_void")

    def __init__(self, values: MacroValues, identity: Identity) -> None:
        self._values = values
        self._identity: Identity = identity
        self._version = values.ip.version
        self._bits = int(values.ip)
        self._family: type[A] | type[Aaaa] = A if self._version == 4 else Aaaa
        self._terms = 0
        self._void = 0
        self._path: list[SpfStep] = []
        self._tried: list[tuple[SpfStep, bool]] = []
        self._names: tuple[str, ...] | None = None  # confirmed names of the address; None: not asked for yet

    def run(self, domain: str) -> Lookup[SpfOutcome]:
        """Check it against the policy of this domain; "" if it has none."""
        try:
            ruling = yield from self._rule(domain)
        except NoAnswer as error:
            return self._error(Result.TEMPERROR, domain, str(error))
        except _Stopped as error:
            return self._error(Result.PERMERROR, domain, error.because)
        if ruling.result is Result.PERMERROR:
            return self._error(Result.PERMERROR, domain, ruling.because)
        explanation = ""
        if ruling.result is Result.FAIL and ruling.record is not None and ruling.record.explanation is not None:
            explanation = yield from self._explain(ruling.record.explanation, ruling.domain)
        matched = ruling.matched
        return SpfOutcome(
            ruling.result, domain, self._identity, explanation, "" if matched is None else matched.text,
            ruling.chain, tuple(self._tried), ruling.because or _because(ruling), self._values.personal,
        )  # fmt: skip

    def _error(self, result: Result, domain: str, because: str) -> SpfOutcome:
        return SpfOutcome(result, domain, self._identity, "", "", tuple(self._path), tuple(self._tried), because, self._values.personal)

    def _rule(self, domain: str) -> Lookup[_Ruling]:
        """check_host() of RFC 7208 §4 for one domain; includes and redirects come back here, at most ten times."""
        record = yield from self._record(domain)
        if isinstance(record, _Ruling):
            return record
        version, bits = self._version, self._bits
        for term in record.mechanisms:
            if term.version:
                if term.version != version or bits & (term.mask_4 if version == 4 else term.mask_6) != term.network:
                    continue
                chain = (*self._path, SpfStep(domain, term.text))
            elif term.kind is Kind.ALL:
                chain = (*self._path, SpfStep(domain, term.text))
            else:
                found = yield from self._asked(term, domain)
                if found is None:
                    continue
                chain = found
            return _Ruling(term.qualifier, domain, "", term, chain, record)
        if record.redirect is not None:
            return (yield from self._redirected(record.redirect, record.redirect_text, domain))
        return _Ruling(Result.NEUTRAL, domain, f"no mechanism of {domain} matches", record=record)

    def _record(self, domain: str) -> Lookup[SpfRecord | _Ruling]:
        """The record of a domain, or what follows from there being none (RFC 7208 §4.3 to §4.6)."""
        name = lower_name(domain)
        if "." not in name or not is_askable(name):
            return _Ruling(Result.NONE, domain, "not a domain name of several labels")
        answer = yield Question(Txt, name)
        if answer.finding is Finding.FAILED:
            raise NoAnswer(answer)
        found = [raw for record in answer.records if isinstance(record, Txt) and is_spf(raw := record.value)]
        if not found:
            return _Ruling(Result.NONE, domain, f"{domain} has no SPF record")
        if len(found) > 1:
            return _Ruling(Result.PERMERROR, domain, f"{domain} has {len(found)} SPF records")
        record = parse_record(found[0])
        if isinstance(record, Flaw):
            return _Ruling(Result.PERMERROR, domain, f"the record of {domain}: {record.because}")
        return record

    def _redirected(self, target: MacroText, text: str, domain: str) -> Lookup[_Ruling]:
        step = SpfStep(domain, text)
        self._path.append(step)
        self._count()
        name = yield from self._name(target, domain)
        self._tried.append((step, True))
        ruling = yield from self._rule(name)
        if ruling.result is Result.NONE:
            raise _Stopped(f"redirect of {domain}: {ruling.because}")  # RFC 7208 §6.1
        if ruling.result is not Result.PERMERROR:
            self._path.pop()
        return ruling

    def _asked(self, term: Mechanism, domain: str) -> Lookup[tuple[SpfStep, ...] | None]:
        """The way to the match of a mechanism that asks the DNS, or None. On errors _path stays as it was when they came."""
        step = SpfStep(domain, term.text)
        self._path.append(step)
        self._count()
        name = domain
        if term.target is not None:
            name = yield from self._name(term.target, domain)
        chain: tuple[SpfStep, ...] | None = None
        if term.kind is Kind.INCLUDE:
            place = len(self._tried)
            chain = yield from self._included(name)
            self._tried.insert(place, (step, chain is not None))
        else:
            if (yield from self._matches(term, name)):
                chain = tuple(self._path)
            self._tried.append((step, chain is not None))
        self._path.pop()
        return chain

    def _included(self, name: str) -> Lookup[tuple[SpfStep, ...] | None]:
        """RFC 7208 §5.2: only a pass matches, and no record is an error."""
        ruling = yield from self._rule(name)
        if ruling.result is Result.NONE:
            raise _Stopped(f"include: {ruling.because}")
        if ruling.result is Result.PERMERROR:
            raise _Stopped(ruling.because)
        return ruling.chain if ruling.result is Result.PASS else None

    def _matches(self, term: Mechanism, name: str) -> Lookup[bool]:
        match term.kind:
            case Kind.A:
                return (yield from self._has_address(name, term))
            case Kind.MX:
                return (yield from self._has_mail_host(name, term))
            case Kind.EXISTS:
                return bool((yield from self._ask(A, name)))  # RFC 7208 §5.7: A, for IPv6 clients too
            case Kind.PTR:
                names = yield from self._confirmed_names()
                wanted = lower_name(name)
                return any(found == wanted or found.endswith("." + wanted) for found in names)
            case Kind.ALL | Kind.INCLUDE | Kind.IP4 | Kind.IP6:  # answered elsewhere
                return False
        assert_never(term.kind)

    def _has_address(self, name: str, term: Mechanism) -> Lookup[bool]:
        found = yield from self._ask(self._family, name)
        mask = term.mask_4 if self._version == 4 else term.mask_6
        wanted = self._bits & mask
        return any(int(record.ip) & mask == wanted for record in found if isinstance(record, A | Aaaa))

    def _has_mail_host(self, name: str, term: Mechanism) -> Lookup[bool]:
        found = yield from self._ask(Mx, name)
        hosts = [record for record in found if isinstance(record, Mx)]
        if len(hosts) > MOST_MX:
            raise _Stopped(f"{name} has {len(hosts)} MX records, and at most {MOST_MX} may be asked for")
        for mx in sorted(hosts, key=_preference):
            if mx.host and (yield from self._has_address(mx.host, term)):
                return True
        return False

    def _confirmed_names(self) -> Lookup[tuple[str, ...]]:
        """The names of the address that lead back to it, of the first ten; asked for once a check (RFC 7208 §5.5)."""
        if self._names is None:
            self._names = ()
            names = yield Question(Ptr, self._values.ip.reverse_pointer)
            found = [record.name for record in names.records if isinstance(record, Ptr)]
            confirmed: list[str] = []
            for name in map(lower_name, found[:MOST_PTR]):
                if is_askable(name):
                    answer = yield Question(self._family, name)
                    if any(record.ip == self._values.ip for record in answer.records if isinstance(record, A | Aaaa)):
                        confirmed.append(name)
            self._names = tuple(confirmed)
        return self._names

    def _name(self, target: MacroText, domain: str) -> Lookup[str]:
        """The name that a domain-spec stands for in the record of this domain."""
        if target.plain is not None:
            return target.plain
        if target.needs_name:
            if self._names is None:
                self._count()  # RFC 7208 §4.6.4: what %{p} asks is within the ten
            yield from self._name_client(domain)
        self._values.domain = domain
        return expand_name(target, self._values)

    def _name_client(self, domain: str) -> Lookup[None]:
        """Set the value of %{p} (RFC 7208 §7.3): the domain itself, else a name below it, else any name, else "unknown"."""
        names = yield from self._confirmed_names()
        below = lower_name(domain)
        self._values.name = next(
            (name for name in names if name == below),
            next((name for name in names if name.endswith("." + below)), names[0] if names else "unknown"),
        )

    def _count(self) -> None:
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise _Stopped(f"more than {MOST_TERMS} terms that ask the DNS")

    def _ask(self, kind: type[Record], name: str) -> Lookup[tuple[Record, ...]]:
        """The records of a name. A name that no question can carry has none, and asks nothing (RFC 7208 §4.8)."""
        lowered = lower_name(name)
        if not is_askable(lowered):
            return ()
        answer: Answer = yield Question(kind, lowered)
        if answer.finding is Finding.FAILED:
            raise NoAnswer(answer)
        if not answer.records:
            self._void += 1
            if self._void > MOST_VOID:
                raise _Stopped(f"more than {MOST_VOID} lookups that find nothing, the last for {answer.question}")
        return answer.records

    def _explain(self, target: MacroText, domain: str) -> Lookup[str]:
        """What the domain has to say to a sender that fails; "" wherever anything is wrong with it (RFC 7208 §6.2)."""
        self._terms = 0  # the verdict is there: this has bounds of its own
        try:
            name = yield from self._name(target, domain)
            if not is_askable(lower_name(name)):
                return ""
            answer = yield Question(Txt, lower_name(name))
            raws = [record.value for record in answer.records if isinstance(record, Txt)]
            if len(raws) != 1 or len(raws[0]) > _EXPLANATION_RECORD_MAX:
                return ""
            text = parse_explanation(raws[0].decode("ascii"))
        except (BadValue, UnicodeDecodeError):
            return ""
        if text.needs_name:
            yield from self._name_client(domain)
        self._values.domain = domain
        return expand_explanation(text, self._values)


def _preference(mx: Mx) -> int:
    return mx.preference


def _because(ruling: _Ruling) -> str:
    """ "ip4:192.0.2.0/24 of _spf.two.test (by include:_spf.two.test of one.test)"."""
    last = ruling.chain[-1]
    way = ", ".join(f"{step.text} of {step.domain}" for step in ruling.chain[:-1])
    return f"{last.text} of {last.domain}" + (f" (by {way})" if way else "")

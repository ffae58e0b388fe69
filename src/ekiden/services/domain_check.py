"""Whether the DNS says what it must, so that mail for a domain finds this server and others believe mail from it.

One finding for each record that should be there: what stands there, and what is wrong with it. That nobody could tell is a
finding of its own, never "wrong" and never "right". Nothing is changed anywhere; what is asked is bounded.
Source: RFC 5321 §5.1, RFC 2181 §10.3, RFC 8601 §3, RFC 7208 §3, RFC 6376 §3.6, RFC 9989 §4.10, RFC 9990, RFC 8461 §3.1, RFC 8460 §3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ekiden.base.clock import Clock
from ekiden.dns.mx import Ip, is_public
from ekiden.dns.questions import Answer, Finding, Lookup, NoAnswer, Resolver, ask_anyhow, records_of
from ekiden.dns.records import A, Aaaa, Mx
from ekiden.dns.reverse import reverse, reverse_question
from ekiden.dns.txt import ask_texts
from ekiden.mail.address import Path, parse_domain
from ekiden.mailauth.dmarc_addresses import destinations, verified
from ekiden.mailauth.dmarc_record import Policy
from ekiden.mailauth.organisation import Records, organisation_of, policy_of
from ekiden.mailauth.results import Result
from ekiden.mailauth.spf import SpfOutcome, check_helo, check_host
from ekiden.mailauth.spf_record import Flaw, Kind, SpfRecord, is_spf, parse_record
from ekiden.services.keys import Published, look_up, record_name
from ekiden.store.dkim_keys import DkimKey, KeyStatus

MOST_ADDRESSES = 10
MOST_HOSTS = 10

Said = Mapping[str, str]


class Verdict(Enum):
    """How a record stands. HINT: it works, but could be better; UNKNOWN: nobody could tell just now."""

    GOOD = "good"
    HINT = "hint"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. subject: "address", "mx", "ptr", "spf", "helo", "dkim", "dmarc", "tls-rpt", "mta-sts" or "domain".

    name, kind: where the record stands, without a dot at the end, and its type. says: the key of the sentence below
    "domain-check" in the catalogue, with its fields. found: what stands there, in the words of a zone file.
    """

    subject: str
    verdict: Verdict
    name: str
    kind: str
    says: str
    fields: Said = field(default_factory=dict)
    found: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether nothing has to be done about it."""
        return self.verdict in (Verdict.GOOD, Verdict.HINT)


@dataclass(frozen=True, slots=True)
class Ours:
    """What the records are held against. domain, hostname: A-labels.

    known: public addresses that the configuration tells, may be none. senders: the addresses that outgoing mail comes from,
    where they are not the same. smarthost: the host that sends in our stead, or "". keys: of this domain. is_ours: whether
    mail for the domain is taken.
    """

    domain: str
    hostname: str
    known: tuple[Ip, ...] = ()
    senders: tuple[Ip, ...] = ()
    smarthost: str = ""
    keys: tuple[DkimKey, ...] = ()
    is_ours: bool = True


async def check_domain(resolver: Resolver, ours: Ours, clock: Clock) -> tuple[Check, ...]:
    """All findings about one domain, in an order that a person can work off."""
    host, found = await resolver.resolve(_host(ours))
    addresses = tuple(dict.fromkeys(ours.known or found))[:MOST_ADDRESSES]
    names = [ip for ip in addresses if is_public(ip)]
    lookups = [
        _mx(ours, frozenset((*addresses, *found))),
        *(_ptr(ours, ip) for ip in names),
        _spf(ours, addresses, clock),
        _helo(ours, addresses, clock),
        _dkim(ours),
        _dmarc(ours),
        _reports(ours),
        _strict_transport(ours),
    ]
    rest = await asyncio.gather(*(resolver.resolve(_guarded(lookup)) for lookup in lookups))
    first = [] if ours.is_ours else [Check("domain", Verdict.HINT, ours.domain, "", "not-ours", {"domain": ours.domain})]
    return (*first, host, *(check for checks in rest for check in checks))


def _guarded(lookup: Lookup[list[Check]]) -> Lookup[list[Check]]:
    try:
        return (yield from lookup)
    except NoAnswer as error:
        return [_unknown("domain", error.answer)]


def _unknown(subject: str, answer: Answer) -> Check:
    question = answer.question
    said = {"question": str(question), "because": answer.because or "no answer"}
    return Check(subject, Verdict.UNKNOWN, question.name, question.kind.TYPE, "unknown", said)


# ---- where the server is -----------------------------------------------------------------------------


def _host(ours: Ours) -> Lookup[tuple[Check, list[Ip]]]:
    """The addresses of our host name."""
    name = ours.hostname
    six = yield from ask_anyhow(Aaaa, name)
    four = yield from ask_anyhow(A, name)
    found: list[Ip] = [*(a.ip for a in records_of(A, four)), *(a.ip for a in records_of(Aaaa, six))]
    shown = tuple(map(str, found[:MOST_ADDRESSES]))
    kind = "A" if not shown or records_of(A, four) else "AAAA"
    failed = next((answer for answer in (four, six) if answer.finding is Finding.FAILED), None)

    def check(verdict: Verdict, says: str, **fields: str) -> tuple[Check, list[Ip]]:
        return Check("address", verdict, name, kind, says, {"host": name, **fields}, shown), found

    lacking = [ip for ip in ours.known if ip not in found]
    if failed is not None and (lacking or not found):
        return _unknown("address", failed), found
    if not found:
        return check(Verdict.BAD, "address-none")
    if alias := six.aliases or four.aliases:
        return check(Verdict.BAD, "address-alias", target=alias[-1])
    if lacking:
        return check(Verdict.BAD, "address-lacks", ips=_list(lacking))
    if private := [ip for ip in found if not is_public(ip)]:
        return check(Verdict.HINT, "address-private", ips=_list(private))
    return check(Verdict.GOOD, "address-good", ips=", ".join(shown))


def _mx(ours: Ours, addresses: frozenset[Ip]) -> Lookup[list[Check]]:
    answer = yield from ask_anyhow(Mx, ours.domain)
    records = sorted(records_of(Mx, answer), key=lambda mx: mx.preference)
    shown = tuple(map(str, records[:MOST_HOSTS]))

    def check(verdict: Verdict, says: str, **fields: str) -> Check:
        return Check("mx", verdict, ours.domain, "MX", says, {"domain": ours.domain, "host": ours.hostname, **fields}, shown)

    if answer.finding is Finding.FAILED:
        return [_unknown("mx", answer)]
    if answer.finding is Finding.NO_NAME:
        return [check(Verdict.BAD, "mx-no-domain")]
    if not records:
        return [check(Verdict.BAD, "mx-none")]
    if not records[0].host:
        return [check(Verdict.BAD, "mx-null")]  # RFC 7505 §3
    to_us: list[Mx] = []
    open_question: Answer | None = None
    checks: list[Check] = []
    for mx in records[:MOST_HOSTS]:
        if mx.host == ours.hostname:
            to_us.append(mx)
            continue
        six = yield from ask_anyhow(Aaaa, mx.host)
        four = yield from ask_anyhow(A, mx.host)
        found: set[Ip] = {*(a.ip for a in records_of(A, four)), *(a.ip for a in records_of(Aaaa, six))}
        if found & addresses:
            to_us.append(mx)
            if four.aliases or six.aliases:
                checks.append(check(Verdict.BAD, "mx-alias", other=mx.host))  # RFC 2181 §10.3
        elif failed := next((each for each in (four, six) if each.finding is Finding.FAILED), None):
            open_question = open_question or failed
        elif not found:
            checks.append(check(Verdict.BAD, "mx-dead", other=mx.host))
    if to_us and to_us[0].preference == records[0].preference:
        return checks or [check(Verdict.GOOD, "mx-good")]
    if open_question is not None:
        return [*checks, _unknown("mx", open_question)]
    if to_us:
        return [*checks, check(Verdict.HINT, "mx-second", other=records[0].host)]
    return [*checks, check(Verdict.BAD, "mx-elsewhere", other=", ".join(mx.host for mx in records[:3]))]


def _ptr(ours: Ours, ip: Ip) -> Lookup[list[Check]]:
    found = yield from reverse(ip)
    name = reverse_question(ip)
    fields = {"ip": str(ip), "host": ours.hostname, "names": ", ".join(found.names) or "-"}
    shown = tuple(f"{each}." for each in found.names)
    if found.unanswered is not None:
        return [_unknown("ptr", found.unanswered)]
    if found.said == "permerror":
        return [Check("ptr", Verdict.BAD, name, "PTR", "ptr-none", fields)]
    if found.said == "fail":
        return [Check("ptr", Verdict.BAD, name, "PTR", "ptr-not-back", fields, shown)]
    if found.confirmed != ours.hostname and (ours.hostname not in found.names or not (yield from _leads_to(ours.hostname, ip))):
        return [Check("ptr", Verdict.BAD, name, "PTR", "ptr-other", fields, shown)]
    return [Check("ptr", Verdict.GOOD, name, "PTR", "ptr-good", fields, shown)]


def _leads_to(host: str, ip: Ip) -> Lookup[bool]:
    kind: type[A | Aaaa] = A if ip.version == 4 else Aaaa
    answer = yield from ask_anyhow(kind, host)
    return any(record.ip == ip for record in records_of(kind, answer))


# ---- who may send for the domain ---------------------------------------------------------------------


def _senders(ours: Ours, addresses: Sequence[Ip]) -> Lookup[list[Ip]]:
    """The addresses that other servers see mail of the domain come from. Raises NoAnswer."""
    if not ours.smarthost:
        return list(ours.senders or addresses)[:MOST_ADDRESSES]
    six = yield from ask_anyhow(Aaaa, ours.smarthost)
    four = yield from ask_anyhow(A, ours.smarthost)
    found: list[Ip] = [*(a.ip for a in records_of(A, four)), *(a.ip for a in records_of(Aaaa, six))]
    if not found and (failed := next((each for each in (four, six) if each.finding is Finding.FAILED), None)) is not None:
        raise NoAnswer(failed)
    return found[:MOST_ADDRESSES]


def _spf(ours: Ours, addresses: Sequence[Ip], clock: Clock) -> Lookup[list[Check]]:
    """The record is there once, is valid, lets our addresses pass and not everybody."""
    domain = ours.domain
    try:
        texts = yield from ask_texts(domain, begins=b"v=spf1")
        senders = yield from _senders(ours, addresses)
    except NoAnswer as error:
        return [_unknown("spf", error.answer)]
    found = [raw for raw in texts.values if is_spf(raw)]
    shown = tuple(_shown(raw) for raw in found)

    def check(verdict: Verdict, says: str, **fields: str) -> list[Check]:
        return [Check("spf", verdict, domain, "TXT", says, {"domain": domain, **fields}, shown)]

    if not found:
        return check(Verdict.BAD, "spf-none")
    if len(found) > 1:
        return check(Verdict.BAD, "spf-several", number=str(len(found)))
    record = parse_record(found[0])
    if isinstance(record, Flaw):
        return check(Verdict.BAD, "spf-wrong", because=record.because)
    sender = Path("postmaster", parse_domain(domain))
    for ip in senders:
        outcome = yield from check_host(ip, ours.hostname, sender, receiver=ours.hostname, now=clock.now())
        if outcome.result is not Result.PASS:
            return check(_verdict(outcome), "spf-fails", ip=str(ip), result=outcome.result.value, because=outcome.because)
    everybody = _of_all(record)
    if everybody is Result.PASS:
        return check(Verdict.BAD, "spf-everybody")
    if not senders:
        return check(Verdict.HINT, "spf-unproven")
    if everybody not in (Result.FAIL, Result.SOFTFAIL):
        return check(Verdict.HINT, "spf-open")
    return check(Verdict.GOOD, "spf-good", ips=_list(senders))


def _of_all(record: SpfRecord) -> Result | None:
    """What the record says of everybody else; FAIL where another record is to tell."""
    last = next((term for term in record.mechanisms if term.kind is Kind.ALL), None)
    if last is not None:
        return last.qualifier
    return Result.FAIL if record.redirect is not None else None


def _helo(ours: Ours, addresses: Sequence[Ip], clock: Clock) -> Lookup[list[Check]]:
    """The name that we introduce ourselves with has a policy too (RFC 7208 §10.1.3); reports have no other sender."""
    if ours.hostname == ours.domain or ours.smarthost:
        return []
    fields = {"host": ours.hostname}
    for ip in list(ours.senders or addresses)[:MOST_ADDRESSES]:
        outcome = yield from check_helo(ip, ours.hostname, receiver=ours.hostname, now=clock.now())
        if outcome.result is Result.NONE:
            return [Check("helo", Verdict.HINT, ours.hostname, "TXT", "helo-none", fields)]
        if outcome.result is not Result.PASS:
            said = {**fields, "ip": str(ip), "result": outcome.result.value, "because": outcome.because}
            return [Check("helo", _verdict(outcome), ours.hostname, "TXT", "helo-fails", said)]
    return [Check("helo", Verdict.GOOD, ours.hostname, "TXT", "helo-good", fields)] if addresses else []


def _verdict(outcome: SpfOutcome) -> Verdict:
    return Verdict.UNKNOWN if outcome.result is Result.TEMPERROR else Verdict.BAD


def _dkim(ours: Ours) -> Lookup[list[Check]]:
    """The record of each key; only one that signs has to be there."""
    fields = {"domain": ours.domain}
    if not ours.keys:
        return [Check("dkim", Verdict.HINT, f"_domainkey.{ours.domain}", "TXT", "dkim-no-keys", fields)]
    checks: list[Check] = []
    for key in ours.keys:
        looked = yield from look_up(key)
        name, signs = record_name(key), key.status is KeyStatus.ACTIVE
        said = {**fields, "selector": key.selector, "status": key.status.value, "found": looked.found[:200], "because": looked.found[:200]}
        shown = (looked.found[:500],) if looked.published in (Published.RIGHT, Published.OTHER) else ()
        if looked.published is Published.UNKNOWN:
            checks.append(Check("dkim", Verdict.UNKNOWN, name, "TXT", "unknown", {"question": f"{name}. TXT", "because": looked.found}))
        elif looked.published is Published.RIGHT:
            checks.append(Check("dkim", Verdict.GOOD, name, "TXT", "dkim-good", said, shown))
        else:
            says = f"dkim-{looked.published.value}"
            checks.append(Check("dkim", Verdict.BAD if signs else Verdict.HINT, name, "TXT", says, said, shown))
    if not any(key.status is KeyStatus.ACTIVE for key in ours.keys):
        checks.append(Check("dkim", Verdict.HINT, f"_domainkey.{ours.domain}", "TXT", "dkim-none-active", fields))
    return checks


def _dmarc(ours: Ours) -> Lookup[list[Check]]:
    name = f"_dmarc.{ours.domain}"
    records = Records()
    try:
        own = yield from records.at(ours.domain)
        applies = yield from policy_of(records, ours.domain, None)
        unwanted = (yield from _unwanted(ours.domain, own.record.text, records)) if own.record is not None else ""
    except NoAnswer as error:
        return [_unknown("dmarc", error.answer)]

    def check(verdict: Verdict, says: str, **fields: str) -> list[Check]:
        shown = (f'"{_shown(own.record.text.encode())}"',) if own.record is not None else ()
        return [Check("dmarc", verdict, name, "TXT", says, {"domain": ours.domain, **fields}, shown)]

    if own.several:
        return check(Verdict.BAD, "dmarc-several")
    if applies is None:
        return check(Verdict.BAD, "dmarc-none")
    where, record = applies
    policy, _ = record.asks(below=where != ours.domain)
    if record.is_damaged:
        return check(Verdict.BAD, "dmarc-damaged", where=where)
    if record.problems and where == ours.domain:
        tags = ", ".join(f"{problem.tag} ({problem.trouble.value})" for problem in record.problems[:5])
        return check(Verdict.HINT, "dmarc-problems", tags=tags)
    if unwanted:
        return check(Verdict.HINT, "dmarc-unwanted", hosts=unwanted)
    if where != ours.domain:
        return check(Verdict.GOOD, "dmarc-inherited", where=where, policy=policy.value)
    return check(Verdict.GOOD, "dmarc-watching" if policy is Policy.NONE else "dmarc-good", policy=policy.value)


def _unwanted(domain: str, record: str, records: Records) -> Lookup[str]:
    """Names of hosts to which reports were to go, but which do not say that they want them (RFC 9990)."""
    wanted = destinations(record)
    if not wanted:
        return ""
    organisation = yield from organisation_of(records, domain, None)
    hosts: list[str] = []
    for each in wanted:
        if not (yield from verified([each], domain, organisation)):
            hosts.append(each.host)
    return ", ".join(dict.fromkeys(hosts))


# ---- what is good to have ----------------------------------------------------------------------------


def _reports(ours: Ours) -> Lookup[list[Check]]:
    return (yield from _optional("tls-rpt", f"_smtp._tls.{ours.domain}", b"v=TLSRPTv1"))


def _strict_transport(ours: Ours) -> Lookup[list[Check]]:
    return (yield from _optional("mta-sts", f"_mta-sts.{ours.domain}", b"v=STSv1"))


def _optional(subject: str, name: str, begins: bytes) -> Lookup[list[Check]]:
    """A record that nobody has to have, but of which there must not be two."""
    try:
        texts = yield from ask_texts(name, begins=begins)
    except NoAnswer as error:
        return [_unknown(subject, error.answer)]
    shown = tuple(_shown(raw) for raw in texts.values)
    fields = {"name": name, "number": str(len(shown))}
    if len(shown) > 1:
        return [Check(subject, Verdict.BAD, name, "TXT", "several", fields, shown)]
    verdict, says = (Verdict.GOOD, "there") if shown else (Verdict.HINT, "absent")
    return [Check(subject, verdict, name, "TXT", f"{subject}-{says}", fields, shown)]


def _shown(raw: bytes) -> str:
    return raw[:500].decode("ascii", "backslashreplace")


def _list(ips: Sequence[Ip]) -> str:
    return ", ".join(map(str, ips[:MOST_ADDRESSES]))

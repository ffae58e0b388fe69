"""Which hosts take the mail of a domain, in the order in which they are to be tried.

Pure: a lookup (dns.questions); chance and our own names are handed in. Nothing expected is an exception: where no host
can be tried, the result says why, and whether later might be better.
Source: RFC 5321 §5.1 and §5.2, RFC 7505 §3, RFC 2181 §10.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeAlias

from ekiden.dns.questions import Answer, Finding, Lookup, ask_anyhow, is_askable, records_of
from ekiden.dns.records import A, Aaaa, Mx, Record

Ip: TypeAlias = IPv4Address | IPv6Address

MOST_ADDRESSES = 5
"""How many addresses one attempt may try, over all hosts."""

_MOST_OF_ONE_HOST = 3  # while there are other hosts, so that one with many addresses does not hide them
_MOST_SEEN_OF_ONE_HOST = 50  # an answer has room for four thousand
_MOST_HOSTS_ASKED = 10  # two questions each: with the MX question this stays below the 30 of one message

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")

_NOT_PUBLIC_4 = [ip_network(text) for text in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/3",
)]
_NOT_PUBLIC_6 = [ip_network(text) for text in ("::/128", "::1/128", "fc00::/7", "fe80::/9", "ff00::/8")]
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Hop:
    """A host to try. host: its name, or the address literal. ips: at least one, in the order to try. preference: 0 … 65535."""

    host: str
    ips: tuple[Ip, ...]
    preference: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no host to try. enhanced: RFC 3463 §3; its first number is 5 if trying again is of no use, else 4."""

    enhanced: tuple[int, int, int]
    because: str

    @property
    def is_permanent(self) -> bool:
        """Whether the mail is to be returned now."""
        return self.enhanced[0] == 5


@dataclass(frozen=True, slots=True)
class Skipped:
    """A host, or one of its addresses, that the DNS named and that will not be tried."""

    host: str
    because: str


@dataclass(frozen=True, slots=True)
class MailHosts:
    """Where the mail of a domain goes.

    hops: in order; empty only if there is a problem. answers: every answer, in the order it came, for the journey.
    """

    domain: str
    hops: tuple[Hop, ...]
    problem: Problem | None
    answers: tuple[Answer, ...]
    skipped: tuple[Skipped, ...]


def is_public(ip: Ip) -> bool:
    """Whether an address that a stranger's DNS names may be dialled: not loopback, private, link-local, multicast.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) counts as itself.
    """
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        return not any(ip in net for net in _NOT_PUBLIC_6) if inner is None else is_public(inner)
    return not any(ip in net for net in _NOT_PUBLIC_4)


def literal_text(ip: Ip) -> str:
    """The address literal of an address (RFC 5321 §4.1.3)."""
    return f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]"


def mail_hosts(
    domain: str | Ip,
    *,
    shuffle: Callable[[list[Mx]], None],
    allowed: Callable[[Ip], bool] = is_public,
    own_names: Container[str] = (),
    most: int = MOST_ADDRESSES,
) -> Lookup[MailHosts]:
    """The hosts that take the mail of a domain (A-labels) or of an address literal.

    shuffle: puts a list into random order in place (random.shuffle), for hosts of equal preference. allowed: whether an
    address may be dialled at all. own_names: host names, lower case, by which we ourselves are known as an MX.
    most: the addresses of all hops together.
    """
    search = _Search(str(domain), allowed, most)
    if not isinstance(domain, str):
        return search.of_literal(domain)
    answer = yield from search.ask(Mx, domain)
    match answer.finding:
        case Finding.FAILED:
            return search.failed(Problem((4, 4, 3), f"the DNS could not tell who takes mail for {domain}: {answer.because}"))
        case Finding.NO_NAME:
            return search.failed(Problem((5, 1, 2), f"there is no domain {domain}"))
        case Finding.NO_DATA:
            yield from search.add(Mx(0, answer.canonical), alone=True, implicit=True)
            return search.result(Problem((5, 1, 2), f"{domain} has neither a mail host nor an address"))
        case Finding.FOUND:
            pass
    records = records_of(Mx, answer)
    if len(records) == 1 and not records[0].host:
        return search.failed(Problem((5, 1, 10), f"{domain} says that it takes no mail"))  # RFC 7505 §3
    hosts = _in_order(records, shuffle)
    ours = min((mx.preference for mx in hosts if mx.host in own_names), default=None)
    if ours is not None:
        hosts = [mx for mx in hosts if mx.preference < ours]
        if not hosts:
            return search.failed(Problem((5, 4, 6), f"the mail of {domain} would come back to us"))
    for mx in hosts[:_MOST_HOSTS_ASKED]:
        if search.left <= 0:
            break
        yield from search.add(mx, alone=len(hosts) == 1)
    return search.result(Problem((5, 4, 4), f"none of the mail hosts of {domain} can be used"))


@dataclass(slots=True)
class _Search:
    """What one mail_hosts() has found so far."""

    domain: str
    allowed: Callable[[Ip], bool]
    left: int
    hops: list[Hop] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    def ask(self, kind: type[Record], name: str) -> Lookup[Answer]:
        answer = yield from ask_anyhow(kind, name)
        self.answers.append(answer)
        return answer

    def add(self, mx: Mx, *, alone: bool, implicit: bool = False) -> Lookup[None]:
        """Ask for the addresses of one host and make a hop of it, or note why not."""
        if not is_host_name(mx.host) and not implicit:
            self.skipped.append(Skipped(mx.host, "not a host name"))
            return
        six = yield from self.ask(Aaaa, mx.host)
        four = yield from self.ask(A, mx.host)
        if (six.aliases or four.aliases) and not implicit:
            # RFC 2181 §10.3, RFC 5321 §5.1: the name in an MX record is never an alias
            self.skipped.append(Skipped(mx.host, "an alias"))
            return
        found = _alternate([a.ip for a in records_of(Aaaa, six)], [a.ip for a in records_of(A, four)])
        if not found:
            failed = next((answer for answer in (six, four) if answer.finding is Finding.FAILED), None)
            if failed is not None:
                self.unanswered.append(f"{failed.question}: {failed.because}")
            self.skipped.append(Skipped(mx.host, failed.because if failed is not None else "no address"))
            return
        usable: list[Ip] = []
        for ip in found[:_MOST_SEEN_OF_ONE_HOST]:
            if self.allowed(ip):
                usable.append(ip)
            else:
                self.skipped.append(Skipped(mx.host, f"{ip} is not a public address"))
        chosen = usable[: self.left if alone else min(self.left, _MOST_OF_ONE_HOST)]
        if chosen:
            self.hops.append(Hop(mx.host, tuple(chosen), mx.preference))
            self.left -= len(chosen)

    def of_literal(self, ip: Ip) -> MailHosts:
        literal = literal_text(ip)
        if self.allowed(ip):
            self.hops.append(Hop(literal, (ip,), 0))
        return self.result(Problem((5, 4, 4), f"{literal} is not a public address"))

    def result(self, nothing: Problem) -> MailHosts:
        """What was found; nothing: the problem if there is no hop and every question was answered."""
        if self.hops:
            return self._made(None)
        if self.unanswered:  # C6: a host that the DNS could not tell about may be there tomorrow
            return self._made(Problem((4, 4, 3), f"the DNS could not tell about {self.unanswered[0]}"))
        return self._made(nothing)

    def failed(self, problem: Problem) -> MailHosts:
        return self._made(problem)

    def _made(self, problem: Problem | None) -> MailHosts:
        return MailHosts(self.domain, tuple(self.hops), problem, tuple(self.answers), tuple(self.skipped))


def is_host_name(name: str) -> bool:
    """Whether a name can be that of a host: letters, digits, hyphens (and underscores, which exist); not an IPv4 address."""
    if not is_askable(name) or _HOST.fullmatch(name) is None:
        return False
    return not name.rpartition(".")[2].isdigit()  # RFC 1123 §2.1: the last label of a host is never a number


def _in_order(records: Sequence[Mx], shuffle: Callable[[list[Mx]], None]) -> list[Mx]:
    """By preference, equals in random order (RFC 5321 §5.1)."""
    hosts = list(dict.fromkeys(records))
    shuffle(hosts)
    return sorted(hosts, key=lambda mx: mx.preference)


def _alternate(six: Sequence[IPv6Address], four: Sequence[IPv4Address]) -> list[Ip]:
    """IPv6 and IPv4 in turn, so that a family that does not work costs one attempt, not all of them (RFC 5321 §5.2)."""
    found: list[Ip] = []
    for n in range(max(len(six), len(four))):
        found += [*six[n : n + 1], *four[n : n + 1]]
    return found

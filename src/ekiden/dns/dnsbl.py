"""Block lists and allow lists in the DNS: is this address, or this domain, on the list?

Promises: only the answers that the operator has named count, whatever a list says; a list that lists what no list may
list, or that says "you may not ask me", is not asked for an hour; that nobody could tell is never "not listed".
Source: RFC 5782 §2 (addresses), §3 (domains), §5 (test points); reliability.md row DN-13.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_network

from ekiden.base.clock import Clock
from ekiden.base.errors import BadValue
from ekiden.dns.mx import Ip
from ekiden.dns.names import to_ascii
from ekiden.dns.questions import Answer, Finding, Lookup, NoAnswer, ask_anyhow, records_of
from ekiden.dns.records import A
from ekiden.dns.txt import ask_texts

PAUSE_S = 3600.0
"""How long a list that cannot be trusted is left alone, and how long one that proved sane is believed without another test."""

_MOST_ANSWERS = 32
_REASON_BYTES = 500
_MOST_LISTS = 1000
_RANGE = re.compile(r"(\*)|([0-9]{1,3})(?:-([0-9]{1,3}))?")
_LOOPBACK = ip_network("127.0.0.0/8")
_COMPLAINTS = ip_network("127.255.255.0/24")  # "blocked", "you ask through a public resolver", "a typing error"
_TEST_POINT = IPv4Address("127.0.0.1")  # RFC 5782 §5: never listed by a list that works
_TEST_POINT_6 = "::ffff:7f00:1"
_TEST_DOMAIN = "invalid"


class Subject(Enum):
    """What a list has entries for."""

    ADDRESS = "address"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Codes:
    """Which answers mean "listed": for each of the four octets the lowest and the highest value."""

    text: str
    octets: tuple[tuple[int, int], ...]

    def hold(self, ip: IPv4Address) -> bool:
        """Whether an answer is one of them; 127.0.0.1 and 127.255.255.x never are."""
        if ip == _TEST_POINT or ip in _COMPLAINTS:
            return False
        return all(low <= octet <= high for octet, (low, high) in zip(ip.packed, self.octets, strict=True))


def parse_codes(text: str) -> Codes:
    """Answers as an operator writes them: "127.0.0.2", "127.0.0.4-7", "127.0.*.2-3". Raises BadValue.

    The first octet is 127: nothing else is an entry of a list (RFC 5782 §2.1).
    """
    octets: list[tuple[int, int]] = []
    for part in text.split("."):
        found = _RANGE.fullmatch(part)
        if found is None:
            raise BadValue("codes of a list", text)
        low = 0 if found[1] else int(found[2])
        high = 255 if found[1] else int(found[3] or found[2])
        if not low <= high <= 255:
            raise BadValue("codes of a list", text)
        octets.append((low, high))
    if len(octets) != 4 or octets[0] != (127, 127):
        raise BadValue("codes of a list", text, "four numbers, the first of them 127")
    return Codes(text, tuple(octets))


@dataclass(frozen=True, slots=True)
class DnsList:
    """One list. zone: its name in the DNS, A-labels. codes: which of its answers count; 127.0.0.2 where nothing is said."""

    zone: str
    codes: tuple[Codes, ...] = (parse_codes("127.0.0.2"),)
    subject: Subject = Subject.ADDRESS

    def counts(self, ip: IPv4Address) -> bool:
        """Whether this answer means that something is listed."""
        return any(codes.hold(ip) for codes in self.codes)


def parse_list(text: str, subject: Subject = Subject.ADDRESS) -> DnsList:
    """A list as an operator writes it: "zone.example" or "zone.example=127.0.0.2,127.0.0.4-7". Raises BadValue."""
    zone, equals, codes = text.partition("=")
    name = to_ascii(zone.strip().removesuffix("."))
    if not equals:
        return DnsList(name, subject=subject)
    return DnsList(name, tuple(parse_codes(each.strip()) for each in codes.split(",")), subject)


class State(Enum):
    """What a list said, or why it does not count."""

    LISTED = "listed"
    CLEAR = "clear"
    UNKNOWN = "unknown"  # nobody could tell: never "clear" for an allow list, never "listed" for a block list
    OFF = "off"  # the list lists everything, or refuses to talk to us


@dataclass(frozen=True, slots=True)
class Listing:
    """What one list says about one address or domain.

    codes: the answers that counted, only where it is LISTED. reason: the list's own words, printable, at most 500 characters;
    "" where they were not asked for. because: a sentence for the log.
    """

    zone: str
    state: State
    codes: tuple[IPv4Address, ...] = ()
    reason: str = ""
    because: str = ""


@dataclass(slots=True)
class ListHealth:
    """Which lists proved sane and which are left alone, for all messages of a process. Bounded: a thousand of each."""

    clock: Clock
    _sane_until: dict[str, float] = field(default_factory=dict)
    _off_until: dict[str, tuple[float, str]] = field(default_factory=dict)

    def why_off(self, zone: str) -> str:
        """Why the list is left alone just now, or ""."""
        until, because = self._off_until.get(zone, (0.0, ""))
        if not because or self.clock.monotonic() < until:
            return because
        del self._off_until[zone]
        return ""

    def is_sane(self, point: str) -> bool:
        """Whether this test point was clear within the last hour."""
        return self.clock.monotonic() < self._sane_until.get(point, float("-inf"))

    def prove(self, point: str) -> None:
        """This test point is clear."""
        self._sane_until.pop(point, None)
        while len(self._sane_until) >= _MOST_LISTS:
            del self._sane_until[next(iter(self._sane_until))]
        self._sane_until[point] = self.clock.monotonic() + PAUSE_S

    def switch_off(self, zone: str, because: str) -> None:
        """Leave the list alone for an hour."""
        self._off_until.pop(zone, None)
        while len(self._off_until) >= _MOST_LISTS:
            del self._off_until[next(iter(self._off_until))]
        self._off_until[zone] = (self.clock.monotonic() + PAUSE_S, because)


def address_question(ip: Ip, zone: str) -> str:
    """The name to ask for about an address: its octets, or the nibbles of IPv6, from the last to the first (RFC 5782 §2.1, §2.4)."""
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return f"{_backwards(ip)}.{zone}"


def look_up(listed_by: DnsList, about: Ip | str, health: ListHealth, *, reason: bool = False) -> Lookup[Listing]:
    """Whether a list has an address, or a domain (A-labels), on it. Raises nothing.

    reason: also ask for the list's own words (one question more), only if it is listed. What is on no list costs one
    question; the first entry in an hour costs a second one, for the test point that shows that the list does not list all.
    """
    zone = listed_by.zone
    if because := health.why_off(zone):
        return Listing(zone, State.OFF, because=because)
    if isinstance(about, str) is not (listed_by.subject is Subject.DOMAIN):
        return Listing(zone, State.CLEAR, because=f"{zone} has no entries of that kind")
    name = f"{about}.{zone}" if isinstance(about, str) else address_question(about, zone)
    answer = yield from ask_anyhow(A, name)
    if answer.finding is Finding.FAILED:
        return Listing(zone, State.UNKNOWN, because=_failure(answer))
    said = [record.ip for record in records_of(A, answer)[:_MOST_ANSWERS]]
    if odd := [ip for ip in said if ip not in _LOOPBACK or ip in _COMPLAINTS]:
        health.switch_off(zone, f"{zone} answers {odd[0]}, which is no entry of a list")
        return Listing(zone, State.OFF, because=health.why_off(zone))
    codes = tuple(ip for ip in said if listed_by.counts(ip))
    if not codes:
        return Listing(zone, State.CLEAR, because=f"{name}: {_all(said)} does not count" if said else "")
    problem = yield from _test(zone, about, health)
    if problem is not None:
        return problem
    words = (yield from _reason(name)) if reason else ""
    return Listing(zone, State.LISTED, codes, words, f"{name} is {_all(codes)}")


def look_up_all(lists: Sequence[DnsList], about: Ip | str, health: ListHealth, *, reason: bool = False) -> Lookup[tuple[Listing, ...]]:
    """What each of several lists says, in their order."""
    found: list[Listing] = []
    for each in lists:
        found.append((yield from look_up(each, about, health, reason=reason)))
    return tuple(found)


def _test(zone: str, about: Ip | str, health: ListHealth) -> Lookup[Listing | None]:
    """Ask for what no list may list (RFC 5782 §5), once an hour; what is wrong, or None."""
    if isinstance(about, str):
        point = f"{_TEST_DOMAIN}.{zone}"
    elif about.version == 6 and about.ipv4_mapped is None:
        point = f"{_backwards(IPv6Address(_TEST_POINT_6))}.{zone}"
    else:
        point = f"{_backwards(_TEST_POINT)}.{zone}"
    if health.is_sane(point):
        return None
    answer = yield from ask_anyhow(A, point)
    if answer.finding is Finding.FAILED:
        return Listing(zone, State.UNKNOWN, because=_failure(answer))
    if answer.finding is Finding.FOUND:
        health.switch_off(zone, f"{zone} lists everything: {point} is {_all([record.ip for record in records_of(A, answer)[:3]])}")
        return Listing(zone, State.OFF, because=health.why_off(zone))
    health.prove(point)
    return None


def _reason(name: str) -> Lookup[str]:
    """The first text beside an entry (RFC 5782 §2.1), made printable; "" where there is none or nobody could tell."""
    try:
        texts = yield from ask_texts(name, most_bytes=_REASON_BYTES)
    except NoAnswer:
        return ""
    first = next(iter(texts.values), b"")[:_REASON_BYTES].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in first)


def _backwards(ip: Ip) -> str:
    return ip.reverse_pointer.rpartition(".")[0].rpartition(".")[0]  # without in-addr.arpa or ip6.arpa


def _failure(answer: Answer) -> str:
    return f"{answer.question}: {answer.because or 'no answer'}"


def _all(ips: Sequence[IPv4Address]) -> str:
    return ", ".join(map(str, ips))

"""Judgement that adds up: findings, each with its points, and what their sum means.

A finding has a name that never changes, so that people can look it up (docs/spam.md), and words about this one message. Points of
findings that say more than one thing are never counted twice: each name counts once. More findings never make a message look better,
but for those that an operator has given negative points (lists of the good).
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from ekiden.dns.mx import is_public
from ekiden.mail.findings import JUNK, REFUSE, TAG, WEIGHTS
from ekiden.mail.journey import Reason
from ekiden.mailauth.results import Evidence, Result

_ABOUT = 120
_FAILED = frozenset({Result.FAIL, Result.SOFTFAIL, Result.PERMERROR, Result.POLICY})
_SAYS_WHO = frozenset({"spf", "dkim", "dmarc"})
_SHOWN = frozenset({"smtp.mailfrom", "smtp.helo", "header.d", "header.from"})


class Level(IntEnum):
    """What a sum of points means, from good to bad."""

    CLEAR = 0
    TAG = 1
    JUNK = 2
    REFUSE = 3


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From how many points on a message is marked, filed into Junk, refused."""

    tag: int = TAG
    junk: int = JUNK
    refuse: int = REFUSE

    def level(self, points: int) -> Level:
        """What so many points mean."""
        if points >= self.refuse:
            return Level.REFUSE
        if points >= self.junk:
            return Level.JUNK
        return Level.TAG if points >= self.tag else Level.CLEAR


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason. name: a key of WEIGHTS. about: what was seen, printable; may be ""."""

    name: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """Findings, each name once, and the points of all."""

    findings: tuple[Finding, ...] = ()
    weights: Mapping[str, int] = field(default_factory=lambda: WEIGHTS)

    @property
    def points(self) -> int:
        """The sum."""
        return sum(self.weights.get(each.name, 0) for each in self.findings)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Each finding with its points."""
        return tuple(Reason(each.name, self.weights.get(each.name, 0), each.about) for each in self.findings)

    def told(self) -> str:
        """All reasons on one line: "65 points: spf-fail +30 (…), …"."""
        reasons = ", ".join(f"{name} {points:+d}" + (f" ({about})" if about else "") for name, points, about in self.reasons)
        return f"{self.points} points" + (f": {reasons}" if reasons else "")

    def field(self) -> bytes:
        """The same for a header field: names and points only, since what was seen comes from a peer."""
        return " ".join([str(self.points), *(f"{each.name}={each.points}" for each in self.reasons)]).encode("ascii")


def add_up(findings: Iterable[Finding], weights: Mapping[str, int] = WEIGHTS) -> Score:
    """The score of these; of two findings of one name the first stays, one that is worth nothing does not."""
    kept: dict[str, Finding] = {}
    for each in findings:
        if weights.get(each.name):
            kept.setdefault(each.name, each)
    return Score(tuple(kept.values()), weights)


@lru_cache(maxsize=4096)
def comes_from_outside(ip: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public network. Machines of our own have no names in the DNS, and say in HELO what they like."""
    return is_public(ip)


def of_origin(evidence: Iterable[Evidence], *, vouched: bool = False, outside: bool = True) -> list[Finding]:
    """What SPF, DKIM, DMARC, ARC and the reverse name say. That nobody could tell (temperror) is no finding.

    vouched: DMARC failed, but there is a reason that we know to let it pass (a trusted forwarder). outside: comes_from_outside().
    Where DMARC passes, or somebody vouches, it is known who sent the message: SPF fails for what is forwarded, and lists break
    signatures and seals.
    """
    passed: set[str] = {"dmarc"} if vouched else set()
    failed: dict[str, Evidence] = {}
    unknown = False
    spf = False
    for each in evidence:
        result = each.result
        if each.method == "spf":
            if spf:  # the second one is of the name in HELO: who may use that is not who may send for the sender's domain
                continue
            spf = True
        if result is Result.PASS:
            passed.add(each.method)
        elif result is Result.TEMPERROR:
            unknown = True
        elif result in _FAILED:
            failed.setdefault(each.method, each)
    found: list[Finding] = []
    known = "dmarc" in passed
    for method, each in failed.items():
        if method in passed:  # one good signature is enough, whatever a forwarder broke
            continue
        if not outside if method == "iprev" else known:
            continue
        name = _name(method, each)
        if name in WEIGHTS:
            found.append(Finding(name, _words(each)))
    if outside and not unknown and not passed & _SAYS_WHO and not failed.keys() & _SAYS_WHO:
        found.append(Finding("nothing-passed"))
    return found


def of_likeness(probability: float) -> str:
    """The finding of a message that is so much like what readers threw away; "" for none."""
    if probability >= 0.99:
        return "bayes-99"
    if probability >= 0.95:
        return "bayes-95"
    return "bayes-80" if probability >= 0.8 else ""


def of_hello(hello: str, peer: IPv4Address | IPv6Address, our_name: str) -> list[Finding]:
    """What is odd about the name in HELO, without asking anybody (RFC 5321 §4.1.1.1, §4.1.3). hello: "" where it is not known."""
    shown = printable(hello)
    name = hello.rstrip(".").lower()
    if not hello:
        return []
    if our_name and name == our_name.lower():
        return [Finding("helo-our-name", shown)]
    if name.startswith("[") and name.endswith("]"):
        try:
            literal = ip_address(name[1:-1].removeprefix("ipv6:"))
        except ValueError:
            return [Finding("helo-not-a-name", shown)]
        return [] if literal == _plain(peer) else [Finding("helo-wrong-address", shown)]
    if "." not in name or name.replace(".", "").isdigit():
        return [Finding("helo-not-a-name", shown)]
    return []


def _name(method: str, each: Evidence) -> str:
    if method == "dmarc":
        wanted = each.about.get("policy.dmarc", "")
        return f"dmarc-{wanted}" if wanted in ("reject", "quarantine") else "dmarc-fail"
    if method == "spf":
        return f"spf-{each.result.value}"
    return f"{method}-fail"


def _words(each: Evidence) -> str:
    return printable(" ".join(f"{name}={value}" for name, value in each.about.items() if name in _SHOWN))


def printable(text: str, most: int = _ABOUT) -> str:
    """The first characters of what a peer wrote, each of them one that can be shown."""
    if len(text) <= most and text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text[:most])


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped if mapped is not None else ip

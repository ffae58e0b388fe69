"""The names of an address, believed only where a name leads back to the address ("iprev").

What the owner of an address publishes as its name may be anything, so a name counts only if it is that of a host and its
own addresses contain the one that was asked for.
Source: RFC 1035 §3.5 (in-addr.arpa), RFC 3596 §2.5 (ip6.arpa), RFC 8601 §3 (forward-confirmed reverse DNS).
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.dns.mx import Ip, is_host_name
from ekiden.dns.questions import Answer, Finding, Lookup, NoAnswer, ask_anyhow, records_of
from ekiden.dns.records import A, Aaaa, Ptr

MOST_NAMES = 5
"""How many names of one address are looked at; each may cost a question."""


@dataclass(frozen=True, slots=True)
class Reverse:
    """What is known of the names of an address.

    said: the result in the words of RFC 8601 §2.7.3: "pass", "fail" (names, none of which leads back), "permerror" (no name
    at all) or "temperror" (nobody could tell). confirmed: the first name that leads back, only where it is "pass".
    names: those that could be names of hosts, at most five. because: a sentence for the log. unanswered: of "temperror".
    """

    ip: Ip
    said: str
    confirmed: str | None
    names: tuple[str, ...]
    because: str
    unanswered: Answer | None = None


def reverse_question(ip: Ip) -> str:
    """The name under which the names of an address are published."""
    return ip.reverse_pointer


def reverse(ip: Ip) -> Lookup[Reverse]:
    """The names of an address and which of them leads back to it (RFC 8601 §3). Raises nothing."""
    answer = yield from ask_anyhow(Ptr, reverse_question(ip))
    if answer.finding is Finding.FAILED:
        return _unknown(ip, (), answer)
    pointers = records_of(Ptr, answer)
    if not pointers:
        return Reverse(ip, "permerror", None, (), f"{ip} has no name")
    names = tuple(dict.fromkeys(ptr.name for ptr in pointers[:MOST_NAMES] if is_host_name(ptr.name) and "." in ptr.name))
    kind: type[A | Aaaa] = A if ip.version == 4 else Aaaa
    failed: Answer | None = None
    for name in names:
        forward = yield from ask_anyhow(kind, name)
        if any(record.ip == ip for record in records_of(kind, forward)):
            return Reverse(ip, "pass", name, names, f"{name} leads back to {ip}")
        if forward.finding is Finding.FAILED:
            failed = failed or forward
    if failed is not None:
        return _unknown(ip, names, failed)
    called = f"it is called {', '.join(names)}" if names else "what it is called is no name of a host"
    return Reverse(ip, "fail", None, names, f"no name of {ip} leads back to it: {called}")


def confirmed_name(ip: Ip) -> Lookup[str | None]:
    """The first of at most five names of an address that leads back to it, or None.

    Raises NoAnswer where nobody could tell: that is not "no name".
    """
    found = yield from reverse(ip)
    if found.unanswered is not None:
        raise NoAnswer(found.unanswered)
    return found.confirmed


def _unknown(ip: Ip, names: tuple[str, ...], answer: Answer) -> Reverse:
    return Reverse(ip, "temperror", None, names, f"{answer.question}: {answer.because or 'no answer'}", answer)

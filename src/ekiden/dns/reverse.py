"""The name of an address, believed only where the name leads back to the address.

What the owner of an address publishes as its name may be anything, so a name counts only if it is that of a host and its
own addresses contain the one that was asked for.
Source: RFC 1035 §3.5 (in-addr.arpa), RFC 3596 §2.5 (ip6.arpa), RFC 8601 §3 (forward-confirmed reverse DNS).
"""

from __future__ import annotations

from ekiden.dns.mx import Ip, is_host_name
from ekiden.dns.questions import Finding, Lookup, ask_anyhow, ask_fully, records_of
from ekiden.dns.records import A, Aaaa, Ptr

_MOST_NAMES = 5


def reverse_question(ip: Ip) -> str:
    """The name under which the names of an address are published."""
    return ip.reverse_pointer


def confirmed_name(ip: Ip) -> Lookup[str | None]:
    """The first of at most five names of an address that leads back to it, or None.

    Raises NoAnswer where nobody could tell: that is not "no name".
    """
    answer = yield from ask_fully(Ptr, reverse_question(ip))
    kind: type[A | Aaaa] = A if ip.version == 4 else Aaaa
    for ptr in records_of(Ptr, answer)[:_MOST_NAMES]:
        if not is_host_name(ptr.name) or "." not in ptr.name:
            continue
        forward = yield from ask_anyhow(kind, ptr.name)
        if forward.finding is Finding.FOUND and any(record.ip == ip for record in records_of(kind, forward)):
            return ptr.name
    return None

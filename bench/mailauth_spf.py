"""What an SPF check costs with every answer at hand: microseconds beside pyspf on the same zone.

Run: python -m bench.mailauth_spf; python -m bench.mailauth runs it, too. Each number is the best of several rounds of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import Any

import spf as pyspf  # type: ignore[import-untyped]
from bench.micro import Bar, best_us

from ekiden.base.clock import Millis
from ekiden.dns.questions import Answer, Finding, Question, run_lookup
from ekiden.dns.records import A, Mx, Record, Txt
from ekiden.mail.address import Domain, Path
from ekiden.mailauth.results import Result
from ekiden.mailauth.spf import check_host

MOST_US = 60.0
"""What one check of an ordinary chain of includes may cost."""


def _txt(*texts: str) -> tuple[Record, ...]:
    return tuple(Txt((text.encode(),)) for text in texts)


_BLOCKS = [" ".join(f"ip4:198.{18 + number}.{block * 8}.0/21" for block in range(12)) for number in range(3)]
ZONE: dict[str, tuple[Record, ...]] = {
    # A customer of one of the large providers: its own record, one include, and three networks of that provider.
    "customer.test": (*_txt("verification=8f3a", "v=spf1 mx include:_spf.provider.test -all", "other=1"), Mx(10, "mx.customer.test")),
    "mx.customer.test": (A(IPv4Address("203.0.113.5")),),
    "_spf.provider.test": _txt("v=spf1 include:_n1.provider.test include:_n2.provider.test include:_n3.provider.test ~all"),
    "_n1.provider.test": _txt(f"v=spf1 {_BLOCKS[0]} ~all"),
    "_n2.provider.test": _txt(f"v=spf1 ip6:2001:db8::/32 {_BLOCKS[1]} ~all"),
    "_n3.provider.test": _txt(f"v=spf1 {_BLOCKS[2]} ~all"),
    "plain.test": _txt("v=spf1 ip4:192.0.2.0/24 -all"),
    "macro.test": _txt("v=spf1 exists:%{ir}.%{l1r+-}.%{v}._spf.%{d2} -all"),
}
CHECKS = [
    ("SPF, one network", "plain.test", "192.0.2.9", Result.PASS),
    ("SPF, mx and 4 includes, pass in the last", "customer.test", "198.20.88.7", Result.PASS),
    ("SPF, mx and 4 includes, fail", "customer.test", "192.0.2.9", Result.FAIL),
    ("SPF, exists with macros", "macro.test", "192.0.2.9", Result.FAIL),
]
_KINDS: dict[str, type[Record]] = {kind.TYPE: kind for kind in (A, Mx, Txt)}


def _warm() -> dict[Question, Answer]:
    """Every answer there is, as a warm cache has them."""
    cache = {}
    for name, records in ZONE.items():
        for kind in _KINDS.values():
            found = tuple(record for record in records if isinstance(record, kind))
            question = Question(kind, name)
            cache[question] = Answer(question, Finding.FOUND if found else Finding.NO_DATA, found, ttl_s=300)
    return cache


def ours(cache: dict[Question, Answer], domain: str, ip: str) -> Result:
    """One check, as it is done for each message."""

    def answer(question: Question) -> Answer:
        return cache.get(question) or Answer(question, Finding.NO_NAME)

    sender = Path("alice", Domain(domain))
    return run_lookup(check_host(ip_address(ip), "mx.remote.test", sender, receiver="mx.ekiden.test", now=Millis(0)), answer).result


def theirs(domain: str, ip: str) -> str:
    """The same by pyspf."""
    result: str = pyspf.query(i=ip, s=f"alice@{domain}", h="mx.remote.test", receiver="mx.ekiden.test").check()[0]
    return result


def _answers_of_pyspf() -> Callable[..., list[tuple[tuple[str, str], Any]]]:
    found: dict[tuple[str, str], list[tuple[tuple[str, str], Any]]] = {}
    for name, records in ZONE.items():
        for record in records:
            value: Any = str(record)
            if isinstance(record, Mx):
                value = (record.preference, record.host)
            elif isinstance(record, Txt):
                value = record.strings
            found.setdefault((name, record.TYPE), []).append(((name, record.TYPE), value))
    return lambda name, kind, *_: found.get((name, kind), [])


def work() -> Iterator[tuple[str, float, float]]:
    """(what, µs of one check here, µs of pyspf), once both have said the same."""
    cache = _warm()
    pyspf.DNSLookup = _answers_of_pyspf()
    for what, domain, ip, result in CHECKS:
        said = (ours(cache, domain, ip), theirs(domain, ip))
        if said != (result, result.value):
            raise SystemExit(f"{what}: {said} instead of {result.value}")
        yield what, best_us(partial(ours, cache, domain, ip)), best_us(partial(theirs, domain, ip))


def main() -> None:
    """Print the rows; the exit status is 1 if a check costs more than it may."""
    with Bar(MOST_US) as bar:
        for what, here, there in work():
            bar.show(what, here, f"   pyspf {there:8.1f} µs   {there / here:5.1f} times")


if __name__ == "__main__":
    main()

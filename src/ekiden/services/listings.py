"""What lists in the DNS have of one message: the address of its server, and the domains that stand in it.

Bounded: all lists at once, at most so many domains of one message; its DNS budget is that of all its lookups. A private address is on
nobody's list and is not asked for.
Source: RFC 5782.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from ekiden.base.errors import BadValue
from ekiden.dns.dnsbl import State, Subject, look_up
from ekiden.dns.mx import Ip
from ekiden.dns.names import to_ascii
from ekiden.dns.questions import Resolver
from ekiden.mail.address import Domain
from ekiden.mail.envelope import Envelope
from ekiden.mail.headers import Headers
from ekiden.mail.words import words_of
from ekiden.policy.rules import Listed, ListRule, Lists
from ekiden.policy.score import comes_from_outside

MOST_DOMAINS = 8
"""How many domains of one message each list is asked about."""
_IN_THE_LOOP_BYTES = 4 * 1024
_LINK = "link:"


class MessageListings:
    """The Listings of one message. author: the domain of From, A-labels, or "". dns: the resolver of the message."""

    def __init__(self, lists: Lists, envelope: Envelope, headers: Headers, raw: bytes, author: str, dns: Resolver) -> None:
        self._lists = lists
        self._envelope = envelope
        self._headers = headers
        self._raw = raw
        self._author = author
        self._dns = dns
        self._found: tuple[Listed, ...] | None = None

    async def found(self) -> tuple[Listed, ...]:
        """All that is listed; () where nothing is, or nobody could tell."""
        if self._found is None:
            ip = self._envelope.peer.ip
            addresses = [ip] if comes_from_outside(ip) else []
            domains = await self._domains() if any(rule.listed_by.subject is Subject.DOMAIN for rule in self._lists.rules) else []
            asked = (
                self._ask(rule, domains if rule.listed_by.subject is Subject.DOMAIN else addresses) for rule in self._lists.rules
            )
            self._found = tuple(each for each in await asyncio.gather(*asked) if each is not None)
        return self._found

    async def _ask(self, rule: ListRule, subjects: Iterable[Ip | str]) -> Listed | None:
        """The first of them that is listed; where the list cannot be asked, none."""
        for subject in subjects:
            listing = await self._dns.resolve(look_up(rule.listed_by, subject, self._lists.health, reason=True))
            if listing.state is State.LISTED:
                return Listed(rule, str(subject), listing.reason)
            if listing.state is not State.CLEAR:
                return None
        return None

    async def _domains(self) -> list[str]:
        """Whom From names, whom MAIL FROM names, and where the links lead, in this order."""
        host = self._envelope.sender.host
        if len(self._raw) <= _IN_THE_LOOP_BYTES:
            words = words_of(self._raw, self._headers)
        else:
            words = await asyncio.to_thread(words_of, self._raw, self._headers)
        links = (word.removeprefix(_LINK) for word in words if word.startswith(_LINK))
        named = [self._author, host.ascii if isinstance(host, Domain) else "", *links]
        return list(dict.fromkeys(_askable(named)))[:MOST_DOMAINS]


def _askable(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        try:
            ascii_name = to_ascii(name)
        except BadValue:
            continue
        if "." in ascii_name:
            yield ascii_name

"""Who really sent a message: its checks (policy.authentication), each made once, when the first policy asks.

All lookups of one message go through one resolver with one budget, so that no message asks for ever.
Source: RFC 7208, RFC 6376, RFC 9989, RFC 8617, RFC 8601.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ekiden.base.clock import Millis
from ekiden.dns.questions import NoAnswer, Resolver
from ekiden.dns.reverse import confirmed_name
from ekiden.mail.envelope import Envelope
from ekiden.mail.headers import Headers
from ekiden.mailauth.author import Author, author_of
from ekiden.mailauth.dkim import DkimCheck, DkimOutcome
from ekiden.mailauth.dmarc import DmarcOutcome, evaluate
from ekiden.mailauth.results import Evidence, Result
from ekiden.mailauth.spf import SpfOutcome, check_helo, check_host
from ekiden.policy.authentication import Ways

T = TypeVar("T")

_IN_THE_LOOP_BYTES = 256 * 1024  # what is hashed without a thread


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked. raw: the content exactly as the peer sent it."""

    envelope: Envelope
    headers: Headers
    raw: bytes
    now: Millis


class _Once(Generic[T]):
    """One check: begun by the first who asks, awaited by all; who gives up does not end it for the others."""

    __slots__ = ("_make", "_task")

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._task: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        if self._task is None:
            self._task = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._task)

    @property
    def made(self) -> T | None:
        """The result, if there is one already."""
        task = self._task
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Checks:
    """The Authentication of one message; close() when nobody will ask any more."""

    applies = True

    def __init__(self, ways: Ways, subject: Subject, dns: Resolver) -> None:
        self.ways = ways
        self._subject = subject
        self._dns = dns
        self._author: Author | None = None
        self._spf = _Once(self._check_spf)
        self._helo = _Once(self._check_helo)
        self._dkim = _Once(self._check_dkim)
        self._dmarc = _Once(self._check_dmarc)
        self._iprev = _Once(self._check_iprev)

    @property
    def author(self) -> Author:
        """Whom From names."""
        if self._author is None:
            self._author = author_of(self._subject.headers)
        return self._author

    async def spf(self) -> SpfOutcome:
        """SPF of MAIL FROM; of postmaster@HELO where that is the null path."""
        return await self._spf()

    async def helo(self) -> SpfOutcome:
        """SPF of the name in HELO; None where it is no domain name."""
        return await self._helo()

    async def dkim(self) -> tuple[DkimOutcome, ...]:
        """Each signature that was looked at, from the top."""
        return await self._dkim()

    async def dmarc(self) -> DmarcOutcome | None:
        """What the domain of From wants; None where From names no domain."""
        return await self._dmarc()

    async def iprev(self) -> Evidence:
        """Whether the peer's address has a name that leads back to it."""
        return await self._iprev()

    async def evidence(self) -> tuple[Evidence, ...]:
        """All of it, as Authentication-Results has it."""
        spf, dkim, dmarc, iprev = await asyncio.gather(self._spf(), self._dkim(), self._dmarc(), self._iprev())
        found = [iprev, spf.evidence(), *(each.evidence() for each in dkim)]
        if dmarc is not None:
            found.append(dmarc.evidence())
        return tuple(found)

    def made(self) -> tuple[Evidence, ...]:
        """What has been found so far, without asking more."""
        outcomes = (self._spf.made, *(self._dkim.made or ()), self._dmarc.made)
        found = [self._iprev.made, *(each.evidence() for each in outcomes if each is not None)]
        return tuple(each for each in found if each is not None)

    def close(self) -> None:
        """End what is still being asked."""
        for check in (self._spf, self._helo, self._dkim, self._dmarc, self._iprev):
            check.cancel()

    # ---- the checks ---------------------------------------------------------------------------------

    async def _check_spf(self) -> SpfOutcome:
        envelope = self._subject.envelope
        peer = envelope.peer
        lookup = check_host(peer.ip, peer.hello, envelope.sender, receiver=self.ways.by, now=self._subject.now)
        return await self._dns.resolve(lookup)

    async def _check_helo(self) -> SpfOutcome:
        peer = self._subject.envelope.peer
        return await self._dns.resolve(check_helo(peer.ip, peer.hello, receiver=self.ways.by, now=self._subject.now))

    async def _check_dkim(self) -> tuple[DkimOutcome, ...]:
        asked = self._subject
        check = DkimCheck(asked.headers, asked.now)
        if len(asked.raw) <= _IN_THE_LOOP_BYTES:
            check.update(asked.raw, asked.headers.body_at)
        else:
            await asyncio.to_thread(check.update, asked.raw, asked.headers.body_at)
        return await self._dns.resolve(check.outcomes())

    async def _check_dmarc(self) -> DmarcOutcome | None:
        author = self.author
        if author.must_be_refused or not author.domain:
            return None
        spf, dkim = await asyncio.gather(self._spf(), self._dkim())
        lookup = evaluate(author.domain, spf, dkim, suffixes=self.ways.suffixes, draw=secrets.randbelow(100))
        return await self._dns.resolve(lookup)

    async def _check_iprev(self) -> Evidence:
        ip = self._subject.envelope.peer.ip
        about = {"policy.iprev": str(ip)}
        try:
            name = await self._dns.resolve(confirmed_name(ip))
        except NoAnswer as unknown:
            return Evidence("iprev", Result.TEMPERROR, about, str(unknown))
        return Evidence("iprev", Result.FAIL if name is None else Result.PASS, about, "" if name is None else name)


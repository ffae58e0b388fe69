"""Who really sent a message: its checks (policy.authentication), each made once, when the first policy asks.

All lookups of one message go through one resolver with one budget, so that no message asks for ever.
Source: RFC 7208, RFC 6376, RFC 9989, RFC 8617, RFC 8601.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from ekiden.base.clock import Millis
from ekiden.dns.questions import Lookup, Resolver
from ekiden.dns.reverse import reverse
from ekiden.mail.address import Domain, Ip
from ekiden.mail.envelope import Envelope
from ekiden.mail.headers import Headers
from ekiden.mailauth.arc import NO_CHAIN, ArcCheck, ArcOutcome
from ekiden.mailauth.arc_set import has_sets
from ekiden.mailauth.author import Author, author_of
from ekiden.mailauth.dkim import DkimCheck, DkimOutcome
from ekiden.mailauth.dkim_key import key_records
from ekiden.mailauth.dmarc import Disposition, DmarcOutcome, OverrideType, evaluate
from ekiden.mailauth.results import Evidence, Result
from ekiden.mailauth.spf import SpfOutcome, check_helo, check_host
from ekiden.policy.authentication import Ways

T = TypeVar("T")

_NO_DOMAIN = DmarcOutcome(Result.NONE, Disposition.NONE, "")
_IN_THE_LOOP_BYTES = 256 * 1024  # what is hashed without a thread


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked. raw: the content exactly as the peer sent it."""

    envelope: Envelope
    headers: Headers
    raw: bytes
    now: Millis


class _Once(Generic[T]):
    """One check: made by the first who asks, in his own task; awaited by all others. If he gives up, the next one makes it anew."""

    __slots__ = ("_make", "_making", "_waited_for", "made")

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._making = False
        self._waited_for: asyncio.Future[None] | None = None
        self.made: T | None = None
        """The result, if there is one already."""

    async def __call__(self) -> T:
        while self.made is None:
            if self._making:
                if self._waited_for is None:
                    self._waited_for = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._waited_for)
                continue
            self._making = True
            try:
                self.made = await self._make()
            finally:
                self._making = False
                done, self._waited_for = self._waited_for, None
                if done is not None:
                    done.set_result(None)
        return self.made


class OfMessage(Resolver, Protocol):
    """A resolver for one message. asked: how many of its questions had to be asked of others, because nobody remembered the answer."""

    @property
    def asked(self) -> int: ...

    async def recall(self, key: Hashable, make: Callable[[], Lookup[T]], keep: Callable[[T], bool] = ...) -> T:
        """What the lookup returns, perhaps remembered: key stands for all that this depends on, but for answers. keep: whether it does."""
        ...


class Checks:
    """The Authentication of one message."""

    applies = True

    def __init__(self, ways: Ways, subject: Subject, dns: OfMessage) -> None:
        self.ways = ways
        self._subject = subject
        self._dns = dns
        self._author: Author | None = None
        self._told_of: tuple[object, ...] = ()
        self._told: tuple[Evidence, ...] = ()
        self._spf = _Once(self._check_spf)
        self._helo = _Once(self._check_helo)
        self._dkim = _Once(self._check_dkim)
        self._arc = _Once(self._check_arc)
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

    async def arc(self) -> ArcOutcome:
        """The chain of those who forwarded it."""
        return await self._arc()

    async def dmarc(self) -> DmarcOutcome | None:
        """What the domain of From wants; None where From names no domain."""
        outcome = await self._dmarc()
        return None if outcome is _NO_DOMAIN else outcome

    async def iprev(self) -> Evidence:
        """Whether the peer's address has a name that leads back to it."""
        return await self._iprev()

    async def evidence(self) -> tuple[Evidence, ...]:
        """All of it, as Authentication-Results has it."""
        waiting: list[Callable[[], Awaitable[object]]] = [self._spf, self._dkim, self._arc, self._iprev, self._dmarc]
        if self.ways.helo:
            waiting.insert(1, self._helo)
        while waiting:
            asked = self._dns.asked
            await waiting.pop(0)()
            if self._dns.asked != asked:  # answers have to be waited for: for all of them at once, then
                await asyncio.gather(*(check() for check in waiting))
                break
        return self.made()

    def made(self) -> tuple[Evidence, ...]:
        """What has been found so far, without asking more."""
        helo = self._helo.made if self.ways.helo and self._subject.envelope.sender.host is not None else None  # else it is that of spf()
        outcomes = (self._iprev.made, self._spf.made, helo, self._dkim.made, self._arc.made, self._dmarc.made)
        if outcomes != self._told_of:
            self._told_of, self._told = outcomes, _told(*outcomes)
        return self._told

    # ---- the checks ---------------------------------------------------------------------------------

    async def _check_spf(self) -> SpfOutcome:
        sender = self._subject.envelope.sender
        if sender.host is None:
            return await self._helo()
        peer = self._subject.envelope.peer
        key = ("spf", peer.ip, sender.host.ascii if isinstance(sender.host, Domain) else "")
        return await self._dns.recall(
            key, lambda: check_host(peer.ip, peer.hello, sender, receiver=self.ways.by, now=self._subject.now), _for_all
        )

    async def _check_helo(self) -> SpfOutcome:
        peer = self._subject.envelope.peer
        key = ("helo", peer.ip, peer.hello)
        return await self._dns.recall(key, lambda: check_helo(peer.ip, peer.hello, receiver=self.ways.by, now=self._subject.now), _for_all)

    async def _check_dkim(self) -> tuple[DkimOutcome, ...]:
        asked = self._subject
        check = DkimCheck(asked.headers, asked.now)
        if len(asked.raw) <= _IN_THE_LOOP_BYTES:
            check.update(asked.raw, asked.headers.body_at)
        else:
            await asyncio.to_thread(check.update, asked.raw, asked.headers.body_at)
        return check.judged({who: await self._dns.recall(("key", *who), partial(key_records, *who)) for who in check.needed()})

    async def _check_arc(self) -> ArcOutcome:
        asked = self._subject
        if not has_sets(asked.headers):
            return NO_CHAIN
        check = ArcCheck(asked.headers, asked.now)
        if len(asked.raw) <= _IN_THE_LOOP_BYTES:
            check.update(asked.raw, asked.headers.body_at)
        else:
            await asyncio.to_thread(check.update, asked.raw, asked.headers.body_at)
        return await self._dns.resolve(check.outcome())

    async def _check_dmarc(self) -> DmarcOutcome:
        author = self.author
        if author.must_be_refused or not author.domain:
            return _NO_DOMAIN
        spf, dkim = await self._spf(), await self._dkim()
        draw = secrets.randbelow(100) if self.ways.suffixes is not None else 0  # RFC 9989 samples nothing
        signatures = tuple((each.result, each.domain, each.partial) for each in dkim)
        key = ("dmarc", self.ways.suffixes, author.domain, spf.result, spf.domain, signatures)
        outcome = await self._dns.recall(
            key, lambda: evaluate(author.domain, spf, dkim, suffixes=self.ways.suffixes, draw=draw), _for_any_draw
        )
        trusted = self.ways.trusted_sealers
        if trusted and outcome.disposition in (Disposition.QUARANTINE, Disposition.REJECT):
            return _vouched_for(outcome, await self._arc(), trusted)
        return outcome

    async def _check_iprev(self) -> Evidence:
        ip = self._subject.envelope.peer.ip
        return await self._dns.recall(("iprev", ip), lambda: _iprev(ip))


def _told(
    iprev: Evidence | None,
    spf: SpfOutcome | None,
    helo: SpfOutcome | None,
    dkim: tuple[DkimOutcome, ...] | None,
    arc: ArcOutcome | None,
    dmarc: DmarcOutcome | None,
) -> tuple[Evidence, ...]:
    chain = arc if arc is not None and arc.result is not Result.NONE else None
    outcomes = (spf, helo, *(dkim or ()), chain, dmarc if dmarc is not _NO_DOMAIN else None)
    found = (iprev, *(each.evidence() for each in outcomes if each is not None))
    return tuple(each for each in found if each is not None)


def _iprev(ip: Ip) -> Lookup[Evidence]:
    found = yield from reverse(ip)
    return Evidence("iprev", Result(found.said), {"policy.iprev": str(ip)}, found.because)


def _for_all(outcome: SpfOutcome) -> bool:
    """Whether it is the same for all mail of this domain from this address."""
    return not outcome.personal


def _for_any_draw(outcome: DmarcOutcome) -> bool:
    """Whether it is the same whatever the random number was (RFC 7489 §6.6.4)."""
    return outcome.result is Result.PASS or outcome.record is None or outcome.record.pct >= 100


def _vouched_for(outcome: DmarcOutcome, arc: ArcOutcome, trusted: frozenset[str]) -> DmarcOutcome:
    """What DMARC says where a forwarder that we trust has sealed that it passed there (RFC 8617 §7.2.1); the newest such seal counts."""
    if arc.result is not Result.PASS:
        return outcome
    for each in reversed(arc.sets):
        if each.seal.domain not in trusted:
            return outcome  # what an earlier one sealed went through hands that nobody vouches for
        if any(told.method == "dmarc" and told.result == "pass" for told in each.results.statements):
            return outcome.overridden(OverrideType.TRUSTED_FORWARDER, f"arc=pass as[{each.instance}].d={each.seal.domain}")
    return outcome

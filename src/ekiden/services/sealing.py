"""ARC seals of mail that an alias sends on: what we have found of its origin, for those who believe us.

A seal is made when the message leaves, over the message as it leaves, for each attempt anew: no reply to DATA waits for it, nothing is
stored that a crash could leave half done, and the keys are those of that time. The chain is checked with answers that the resolver
mostly has already. Where the domain has no keys, or the chain has failed before and says so, there is none; and since a seal is a help
and no promise, the message leaves without where none can be made.
Source: RFC 8617 §5.1; docs/adr/0010-arc.md, docs/adr/0012-signing-and-forwarding.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ekiden.base.clock import Clock
from ekiden.base.errors import Damaged, StoreError
from ekiden.mail import journey
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.arc import NO_CHAIN, ArcCheck, ArcSealer, own_results
from ekiden.policy.stage import Log
from ekiden.services.keys import KeysUnusable
from ekiden.services.origins import Resolvers
from ekiden.services.signing import Signing

_BRIEF_BYTES = 65_536  # what is hashed without a thread
_HEADER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Seal:
    """fields: to be put on top, b"" for none."""

    fields: bytes = b""
    steps: tuple[journey.Step, ...] = ()


class Sealing:
    """Seals for one process. authserv_id: our name in Authentication-Results."""

    def __init__(self, signing: Signing, resolvers: Resolvers, clock: Clock, authserv_id: str, log: Log) -> None:
        self._signing = signing
        self._resolvers = resolvers
        self._clock = clock
        self._authserv_id = authserv_id
        self._log = log

    async def seal(self, top: bytes, pieces: AsyncIterator[bytes], domain: str) -> Seal:
        """A seal for a domain (A-labels). top: what we have put on top of the message; pieces: its content. Raises nothing."""
        try:
            return await self._seal(top, pieces, domain)
        except (KeysUnusable, Damaged, StoreError) as error:
            self._log("seal-impossible", level="warning", domain=domain, because=str(error))
        except Exception as error:  # a message that our own reader cannot read leaves without: a seal is a help and no promise
            self._log("seal-failed", level="error", domain=domain, error=error)
        return Seal()

    async def _seal(self, top: bytes, pieces: AsyncIterator[bytes], domain: str) -> Seal:
        keys = await self._signing.keys_for(domain)
        if not keys:
            return Seal()
        # RFC 8617 §4.1.2 knows one algorithm that all must verify.
        key = next((key for key in keys if key.algorithm == "rsa-sha256"), keys[0])
        now = self._clock.now()
        first = b""
        async for piece in pieces:
            first += piece
            if b"\r\n\r\n" in first or len(first) > _HEADER_BYTES:
                break
        content = parse_headers(first)
        headers = parse_headers(top + content.block + b"\r\n")
        results = own_results(headers, self._authserv_id) or f"{self._authserv_id}; none".encode()
        check, sealer = ArcCheck(content, now), ArcSealer(headers, results, NO_CHAIN, key, now)
        if sealer.declines:
            return Seal()

        def update(piece: bytes, at: int = 0) -> None:
            check.update(piece, at)
            sealer.update(piece, at)

        if len(first) <= _BRIEF_BYTES:
            update(first, content.body_at)
        else:
            await asyncio.to_thread(update, first, content.body_at)
        async for piece in pieces:
            await asyncio.to_thread(update, piece)
        dns = self._resolvers.for_message()
        outcome = await dns.resolve(check.outcome())
        steps: list[journey.Step] = [journey.DnsAnswered(asked.at, *asked.words) for asked in dns.trail]
        if outcome.temporary:
            return Seal(b"", tuple(steps))  # nobody could tell now, and "cv=fail" would stay for good
        sealer.outcome = outcome
        fields = await asyncio.to_thread(sealer.fields)
        steps.append(journey.Sealed(now, key.domain, key.selector, key.algorithm, outcome.result.value))
        return Seal(fields, tuple(steps))

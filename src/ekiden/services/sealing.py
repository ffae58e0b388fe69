"""ARC seals of mail that an alias sends on: what we have found of its origin, for those who believe us.

The chain is checked anew, with answers that the resolver mostly has already; the seal is made over the message as it leaves. Where the
domain of the alias has no keys, or the chain has failed before and says so, there is none.
Source: RFC 8617 §5.1; docs/adr/0012-signing-and-forwarding.md.
"""

from __future__ import annotations

import asyncio

from ekiden.base.clock import Clock
from ekiden.dns.questions import Resolver
from ekiden.mail.address import Domain, Path
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.arc import ArcSealer, own_results, verify_chain
from ekiden.services.signing import Signing


class Sealing:
    """Seals for one process. authserv_id: our name in Authentication-Results."""

    def __init__(self, signing: Signing, resolver: Resolver, clock: Clock, authserv_id: str) -> None:
        self._signing = signing
        self._resolver = resolver
        self._clock = clock
        self._authserv_id = authserv_id

    async def seal(self, top: bytes, raw: bytes, by: Path) -> bytes:
        """The fields of a seal, to be put on top; b"" for none. top: what we have put on raw so far. by: the alias.

        Raises KeysUnusable, Damaged, StoreError.
        """
        keys = await self._signing.keys_for(by.host.ascii) if isinstance(by.host, Domain) else ()
        if not keys:
            return b""
        # RFC 8617 §4.1.2 knows one algorithm that all must verify.
        key = next((key for key in keys if key.algorithm == "rsa-sha256"), keys[0])
        now = self._clock.now()
        content = parse_headers(raw)
        outcome = await self._resolver.resolve(verify_chain(raw, content, now))
        headers = parse_headers(top + content.block + b"\r\n")
        results = own_results(headers, self._authserv_id) or f"{self._authserv_id}; none".encode()
        if outcome.temporary:
            return b""  # nobody could tell now, and "cv=fail" would stay for good
        sealer = ArcSealer(headers, results, outcome, key, now)
        if sealer.declines:
            return b""

        def work() -> bytes:
            sealer.update(raw, content.body_at)
            return sealer.fields()

        return await asyncio.to_thread(work)

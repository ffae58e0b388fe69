"""Signatures of mail that leaves: what people submit, and what we write ourselves.

All active keys of the author's domain sign, or those of the nearest domain above it. Keys are opened once and kept in memory; a
change is heard of by a poke, and seen after five seconds without one. Where a domain has keys and they cannot be opened, nothing is
signed and nothing may leave without: whoever asked hears KeysUnusable or Damaged.
Source: RFC 6376 §5, RFC 8463 §3; docs/adr/0012-signing-and-forwarding.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ekiden.base.clock import Clock
from ekiden.base.errors import BadValue, Damaged
from ekiden.base.ids import AccountId
from ekiden.dns.names import to_ascii
from ekiden.mail import journey
from ekiden.mail.fields import parse_addresses
from ekiden.mail.headers import Headers, parse_headers
from ekiden.mailauth.dkim import DkimSigner
from ekiden.mailauth.dkim_key import SigningKey, load_signing_key
from ekiden.services.keys import Vault, purpose_of
from ekiden.store import dkim_keys
from ekiden.store.changes import KEYS, Changes
from ekiden.store.database import Database
from ekiden.store.dkim_keys import DkimKey, KeyStatus

_FRESH_S = 5.0
_DOMAINS = 10_000
_ABOVE = 8  # labels: what is deeper has no keys of ours above it
_BRIEF_BYTES = 262_144  # what is longer is hashed in a thread

Log = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Signed:
    """fields: to be put on top, each with its CRLF; b"" where the domain has no keys. steps: for the journey."""

    fields: bytes = b""
    steps: tuple[journey.Step, ...] = ()


class Signing:
    """Signs for one process."""

    def __init__(self, database: Database, vault: Vault, changes: Changes, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._version: str | None = None
        self._look_at = float("-inf")
        self._domains: frozenset[str] = frozenset()
        self._known: dict[str, tuple[SigningKey, ...]] = {}
        changes.on_poke(self._hear)

    def _hear(self, account: AccountId) -> None:
        if account == KEYS:
            self._look_at = float("-inf")

    async def sign(self, top: bytes, raw: bytes) -> Signed:
        """Sign a message as it will go out: header fields to be put on top of it, then raw. Raises KeysUnusable, Damaged, StoreError."""
        content = parse_headers(raw)
        headers = parse_headers(top + content.block + b"\r\n") if top else content
        keys = await self.keys_for(author_domain(headers))
        if not keys:
            return Signed()
        now = self._clock.now()
        signer = DkimSigner(headers, keys, now)

        def work() -> bytes:
            signer.update(raw, content.body_at)
            return signer.fields()

        fields = work() if len(raw) <= _BRIEF_BYTES else await asyncio.to_thread(work)
        return Signed(fields, tuple(journey.Signed(now, key.domain, key.selector, key.algorithm) for key in keys))

    async def keys_for(self, domain: str) -> Sequence[SigningKey]:
        """What signs for an author of this domain (A-labels); empty where nothing does. Raises KeysUnusable, Damaged, StoreError."""
        await self._look()
        labels = domain.split(".")
        for at in range(max(0, len(labels) - _ABOVE), len(labels)):
            name = ".".join(labels[at:])
            if name in self._domains:
                return await self._open(name)
        return ()

    async def _look(self) -> None:
        """Forget all keys if one has changed."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _FRESH_S  # before the question: a poke that comes meanwhile is not to be lost
        try:
            version = await self._database.read(dkim_keys.version)
            if version != self._version:
                self._domains = frozenset(await self._database.read(dkim_keys.signing_domains))
                self._known.clear()
                self._version = version
        except BaseException:
            self._look_at = float("-inf")
            raise

    async def _open(self, domain: str) -> tuple[SigningKey, ...]:
        known = self._known.get(domain)
        if known is not None:
            return known
        version = self._version
        found = [key for key in await self._database.read(lambda tx: dkim_keys.of_domain(tx, domain)) if key.status is KeyStatus.ACTIVE]
        opened = await asyncio.to_thread(lambda: tuple(self._opened(key) for key in found))
        if version == self._version:
            if len(self._known) >= _DOMAINS:
                self._known.clear()
            self._known[domain] = opened
        return opened

    def _opened(self, key: DkimKey) -> SigningKey:
        purpose = purpose_of(key.domain, key.selector, key.algorithm)
        try:
            return load_signing_key(key.domain, key.selector, self._vault.open(key.sealed, purpose))
        except BadValue as error:
            raise Damaged(f"the secret of {purpose} is no key") from error


def author_domain(headers: Headers) -> str:
    """The domain of the first address of From, in A-labels; "" where there is none."""
    for address in parse_addresses(headers.first(b"from") or b"")[:1]:
        try:
            return to_ascii(address.domain)
        except BadValue:
            return ""
    return ""

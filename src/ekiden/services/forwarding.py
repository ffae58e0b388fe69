"""Mail that an alias sends on to another server: under a sender of ours, and the way back for its bounces.

The sender becomes an address of the alias's domain (mail.srs), so that SPF passes and a bounce comes to us; what comes back to such
an address goes on to the sender, if it is a bounce and we have written the address. The message itself is not touched, so that its
DKIM signatures stay valid. Secrets are this installation's own; each month there is a new one, and former ones go on to be believed for
as long as an address is valid.
Source: mail.srs; RFC 5321 §6.3 (loops), reliability.md RL-20, RL-21; docs/adr/0012-signing-and-forwarding.md.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ekiden.base.clock import Clock, Millis
from ekiden.base.errors import BadValue
from ekiden.mail import journey, srs
from ekiden.mail.address import NULL_PATH, Domain, Path, format_path
from ekiden.mail.envelope import Envelope
from ekiden.mail.headers import Headers, unfold
from ekiden.mail.srs import DAY_MS, VALID_DAYS
from ekiden.services.keys import Vault
from ekiden.store import accounts, dkim_keys
from ekiden.store import srs as store
from ekiden.store.database import Database, Tx

_PURPOSE = "srs"
_SECRET_BYTES = 32
_FOLLOWED_MS = 30 * DAY_MS
_VALID_MS = (VALID_DAYS + 2) * DAY_MS
_LOOK_S = 60.0
_LOOK_AGAIN_S = 2.0  # where a hash is not known: another process may have made a new secret
_OURS_S = 10.0
_OURS = 10_000
_PASSES = 10  # of one message through this server
_DELIVERED_TO = 100


class Loop(Exception):
    """The message has been here before."""


@dataclass(frozen=True, slots=True)
class Forward:
    """How a message goes on. envelope: with the sender that others see. prefix: to be put on top. keep: part of its transaction.

    by: the (first) address of ours that sends it on; None where nothing is sent on.
    """

    envelope: Envelope
    prefix: bytes = b""
    steps: tuple[journey.Step, ...] = ()
    keep: Callable[[Tx], None] | None = None
    by: Path | None = None


class Forwarding:
    """Rewrites senders for one process. domains: ours beside those in the store. domain: used for all, "" for that of the alias."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock,
        hostname: str,
        domains: Sequence[str],
        *,
        rewrites: bool = True,
        domain: str = "",
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._domains = frozenset([*domains, *([domain] if domain else [])])
        self._rewrites = rewrites
        self._domain = domain
        self._random = random
        self._by_us = re.compile(rb"\sby\s+%s[\s;(]" % re.escape(hostname.encode("ascii", "replace")), re.IGNORECASE)
        self._secrets: tuple[bytes, ...] = ()
        self._newest_at = 0
        self._read_at = float("-inf")
        self._ours: dict[str, tuple[float, bool]] = {}

    # ---- on -----------------------------------------------------------------------------------------

    async def ahead(self, envelope: Envelope, by: Sequence[Path], headers: Headers, *, stays: bool) -> Forward:
        """How a message goes on. by: the addresses of ours that send it on. stays: one of our own mailboxes has a copy, too.

        Raises Loop, KeysUnusable, Damaged, StoreError.
        """
        aliases = {format_path(path).lower() for path in by}
        come_to = [unfold(value).decode("utf-8", "replace").lower() for value in headers.all(b"delivered-to")[:_DELIVERED_TO]]
        if aliases.intersection(come_to):
            raise Loop
        if sum(1 for value in headers.all(b"received") if self._by_us.search(value)) >= _PASSES:
            raise Loop
        # RFC 5321 §4.4 has no field for it; this one is what other servers look for, too. Not where it would tell one address of another.
        prefix = f"Delivered-To: {format_path(by[0])}\r\n".encode() if len(by) == 1 and not stays else b""
        forward = Forward(envelope, prefix, by=by[0])
        sender = envelope.sender
        if not self._rewrites or sender == NULL_PATH or (isinstance(sender.host, Domain) and await self.is_ours(sender.host.ascii)):
            return forward
        host = by[0].host
        domain = self._domain or (host.ascii if isinstance(host, Domain) else "")
        if not domain:
            return forward
        now = self._clock.now()
        secret = (await self._fresh(_LOOK_S))[0]
        wrapped = srs.wrap(sender, domain, secret, now, self._random(10))
        keep = _keeping(wrapped, now) if wrapped.kept is not None else None
        step = journey.SenderRewritten(now, format_path(sender), format_path(wrapped.path))
        return Forward(replace(envelope, sender=wrapped.path), prefix, (step,), keep, by[0])

    async def is_ours(self, domain: str) -> bool:
        """Whether mail for this domain comes to us. Raises StoreError."""
        if domain in self._domains:
            return True
        now = self._clock.monotonic()
        known = self._ours.get(domain)
        if known is None or known[0] < now:
            found = await self._database.read(lambda tx: accounts.domain_exists(tx, domain))
            if len(self._ours) >= _OURS:
                self._ours.clear()
            known = self._ours[domain] = (now + _OURS_S, found)
        return known[1]

    # ---- back ---------------------------------------------------------------------------------------

    async def behind(self, path: Path) -> Path:
        """Whom an address of ours stands for. Raises BadValue if we have not written it or it is too old; KeysUnusable, StoreError."""
        now = self._clock.now()
        try:
            found = srs.unwrap(path.local, await self._fresh(_LOOK_S, makes=False), now)
        except BadValue:
            found = srs.unwrap(path.local, await self._fresh(_LOOK_AGAIN_S, makes=False), now)
        if isinstance(found, Path):
            return found
        token = found.text
        kept = await self._database.read(lambda tx: store.path_of(tx, token, now))
        if kept is None:
            raise BadValue("rewritten sender", path.local, "not known any more")
        return kept

    # ---- secrets ------------------------------------------------------------------------------------

    async def _fresh(self, within_s: float, *, makes: bool = True) -> tuple[bytes, ...]:
        """The secrets as they were so long ago at most, the newest first; with makes at least one that is not too old to sign."""
        if self._clock.monotonic() - self._read_at > within_s:
            await self._read()
        now = self._clock.now()
        if makes and (not self._secrets or now - self._newest_at > _FOLLOWED_MS):
            await self._follow(now)
            await self._read()
        return self._secrets

    async def _read(self) -> None:
        sealed = await self._database.read(store.secrets)
        opened = await asyncio.to_thread(lambda: tuple(self._vault.open(each.sealed, _PURPOSE) for each in sealed))
        self._secrets, self._newest_at = opened, sealed[0].created_at if sealed else 0
        self._read_at = self._clock.monotonic()

    async def _follow(self, now: Millis) -> None:
        """A new secret, unless another process was faster."""
        if not self._secrets and not await self._database.read(dkim_keys.everything):
            await asyncio.to_thread(self._vault.make)  # the first secret of all
        sealed = await asyncio.to_thread(self._vault.seal, self._random(_SECRET_BYTES), _PURPOSE)
        older_than = Millis(now - _FOLLOWED_MS)
        await self._database.write(lambda tx: store.add_secret(tx, sealed, now, older_than=older_than, keep_ms=_VALID_MS))


def _keeping(wrapped: srs.Wrapped, now: Millis) -> Callable[[Tx], None]:
    """What the transaction of the message does, so that the token stands for the sender."""
    sender, until = wrapped.kept or NULL_PATH, Millis(now + _VALID_MS)
    return lambda tx: store.keep_path(tx, wrapped.token, sender, now, until)

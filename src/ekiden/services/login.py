"""From a name and a password to an account, slowly for those who guess.

argon2id runs in a bounded thread pool; a right password is remembered for five minutes under a keyed hash, so that mail
clients, which log in all the time, cost nothing. Unknown names, wrong passwords and disabled accounts get the same answer
in the same time. Failures are counted by network; a success clears nothing but its own (account, network) pair.
Source: RFC 4954 §4, reliability.md §5.3, §5.4, rows AU-06, AU-14 … AU-19, AU-25.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Protocol

from ekiden.base import measures
from ekiden.base.clock import Clock
from ekiden.base.errors import StoreError
from ekiden.base.ids import AccountId
from ekiden.mail.envelope import Peer
from ekiden.net.listener import network_of
from ekiden.services.hands import Hands
from ekiden.store.accounts import Credentials, credentials_of
from ekiden.store.database import Database

_REMEMBER_S = 300.0
_REMEMBERED = 10_000
_WAITING_HASHES = 64
_PASSWORD_BYTES = 1024
_PER_MINUTE = 10
_PER_DAY = 50


class LoginRefusal(Enum):
    """Why a login did not work, as far as a peer may know."""

    WRONG = "wrong"
    TOO_MANY = "too many"
    BUSY = "busy"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account that has proved itself. addresses: all its own, lower case "local@domain"."""

    account: AccountId
    name: str
    addresses: frozenset[str]


def count_login(door: str, mechanism: str, found: SignedIn | LoginRefusal) -> None:
    """Count an attempt to sign in; mechanism: "command" for one that is not SASL."""
    result = found.value.replace(" ", "-") if isinstance(found, LoginRefusal) else "ok"
    measures.LOGINS.of(door, mechanism, result).value += 1


class PasswordCheck(Protocol):
    """How stored passwords are compared (sasl.passwords)."""

    def verify(self, stored: str | None, password: bytes) -> bool:
        """True if they agree; takes as long for stored=None, and is then False."""
        ...


class Guesses:
    """Failed logins by network, in this process: 10 a minute, 50 a day."""

    def __init__(self, clock: Clock, per_minute: int = _PER_MINUTE, per_day: int = _PER_DAY) -> None:
        self._clock = clock
        self._limits = ((60.0, per_minute), (86_400.0, per_day))
        self._failures: dict[str, deque[float]] = {}

    def too_many(self, network: str) -> bool:
        """True while this network has to wait."""
        times = self._failures.get(network)
        if times is None:
            return False
        now = self._clock.monotonic()
        while times and now - times[0] > 86_400.0:
            times.popleft()
        if not times:
            del self._failures[network]
            return False
        return any(sum(now - at <= window for at in times) >= limit for window, limit in self._limits)

    def failed(self, network: str) -> None:
        """Count one failure."""
        times = self._failures.setdefault(network, deque(maxlen=1000))
        times.append(self._clock.monotonic())


class Logins:
    """Checks credentials for all doors of one process."""

    def __init__(self, database: Database, check: PasswordCheck, clock: Clock, key: bytes, guesses: Guesses, hashers: int = 2) -> None:
        self._database = database
        self._check = check
        self._clock = clock
        self._key = key
        self._guesses = guesses
        self._pool = Hands(hashers, name="argon2")
        self._waiting = 0
        self._remembered: dict[bytes, float] = {}

    async def login(self, name: str, password: bytes, peer: Peer, *, acting_as: str = "") -> SignedIn | LoginRefusal:
        """The account behind name and password. acting_as: SASL's authorization identity, which must be empty or the same."""
        network = network_of(peer.ip)
        if self._guesses.too_many(network):
            return LoginRefusal.TOO_MANY
        if not password or len(password) > _PASSWORD_BYTES or not name or (acting_as and acting_as != name):
            self._guesses.failed(network)
            return LoginRefusal.WRONG
        try:
            found = await self._database.read(lambda tx: credentials_of(tx, name))
        except StoreError:
            return LoginRefusal.BROKEN
        verdict = await self._agrees(found, password)
        if verdict is None:
            return LoginRefusal.BUSY
        if not verdict or found is None or found.disabled:
            self._guesses.failed(network)
            return LoginRefusal.WRONG
        return SignedIn(found.account, found.name, frozenset(found.addresses))

    async def _agrees(self, found: Credentials | None, password: bytes) -> bool | None:
        """Whether the password is right; None if too many are waiting to be checked."""
        stored = found.password_hash if found is not None else None
        remembered = blake2b(key=self._key, digest_size=32)
        if found is not None and stored is not None:
            remembered.update(b"%d\0%d\0" % (found.account, len(password)) + password + stored.encode())
            if self._remembered.get(remembered.digest(), 0.0) > self._clock.monotonic():
                return True
        if self._waiting >= _WAITING_HASHES:
            return None
        self._waiting += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(self._pool, self._check.verify, stored, password)
        finally:
            self._waiting -= 1
        if right and stored is not None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[remembered.digest()] = self._clock.monotonic() + _REMEMBER_S
        return right

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False)

"""Rewritten senders of forwarded mail: SRS0 and SRS1.

Who forwards mail puts an address of his own domain in place of the sender's, so that SPF asks about him, and a bounce comes to him. The
address holds the sender's and a keyed hash, so that only what he has written himself leads on to anybody: no open relay.

    SRS0=hash=tt=domain=local@us           local@domain wrote it
    SRS1=hashtt=host=rest@us               SRS0rest@host wrote it, which is a forwarder's; a third one only replaces the hash
    SRS0=hash=tt=-=token@us                who wrote it does not fit; the store knows what the token stands for

tt is the day, and after ten days nothing leads on. Local parts may change their case on the way, so the hash does not see it.
Source: the SRS drafts of 2003 (Shevek, "The Sender Rewriting Scheme"); RFC 5321 §4.5.3.1.1 for the length.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.mail.address import LOCAL_MAX, PATH_MAX, Domain, Path, parse_mailbox, quote_local

VALID_DAYS = 10
DAY_MS = 86_400_000
_DAYS = 1024  # of two letters; then they begin again
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_HASH_BYTES = 5  # 40 bits in eight letters: a guess has to be made at our door, where errors are counted
_SRS = re.compile(r"srs[01][=+-]", re.IGNORECASE)
_ZERO = re.compile(r"srs0[=+-]([a-z2-7]{8})=([a-z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL)
_ONE = re.compile(r"srs1[=+-]([a-z2-7]{8})([a-z2-7]{2})=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)
_FOREIGN_ONE = re.compile(r"srs1[=+-][^=]*=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(r"[a-z2-7]{16}", re.IGNORECASE)
_NO_DOMAIN = "-"


@dataclass(frozen=True, slots=True)
class Token:
    """Stands for an address that the store knows."""

    text: str


@dataclass(frozen=True, slots=True)
class Wrapped:
    """path: what to write in place of the sender. kept: the sender where the store has to remember it as what token stands for."""

    path: Path
    token: str = ""
    kept: Path | None = None


def is_srs(local: str) -> bool:
    """Whether a local part looks like a rewritten sender."""
    return _SRS.match(local) is not None


def wrap(sender: Path, domain: str, secret: bytes, now: Millis, random: bytes) -> Wrapped:
    """An address of domain (A-labels) in place of the sender's, which is not the null path. random: ten bytes, for a token."""
    stamp = _stamp(now // DAY_MS)
    local = _local(sender, secret, stamp)
    if local is not None and len(local) <= LOCAL_MAX and quote_local(local) == local and len(local) + 1 + len(domain) <= PATH_MAX:
        return Wrapped(Path(local, Domain(domain)))
    token = base64.b32encode(random[:10]).decode("ascii").lower()
    hashed = _hash(secret, "token", stamp, token)
    return Wrapped(Path(f"SRS0={hashed}={stamp}={_NO_DOMAIN}={token}", Domain(domain)), token, sender)


def unwrap(local: str, secrets: Sequence[bytes], now: Millis) -> Path | Token:
    """Who stands behind a local part that wrap() made with one of the secrets. Raises BadValue for anything else, and after ten days."""
    if found := _ZERO.fullmatch(local):
        hashed, stamp, host, rest = found.groups()
        if host == _NO_DOMAIN and _TOKEN.fullmatch(rest):
            _check(local, hashed, secrets, "token", stamp, rest)
            _see_age(local, stamp, now)
            return Token(rest.lower())
        _check(local, hashed, secrets, "0", stamp, host, rest)
        _see_age(local, stamp, now)
        return parse_mailbox(f"{rest}@{host}")
    if found := _ONE.fullmatch(local):
        hashed, stamp, host, rest = found.groups()
        _check(local, hashed, secrets, "1", stamp, host, rest)
        _see_age(local, stamp, now)
        return parse_mailbox(f"SRS0{rest}@{host}")
    raise BadValue("rewritten sender", local)


def _local(sender: Path, secret: bytes, stamp: str) -> str | None:
    """The local part, perhaps too long; None for a sender that cannot stand in one."""
    if not isinstance(sender.host, Domain) or not sender.local.isascii() or quote_local(sender.local) != sender.local:
        return None
    host, rest = sender.host.ascii, sender.local
    if is_srs(rest):
        # A forwarder's address is not wrapped again and again: the bounce goes to the first one, however many there were.
        if rest[3] == "0":
            return f"SRS1={_hash(secret, '1', stamp, host, rest[4:])}{stamp}={host}={rest[4:]}"
        if foreign := _FOREIGN_ONE.fullmatch(rest):
            first, inner = foreign.groups()
            return f"SRS1={_hash(secret, '1', stamp, first, inner)}{stamp}={first}={inner}"
    return f"SRS0={_hash(secret, '0', stamp, host, rest)}={stamp}={host}={rest}"


def _hash(secret: bytes, *parts: str) -> str:
    text = "=".join(parts).lower().encode("utf-8")
    return base64.b32encode(hmac.digest(secret, text, "sha256")[:_HASH_BYTES]).decode("ascii").lower()


def _check(local: str, hashed: str, secrets: Sequence[bytes], *parts: str) -> None:
    given = hashed.lower()
    matches = [hmac.compare_digest(given, _hash(secret, *parts)) for secret in secrets]
    if not any(matches):
        raise BadValue("rewritten sender", local, "not written by us")


def _stamp(day: int) -> str:
    day %= _DAYS
    return _LETTERS[day >> 5] + _LETTERS[day & 31]


def _see_age(local: str, stamp: str, now: Millis) -> None:
    high, low = (_LETTERS.index(letter) for letter in stamp.lower())
    if (now // DAY_MS - (high << 5 | low)) % _DAYS > VALID_DAYS:
        raise BadValue("rewritten sender", local, "too old")

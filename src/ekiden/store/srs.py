"""Secrets of rewritten senders, and addresses that do not fit into another one: functions of a transaction."""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.base.clock import Millis
from ekiden.mail.address import Path, format_path, parse_mailbox
from ekiden.store.columns import integer, octets, string
from ekiden.store.database import Tx


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """One secret, encrypted."""

    sealed: bytes
    created_at: Millis


def secrets(tx: Tx) -> list[SealedSecret]:
    """The newest first: it signs; all check."""
    return [SealedSecret(octets(row, 0), Millis(integer(row, 1))) for row in tx.all("srs_secrets")]


def add_secret(tx: Tx, sealed: bytes, now: Millis, *, older_than: Millis, keep_ms: int) -> bool:
    """A new secret, unless the newest is younger than older_than; False then.

    keep_ms: how long an address is valid, so that a secret whose successor is older than that can go.
    """
    known = secrets(tx)
    if known and known[0].created_at > older_than:
        return False
    tx.run("srs_secret_insert", sealed=sealed, now=now)
    tx.run("srs_secrets_expire", before=now - keep_ms)
    return True


def keep_path(tx: Tx, token: str, path: Path, now: Millis, until: Millis) -> None:
    """token stands for path until then; some that have ended are forgotten."""
    tx.run("srs_paths_expire", now=now)
    tx.run("srs_path_insert", token=token, path=format_path(path), until=until)


def path_of(tx: Tx, token: str, now: Millis) -> Path | None:
    """What a token stands for; None for one that nobody has given out, or not any more."""
    row = tx.one("srs_path_get", token=token, now=now)
    return parse_mailbox(string(row, 0)) if row is not None else None

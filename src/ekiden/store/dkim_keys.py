"""Keys that mail is signed with: functions of a transaction.

A key is new (its record is not in the DNS yet), active (it signs) or old (it signs no more; its record stays until what it has
signed has been verified). A change of keys is one transaction, so that there is always the former key or the next one.
Source: RFC 6376 §3.1, §3.6.1; reliability.md F-19.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ekiden.base import failpoints
from ekiden.base.clock import Millis
from ekiden.store.columns import integer, octets, string
from ekiden.store.database import Row, Tx


class KeyStatus(Enum):
    """What a key is used for."""

    NEW = "new"
    ACTIVE = "active"
    OLD = "old"


@dataclass(frozen=True, slots=True)
class DkimKey:
    """One key. domain in A-labels; algorithm: "rsa" or "ed25519". public: p= of its record. sealed: the private key, encrypted.

    changed_at: when it got its status.
    """

    domain: str
    selector: str
    algorithm: str
    status: KeyStatus
    public: bytes
    sealed: bytes
    changed_at: Millis


def add(tx: Tx, keys: Sequence[DkimKey]) -> None:
    """All of them. Raises Conflict if a domain has a selector already."""
    for key in keys:
        tx.run(
            "dkim_key_insert",
            domain=key.domain,
            selector=key.selector,
            algorithm=key.algorithm,
            status=key.status.value,
            public=key.public,
            sealed=key.sealed,
            now=key.changed_at,
        )
    tx.run("dkim_version_next")


def of_domain(tx: Tx, domain: str) -> list[DkimKey]:
    """By selector."""
    return [_key(row) for row in tx.all("dkim_keys_of", domain=domain)]


def everything(tx: Tx) -> list[DkimKey]:
    """By domain and selector."""
    return [_key(row) for row in tx.all("dkim_keys_all")]


def signing_domains(tx: Tx) -> list[str]:
    """Those that have an active key."""
    return [string(row, 0) for row in tx.all("dkim_domains_signing")]


def activate(tx: Tx, keys: Sequence[DkimKey], now: Millis) -> list[DkimKey]:
    """These sign from now on, and no other one of their domain and algorithm; which became old by it."""
    replaced = []
    for domain in dict.fromkeys(key.domain for key in keys):
        chosen = {key.selector: key.algorithm for key in keys if key.domain == domain}
        for other in of_domain(tx, domain):
            if other.status is KeyStatus.ACTIVE and other.selector not in chosen and other.algorithm in chosen.values():
                tx.run("dkim_key_status", domain=domain, selector=other.selector, status=KeyStatus.OLD.value, now=now)
                replaced.append(other)
        if failpoints.armed:
            failpoints.hit("K23")
        for selector in chosen:
            tx.run("dkim_key_status", domain=domain, selector=selector, status=KeyStatus.ACTIVE.value, now=now)
    tx.run("dkim_version_next")
    return replaced


def remove(tx: Tx, keys: Sequence[DkimKey]) -> int:
    """They are gone for good; how many were there."""
    gone = sum(tx.run("dkim_key_delete", domain=key.domain, selector=key.selector) for key in keys)
    tx.run("dkim_version_next")
    return gone


def version(tx: Tx) -> str:
    """Another one after every change of a key."""
    row = tx.one("dkim_version")
    return string(row, 0) if row is not None else ""


def _key(row: Row) -> DkimKey:
    return DkimKey(
        string(row, 0), string(row, 1), string(row, 2), KeyStatus(string(row, 3)), octets(row, 4), octets(row, 5), Millis(integer(row, 6))
    )

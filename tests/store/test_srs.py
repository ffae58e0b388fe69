"""Secrets and long addresses of rewritten senders as rows."""

from __future__ import annotations

from pathlib import Path

from tests.store.stores import NOW, in_one

from ekiden.base.clock import Millis
from ekiden.mail.address import parse_mailbox
from ekiden.store import srs
from ekiden.store.database import Tx

DAY = 86_400_000


def test_a_secret_is_followed_only_when_it_is_old(tmp_path: Path) -> None:
    def work(tx: Tx) -> list[bool]:
        def add(sealed: bytes, now: Millis, older_than: Millis) -> bool:
            return srs.add_secret(tx, sealed, now, older_than=older_than, keep_ms=10 * DAY)

        return [
            add(b"one", NOW, Millis(0)),
            add(b"two", Millis(NOW + DAY), Millis(NOW - 1)),
            add(b"two", Millis(NOW + DAY), Millis(NOW + 1)),
        ]

    assert in_one(tmp_path, work) == [True, False, True]
    assert [each.sealed for each in in_one(tmp_path, srs.secrets)] == [b"two", b"one"]


def test_a_secret_goes_when_nothing_that_it_signed_is_valid(tmp_path: Path) -> None:
    def add(tx: Tx, sealed: bytes, day: int) -> None:
        srs.add_secret(tx, sealed, Millis(NOW + day * DAY), older_than=Millis(NOW + day * DAY - 1), keep_ms=10 * DAY)

    for sealed, day in ((b"one", 0), (b"two", 1), (b"three", 5)):
        in_one(tmp_path, lambda tx, sealed=sealed, day=day: add(tx, sealed, day))  # type: ignore[misc]
    assert len(in_one(tmp_path, srs.secrets)) == 3
    in_one(tmp_path, lambda tx: add(tx, b"four", 12))
    assert [each.sealed for each in in_one(tmp_path, srs.secrets)] == [b"four", b"three", b"two"]


def test_a_token_stands_for_its_address_until_its_end(tmp_path: Path) -> None:
    path = parse_mailbox(f'"{"l" * 60}"@[192.0.2.1]')
    until = Millis(NOW + DAY)
    in_one(tmp_path, lambda tx: srs.keep_path(tx, "abc", path, NOW, until))
    assert in_one(tmp_path, lambda tx: srs.path_of(tx, "abc", until)) == path
    assert in_one(tmp_path, lambda tx: srs.path_of(tx, "abc", Millis(until + 1))) is None
    assert in_one(tmp_path, lambda tx: srs.path_of(tx, "abd", NOW)) is None
    in_one(tmp_path, lambda tx: srs.keep_path(tx, "def", path, Millis(until + 1), Millis(until + DAY)))
    assert in_one(tmp_path, lambda tx: srs.path_of(tx, "abc", NOW)) is None, "what has ended is forgotten"

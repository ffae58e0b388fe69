"""Logins: the same answer for whatever is wrong, guesses counted by network, right passwords remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import pytest
from tests.store.stores import NOW

from ekiden.mail.envelope import Peer
from ekiden.services.login import Guesses, LoginRefusal, Logins, SignedIn
from ekiden.store import accounts
from ekiden.store.database import Database, Tx, open_database
from ekiden.testing.clock import FakeClock

T = TypeVar("T")


class Slow:
    """A check that counts how often it is asked; a stored form is the password itself."""

    def __init__(self) -> None:
        self.asked = 0

    def verify(self, stored: str | None, password: bytes) -> bool:
        self.asked += 1
        return stored is not None and stored.encode() == password


def _peer(ip: str = "192.0.2.1") -> Peer:
    return Peer(ip_address(ip), 1, "submission")


def _with_logins(folder: Path, work: Callable[[Logins, Slow, FakeClock, Database], Awaitable[T]]) -> T:
    def people(tx: Tx) -> None:
        accounts.create_account(tx, "alice", ["Alice@local.test"], "right", NOW)
        accounts.create_account(tx, "bob", [], "other", NOW)
        dave = accounts.create_account(tx, "dave", [], "right", NOW)
        accounts.set_disabled(tx, dave.id, True)

    async def main() -> T:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        clock, check = FakeClock(), Slow()
        logins = Logins(database, check, clock, b"k" * 32, Guesses(clock))
        try:
            await database.write(people)
            return await work(logins, check, clock, database)
        finally:
            logins.close()
            database.close()

    return asyncio.run(main())


def test_a_right_password_signs_in_under_name_or_address_and_is_remembered_for_five_minutes(tmp_path: Path) -> None:
    async def work(logins: Logins, check: Slow, clock: FakeClock, database: Database) -> None:
        for name in ("alice", "ALICE@local.test", "alice"):
            found = await logins.login(name, b"right", _peer())
            assert isinstance(found, SignedIn)
            assert (found.name, found.addresses) == ("alice", frozenset({"alice@local.test"}))
        assert check.asked == 1
        clock.advance(minutes=6)
        await logins.login("alice", b"right", _peer())
        assert check.asked == 2

    _with_logins(tmp_path, work)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", b"wrong"),
        ("nobody", b"right"),
        ("dave", b"right"),
        ("bob", b"right"),  # AU-25: another one's password
        ("alice", b""),  # AU-07
        ("", b"right"),
        ("alice", b"x" * 1025),  # AU-14
    ],
)
def test_whatever_is_wrong_has_one_answer(tmp_path: Path, name: str, password: bytes) -> None:
    async def work(logins: Logins, check: Slow, clock: FakeClock, database: Database) -> None:
        await logins.login("alice", b"right", _peer())
        assert await logins.login(name, password, _peer()) is LoginRefusal.WRONG

    _with_logins(tmp_path, work)


def test_nobody_acts_as_somebody_else(tmp_path: Path) -> None:
    """Row AU-06."""

    async def work(logins: Logins, check: Slow, clock: FakeClock, database: Database) -> None:
        assert await logins.login("alice", b"right", _peer(), acting_as="bob") is LoginRefusal.WRONG
        assert isinstance(await logins.login("alice", b"right", _peer(), acting_as="alice"), SignedIn)

    _with_logins(tmp_path, work)


def test_ten_wrong_guesses_in_a_minute_close_a_network_and_a_success_does_not_open_it(tmp_path: Path) -> None:
    """Rows AU-16 and AU-17."""

    async def work(logins: Logins, check: Slow, clock: FakeClock, database: Database) -> None:
        for _ in range(9):
            await logins.login("alice", b"wrong", _peer("2001:db8::1"))
        assert isinstance(await logins.login("bob", b"other", _peer("2001:db8::2")), SignedIn)
        await logins.login("alice", b"wrong", _peer("2001:db8::3"))
        assert await logins.login("bob", b"other", _peer("2001:db8::4")) is LoginRefusal.TOO_MANY
        assert isinstance(await logins.login("bob", b"other", _peer("2001:db8:0:1::1")), SignedIn)
        clock.advance(seconds=61)
        assert isinstance(await logins.login("bob", b"other", _peer("2001:db8::4")), SignedIn)

    _with_logins(tmp_path, work)


def test_a_changed_password_is_not_remembered(tmp_path: Path) -> None:
    async def work(logins: Logins, check: Slow, clock: FakeClock, database: Database) -> None:
        found = await logins.login("alice", b"right", _peer())
        assert isinstance(found, SignedIn)
        await database.write(lambda tx: accounts.set_password(tx, found.account, "new"))
        assert await logins.login("alice", b"right", _peer()) is LoginRefusal.WRONG

    _with_logins(tmp_path, work)

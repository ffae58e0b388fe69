"""Where recipients go: the table of relaying, aliases, tags, catch-all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from tests.store.stores import NOW

from ekiden.mail.address import Path as MailPath
from ekiden.mail.address import parse_mailbox
from ekiden.services.routing import Local, Refused, Remote, Route, Router
from ekiden.store import accounts
from ekiden.store.database import Database, Tx, open_database
from ekiden.testing.clock import FakeClock

T = TypeVar("T")


def _people(tx: Tx) -> None:
    for name in ("alice", "bob"):
        accounts.create_account(tx, name, [f"{name}@local.test"], "", NOW)
    accounts.create_account(tx, "dave", ["dave@local.test"], "", NOW)
    dave = accounts.account_named(tx, "dave")
    if dave is not None:
        accounts.set_disabled(tx, dave.id, True)
    accounts.add_alias(tx, "team@local.test", ["alice@local.test", "bob@local.test", "x@out.test"])
    accounts.add_alias(tx, "a@local.test", ["b@local.test"])
    accounts.add_alias(tx, "b@local.test", ["a@local.test"])
    accounts.add_alias(tx, "dead@local.test", ["nobody@local.test"])
    accounts.set_catch_all(tx, "catch.test", "bob@local.test", NOW)


def _with_router(folder: Path, work: Callable[[Router, Database, FakeClock], Awaitable[T]], *, whole_way: bool = False) -> T:
    async def main() -> T:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        clock = FakeClock()
        try:
            await database.write(_people)
            return await work(Router(database, clock, "mx.test", ["local.test"], whole_way=whole_way), database, clock)
        finally:
            database.close()

    return asyncio.run(main())


def _shown(routes: tuple[Route, ...] | Refused) -> str:
    if isinstance(routes, Refused):
        return f"{routes.reply.code}"
    return " ".join(f"{each.name}({each.delivered_to})" if isinstance(each, Local) else f"->{each.next_hop}" for each in routes)


@pytest.mark.parametrize(
    ("address", "stranger", "own"),
    [
        ("alice@local.test", "alice(alice@local.test)", "alice(alice@local.test)"),
        ("Alice+list@local.test", "alice(Alice+list@local.test)", "alice(Alice+list@local.test)"),
        (
            "team@local.test",
            "alice(team@local.test) bob(team@local.test) ->out.test",
            "alice(team@local.test) bob(team@local.test) ->out.test",
        ),
        ("any@catch.test", "bob(any@catch.test)", "bob(any@catch.test)"),
        ("postmaster@local.test", "alice(postmaster@local.test)", "alice(postmaster@local.test)"),
        ("POSTMASTER@catch.test", "alice(POSTMASTER@catch.test)", "alice(POSTMASTER@catch.test)"),
        ("nobody@local.test", "550", "550"),
        ("dave@local.test", "550", "550"),
        ("a@local.test", "554", "554"),
        ("dead@local.test", "550", "550"),
        ("x@out.test", "550", "->out.test"),
        ("x@[192.0.2.1]", "550", "->[192.0.2.1]"),
        ("x@[IPv6:2001:db8::1]", "550", "->[IPv6:2001:db8::1]"),
    ],
)
def test_where_mail_goes(tmp_path: Path, address: str, stranger: str, own: str) -> None:
    async def work(router: Router, database: Database, clock: FakeClock) -> None:
        path = parse_mailbox(address)
        assert _shown(await router.route(path, relay=False)) == stranger
        assert _shown(await router.route(path, relay=True)) == own

    _with_router(tmp_path, work)


def test_bare_postmaster_is_ours(tmp_path: Path) -> None:
    async def work(router: Router, database: Database, clock: FakeClock) -> None:
        assert _shown(await router.route(MailPath("postmaster", None), relay=False)) == "alice(postmaster@local.test)"

    _with_router(tmp_path, work)


def test_what_the_directory_says_is_asked_anew_after_two_seconds(tmp_path: Path) -> None:
    async def work(router: Router, database: Database, clock: FakeClock) -> None:
        path = parse_mailbox("new@local.test")
        assert _shown(await router.route(path, relay=False)) == "550"
        await database.write(lambda tx: accounts.add_alias(tx, "new@local.test", ["bob@local.test"]))
        assert _shown(await router.route(path, relay=False)) == "550"
        clock.advance(seconds=3)
        assert _shown(await router.route(path, relay=False)) == "bob(new@local.test)"

    _with_router(tmp_path, work)


def test_the_whole_way_is_for_who_may_relay(tmp_path: Path) -> None:
    async def work(router: Router, database: Database, clock: FakeClock) -> None:
        path = parse_mailbox("bob@local.test")
        assert await router.route(path, relay=True) == (Remote(path, "local.test", ours=True),)
        assert _shown(await router.route(path, relay=False)) == "bob(bob@local.test)"
        assert _shown(await router.route(parse_mailbox("nobody@local.test"), relay=True)) == "550"

    _with_router(tmp_path, work, whole_way=True)

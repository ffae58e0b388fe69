"""A whole house in the test's own event loop, with real sockets on ports that the system chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from ekiden.app.config import load
from ekiden.app.wiring import House, Mode
from ekiden.base.endpoint import Endpoint
from ekiden.net.binding import bind
from ekiden.net.listener import Listener
from ekiden.sasl.passwords import Passwords
from ekiden.store import accounts
from ekiden.store.database import Tx
from ekiden.testing.certificates import make_certificate

T = TypeVar("T")
PASSWORD = b"correct horse"
_ANYWHERE = Endpoint("127.0.0.1", 0)
_STORED = Passwords(memory_kib=64, passes=1).hash(PASSWORD)

SETTINGS = """
hostname = "mx.ekiden.test"
domains = ["local.test"]
data_dir = "data"
[listeners]
mx = []
[tls]
certificate = "certificate.pem"
key = "key.pem"
[dns]
servers = ["127.0.0.1:9"]
"""


class Running:
    """A house whose doors are open. port(name): where a door listens. lines: what was logged."""

    def __init__(self, house: House, listeners: dict[str, Listener], lines: list[tuple[str, dict[str, object]]]) -> None:
        self.house = house
        self.lines = lines
        self._listeners = listeners

    def port(self, door: str) -> int:
        return self._listeners[door].endpoint.port


@asynccontextmanager
async def open_house(
    folder: Path, doors: tuple[str, ...] = ("mx", "submission"), settings: str = SETTINGS, mode: Mode | None = None,
    endpoint: Endpoint = _ANYWHERE,
) -> AsyncIterator[Running]:
    """A house in folder with the accounts alice, bob and carol (over quota) and the alias team. endpoint: of the first door."""
    make_certificate(folder / "certificate.pem", folder / "key.pem", "mx.ekiden.test")
    if "policies" not in settings:
        settings = f"policies = []\n{settings}"  # no test asks the world who sent its mail
    (folder / "ekiden.toml").write_text(settings, "utf-8")
    lines: list[tuple[str, dict[str, object]]] = []
    house = House(load(folder / "ekiden.toml", {}), lambda event, **fields: lines.append((event, fields)), mode=mode or Mode())
    places = {name: endpoint if name == doors[0] else _ANYWHERE for name in doors}
    listeners = {name: Listener(bind(places[name]), house.door(name), house.crowd, house.log) for name in doors}
    house.own_listeners([listener.endpoint for listener in listeners.values()])

    def people(tx: Tx) -> None:
        if accounts.account_named(tx, "alice") is None:
            for name, quota in (("alice", None), ("bob", None), ("carol", 0)):
                accounts.create_account(tx, name, [f"{name}@local.test"], _STORED, house.clock.now(), quota)
            accounts.add_alias(tx, "team@local.test", ["alice@local.test", "bob@local.test"])

    await house.database.write(people)
    tasks = [asyncio.ensure_future(work) for work in house.background()]
    for listener in listeners.values():
        await listener.start()
    try:
        yield Running(house, listeners, lines)
    finally:
        for listener in listeners.values():
            await listener.close(0.5)
        await house.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        house.close()


def in_house(
    folder: Path, work: Callable[[Running], Awaitable[T]], doors: tuple[str, ...] = ("mx", "submission"), mode: Mode | None = None
) -> T:
    """Run work in a house of its own."""

    async def main() -> T:
        async with open_house(folder, doors, mode=mode) as running:
            async with asyncio.timeout(60):
                return await work(running)

    return asyncio.run(main())


async def stored(running: Running, account: str, folder: str = "INBOX") -> list[bytes]:
    """All messages in a mailbox, as its reader gets them."""
    found = await running.house.database.read(lambda tx: accounts.account_named(tx, account))
    if found is None:
        raise LookupError(account)
    snapshot = await running.house.mailboxes.open(found.id, folder, read_only=True)
    return [await each.read() async for each in running.house.mailboxes.contents(snapshot.id, [(1, 2**32 - 1)])]

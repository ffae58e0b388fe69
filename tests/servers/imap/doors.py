"""A whole house with IMAP doors on loopback, in a thread of this process, for tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ekiden.app import config as configuration
from ekiden.app.wiring import House
from ekiden.base.endpoint import Endpoint
from ekiden.base.machine import Machine
from ekiden.imap.machine import ImapServer
from ekiden.net.binding import bind
from ekiden.net.listener import Door, Listener
from ekiden.sasl.passwords import Passwords
from ekiden.servers.imap.table import command_table
from ekiden.store import accounts as account_rows
from ekiden.testing.certificates import make_certificate

T = TypeVar("T")

_TOML = """
hostname = "mx.test"
domains = ["example.test"]
data_dir = "{folder}/data"
[listeners]
mx = []
imap = ["127.0.0.1:0"]
[tls]
certificate = "{folder}/certificate.pem"
key = "{folder}/key.pem"
[limits]
connections_per_address = 1000
"""


@dataclass(slots=True)
class Doors:
    """Where to knock. clear: a door without TLS that takes logins all the same, as behind a TLS terminator."""

    house: House
    loop: asyncio.AbstractEventLoop
    imap: int
    imaps: int
    clear: int
    log: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that runs in the house's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


@contextmanager
def open_doors(folder: Path, accounts: Sequence[tuple[str, str]] = (("alice", "secret"),)) -> Iterator[Doors]:
    """Doors that are open in the block. accounts: (name, password); the address is name@example.test."""
    folder.chmod(0o700)
    make_certificate(folder / "certificate.pem", folder / "key.pem")
    (folder / "ekiden.toml").write_text(_TOML.format(folder=folder))
    config = configuration.load(folder / "ekiden.toml", {})
    ready: list[Doors] = []
    opened = threading.Event()
    failures: list[BaseException] = []

    def live() -> None:
        try:
            asyncio.run(_keep_open(config, accounts, ready, opened))
        except BaseException as error:
            failures.append(error)
            opened.set()

    thread = threading.Thread(target=live, name="imap doors")
    thread.start()
    opened.wait(30)
    try:
        if failures:
            raise failures[0]
        doors = ready[0]
        try:
            yield doors
        finally:
            doors.loop.call_soon_threadsafe(_stop(doors))
    finally:
        thread.join(30)
    if failures:
        raise failures[0]
    broken = [entry for entry in doors.log if entry[0] == "session-failed"]
    assert not broken, broken


_stops: dict[int, asyncio.Event] = {}


def _stop(doors: Doors) -> Callable[[], None]:
    return _stops.pop(id(doors)).set


async def _keep_open(
    config: configuration.Config, accounts: Sequence[tuple[str, str]], ready: list[Doors], opened: threading.Event
) -> None:
    log: list[tuple[str, dict[str, object]]] = []

    def note(event: str, **fields: object) -> None:
        log.append((event, fields))

    house = House(config, note)
    for name, password in accounts:
        stored = Passwords(memory_kib=64, passes=1).hash(password.encode())
        await house.database.write(
            lambda tx, name=name, stored=stored: account_rows.create_account(  # type: ignore[misc]
                tx, name, [f"{name}@example.test"], stored, house.clock.now()
            )
        )
    listeners = [Listener(bind(Endpoint("127.0.0.1", 0)), door, house.crowd, note) for door in _doors(house)]
    for listener in listeners:
        await listener.start()
    imap, imaps, clear = (listener.endpoint.port for listener in listeners)
    doors = Doors(house, asyncio.get_running_loop(), imap, imaps, clear, log)
    stop = _stops[id(doors)] = asyncio.Event()
    ready.append(doors)
    opened.set()
    await stop.wait()
    for listener in listeners:
        await listener.close(0.2)
    house.close()


def _doors(house: House) -> tuple[Door, Door, Door]:
    door = house.door("imap")

    def make_machine() -> Machine[Any]:
        return ImapServer(command_table(), secure=True)

    return door, house.door("imaps"), replace(door, make_machine=make_machine)

"""A store with two accounts, and both POP3 doors before it, in the test's own event loop."""

from __future__ import annotations

import asyncio
import poplib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from ekiden.base.endpoint import Endpoint
from ekiden.base.ids import AccountId, IdMaker
from ekiden.net.binding import bind
from ekiden.net.listener import Crowd, Listener
from ekiden.net.tls import Certificate
from ekiden.pop3.machine import Pop3Settings
from ekiden.sasl import offers
from ekiden.sasl.passwords import Passwords
from ekiden.servers.pop3.session import Pop3Services, door_of
from ekiden.services.login import Guesses, Logins
from ekiden.services.mailbox import Mailboxes
from ekiden.store import accounts
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx, open_database
from ekiden.testing.certificates import make_certificate
from ekiden.testing.clock import START, FakeClock

T = TypeVar("T")
PASSWORD = b"correct horse"
_CHECK = Passwords(memory_kib=64, passes=1)
SMALL = [
    b"Subject: one\r\nMessage-ID: <1@one.test>\r\n\r\nhello\r\n.\r\n.dot\r\n",
    b"Subject: two\r\n\r\nno end",
    b"Subject: three\r\n\r\na\nb\n.c\r\n",
]
LARGE = b"Subject: large\r\n\r\n" + b"".join(b".%060d\r\n" % n for n in range(20_000))
_hours = count()  # a store that is opened again is opened later
DEADLINES = {"login": 20.0, "idle": 20.0, "write": 20.0, "handshake": 20.0}


@dataclass(slots=True)
class Pop:
    """What a test can get at. lines: what was logged."""

    database: Database
    mailboxes: Mailboxes
    port: int
    tls_port: int
    lines: list[tuple[str, dict[str, object]]]

    async def account(self, name: str = "alice") -> AccountId:
        found = await self.database.read(lambda tx: accounts.account_named(tx, name))
        if found is None:
            raise LookupError(name)
        return found.id

    async def put(self, messages: Sequence[bytes]) -> None:
        """Append to the INBOX of alice."""
        appending = await self.mailboxes.appending(await self.account(), "INBOX")
        for message in messages:
            await appending.write(message)
            await appending.end_message()
        await appending.commit()

    async def stored(self) -> list[bytes]:
        """What is in the INBOX of alice."""
        snapshot = await self.mailboxes.open(await self.account(), "INBOX", read_only=True)
        return [await each.read() async for each in self.mailboxes.contents(snapshot.id, [(1, 2**32 - 1)])]

    def client(self, name: str = "alice") -> poplib.POP3:
        """Signed in over STLS."""
        client = self.stranger()
        try:
            client.stls(trusting())
            client.user(name)
            client.pass_(PASSWORD.decode())
        except BaseException:
            client.close()
            raise
        return client

    def stranger(self) -> poplib.POP3:
        return poplib.POP3("127.0.0.1", self.port, timeout=20)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@asynccontextmanager
async def opened(folder: Path, change: Callable[[Mailboxes], Mailboxes]) -> AsyncIterator[Pop]:
    """Both doors open. change: what the sessions get instead of the real mailboxes."""
    make_certificate(folder / "certificate.pem", folder / "key.pem", "pop.test")
    certificate = Certificate(folder / "certificate.pem", folder / "key.pem")
    clock = FakeClock(START + next(_hours) * 3_600_000)
    database = open_database(f"sqlite://{folder / 'ekiden.db'}")
    changes = Changes()
    mailboxes = Mailboxes(database, FileBlobs(folder / "blobs"), changes, clock, IdMaker(clock))
    logins = Logins(database, _CHECK, clock, bytes(32), Guesses(clock))
    lines: list[tuple[str, dict[str, object]]] = []

    def log(event: str, **fields: object) -> None:
        lines.append((event, fields))

    def people(tx: Tx) -> None:
        for name in ("alice", "bob"):
            if accounts.account_named(tx, name) is None:
                accounts.create_account(tx, name, [f"{name}@local.test"], _CHECK.hash(PASSWORD), clock.now())

    await database.write(people)
    listeners: list[Listener] = []
    shown = change(mailboxes)
    for name in ("pop3", "pop3s"):
        services = Pop3Services(name, shown, logins, log, lambda: certificate.context("pop3"), offers.begin, name == "pop3s")
        door = door_of(services, Pop3Settings("pop.test"), offers.names(tls=True), DEADLINES)
        listeners.append(Listener(bind(Endpoint("127.0.0.1", 0)), door, Crowd(), log))
        await listeners[-1].start()
    try:
        yield Pop(database, mailboxes, listeners[0].endpoint.port, listeners[1].endpoint.port, lines)
    finally:
        for listener in listeners:
            await listener.close(0.5)
        logins.close()
        changes.close()
        database.close()


def in_pop(folder: Path, work: Callable[[Pop], Awaitable[T]], change: Callable[[Mailboxes], Mailboxes] = lambda real: real) -> T:
    """Run work beside open doors; nothing may have failed in a session."""

    async def main() -> T:
        async with opened(folder, change) as pop, asyncio.timeout(60):
            try:
                result = await work(pop)
            except Exception as error:
                error.add_note(f"the log: {pop.lines}")
                raise
            failed = [line for line in pop.lines if line[0] == "session-failed"]
            if failed:
                raise AssertionError(failed)
            return result

    return asyncio.run(main())

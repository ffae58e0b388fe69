"""A store with people, mailboxes, and who learns from them, on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.store.stores import NOW

from ekiden.base.ids import AccountId, IdMaker, MailboxId, Uid
from ekiden.services.learning import Learning
from ekiden.services.likeness import Likenesses
from ekiden.services.mailbox import Mailboxes
from ekiden.store import accounts, lessons
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx, open_database
from ekiden.testing.clock import FakeClock

T = TypeVar("T")


@dataclass
class School:
    """alice and bob. logged: names of events."""

    database: Database
    blobs: FileBlobs
    changes: Changes
    clock: FakeClock
    mailboxes: Mailboxes
    learning: Learning
    likenesses: Likenesses
    alice: AccountId
    bob: AccountId
    logged: list[str]

    async def put(self, folder: str, *contents: bytes, account: AccountId | None = None, flags: Iterable[str] = ()) -> tuple[Uid, ...]:
        """Messages into a folder, as a client does it."""
        appending = await self.mailboxes.appending(account or self.alice, folder)
        for content in contents:
            await appending.write(content)
            await appending.end_message(flags, NOW)
        return (await appending.commit()).uids

    async def folder(self, name: str, account: AccountId | None = None) -> MailboxId:
        return (await self.mailboxes.status(account or self.alice, name)).id

    async def move(self, source: str, target: str) -> None:
        """All that is in a folder of alice's."""
        await self.mailboxes.move(await self.folder(source), [(1, 1 << 31)], target)

    async def taught(self, account: AccountId | None = None) -> tuple[int, int]:
        """Messages of each kind that an account has taught."""
        who = account if account is not None else self.alice
        found = (await self.database.read(lambda tx: lessons.learners(tx, [who]))).get(who)
        return (found.total.spam, found.total.ham) if found is not None else (0, 0)

    async def waiting(self) -> int:
        return len(await self.database.read(lambda tx: lessons.waiting(tx, 1000)))


def in_school(folder: Path, work: Callable[[School], Awaitable[T]]) -> T:
    """Run work in a school of its own."""

    async def main() -> T:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        changes = Changes()
        clock = FakeClock(NOW)
        blobs = FileBlobs(folder / "blobs")
        logged: list[str] = []

        def log(event: str, **_: object) -> None:
            logged.append(event)

        def people(tx: Tx) -> list[AccountId]:
            return [accounts.create_account(tx, name, [f"{name}@one.test"], "", NOW).id for name in ("alice", "bob")]

        try:
            alice, bob = await database.write(people)
            service = Mailboxes(database, blobs, changes, clock, IdMaker(clock))
            learning = Learning(database, blobs, changes, clock, log)
            likenesses = Likenesses(database, changes, clock, log)
            async with asyncio.timeout(60):
                return await work(School(database, blobs, changes, clock, service, learning, likenesses, alice, bob, logged))
        finally:
            changes.close()
            database.close()

    return asyncio.run(main())

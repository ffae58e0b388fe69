"""A disk that is full: everybody is told, nothing is half there, reading goes on, and space heals it without a restart.

Source: reliability.md §1.3 (C1), F-21, F-23.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message

from ekiden.base.errors import StorageFull, StoreError
from ekiden.base.ids import EnvelopeId
from ekiden.store import accounts, entries, mailboxes, messages
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.database import Database, Tx, open_database


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own; only root can make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("a file system of its own can only be made by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _make(tx: Tx) -> mailboxes.Mailbox:
    account = accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW).id
    inbox = mailboxes.named(tx, account, "INBOX")
    assert inbox is not None
    return inbox


async def _deposit_all(database: Database, inbox: mailboxes.Mailbox, numbers: range, size: int) -> list[object]:
    def deposit(tx: Tx, number: int) -> None:
        messages.insert(tx, a_message(number, b"Subject: x\r\n\r\n" + b"x" * size))
        messages.deposit(tx, inbox.id, EnvelopeId(number), internal_date=NOW, size=1)

    waiting = [database.write(lambda tx, number=number: deposit(tx, number)) for number in numbers]  # type: ignore[misc]  # binds number
    return await asyncio.gather(*waiting, return_exceptions=True)


def test_a_batch_that_does_not_fit_leaves_nothing_and_space_heals_it(small_disk: Path) -> None:
    async def main() -> None:
        database = open_database(f"sqlite://{small_disk / 'ekiden.db'}")
        try:
            inbox = await database.write(_make)
            assert await _deposit_all(database, inbox, range(1, 4), 1000) == [None] * 3
            ballast = small_disk / "ballast"
            ballast.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 400_000))
            outcomes = await _deposit_all(database, inbox, range(10, 30), 60_000)
            assert [type(outcome) for outcome in outcomes] == [StorageFull] * 20
            assert list(await database.read(lambda tx: entries.all_uids(tx, inbox.id))) == [1, 2, 3]
            assert await database.read(lambda tx: messages.sendable(tx, EnvelopeId(15))) is None
            ballast.unlink()
            assert await _deposit_all(database, inbox, range(10, 30), 60_000) == [None] * 20
            assert len(await database.read(lambda tx: entries.all_uids(tx, inbox.id))) == 23
        finally:
            database.close()

    asyncio.run(main())


def test_on_a_full_disk_mail_can_still_be_read(small_disk: Path) -> None:
    async def main() -> None:
        database = open_database(f"sqlite://{small_disk / 'ekiden.db'}")
        try:
            inbox = await database.write(_make)
            number = 1
            while await _deposit_all(database, inbox, range(number, number + 1), 200_000) == [None]:
                number += 1
            assert number > 5
            assert list(await database.read(lambda tx: entries.all_uids(tx, inbox.id))) == list(range(1, number))
            found = await database.read(lambda tx: messages.sendable(tx, EnvelopeId(number - 1)))
            assert found is not None
            assert found.size == 200_014
        finally:
            database.close()

    asyncio.run(main())


def test_a_file_that_does_not_fit_is_gone_afterwards(small_disk: Path) -> None:
    blobs = FileBlobs(small_disk / "blobs")
    writer = blobs.create()
    with pytest.raises(StoreError):
        writer.write(bytes(20_000_000))
    writer.discard()
    assert [file for file in (small_disk / "blobs").rglob("*") if file.is_file()] == []

"""What survives when the power goes: every write that has returned, whatever the disk forgets of the rest.

The disk keeps what was synced, and of later writes nothing, a first part or some of them, as real ones do.
Source: reliability.md §1.3 (C1), F-24.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from pathlib import Path

import apsw
import pytest
from tests.crash.crash_disk import CrashDisk, ForgetfulTogether
from tests.store.disks import ForgetfulDisk
from tests.store.stores import NOW, a_message

from ekiden.base.ids import EnvelopeId, MailboxId
from ekiden.services.intake import Intakes
from ekiden.store import accounts, mailboxes, messages
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.database import Database, Options, Tx, open_database
from ekiden.store.inspect import inspect
from ekiden.store.salvage import Salvage, Saved


def _deposit(tx: Tx, inbox: MailboxId, number: int) -> int:
    messages.insert(tx, a_message(number, b"Subject: x\r\n\r\n" + b"%d " % number * (number % 7 * 400)))
    uid, _ = messages.deposit(tx, inbox, EnvelopeId(number), internal_date=NOW, size=1)
    return uid


def _start(tx: Tx) -> MailboxId:
    account = accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW).id
    inbox = mailboxes.named(tx, account, "INBOX")
    assert inbox is not None
    return inbox.id


async def _until_the_power_goes(database: Database, disk: ForgetfulDisk, folder: Path, dice: random.Random) -> set[int]:
    """Eight tasks deposit; the power goes at some moment. Which deposits had returned before that moment."""
    inbox = await database.write(_start)
    acknowledged: set[int] = set()
    survivors: set[int] | None = None
    last = dice.randint(5, 120)

    async def client(first: int) -> None:
        nonlocal survivors
        for number in range(first, 400, 8):
            if survivors is not None:
                return
            await database.write(lambda tx: _deposit(tx, inbox, number))  # noqa: B023 - awaited at once
            acknowledged.add(number)
            if len(acknowledged) >= last and survivors is None:
                survivors = set(acknowledged)
                disk.power_cut(folder, dice)

    await asyncio.gather(*(client(number) for number in range(1, 9)))
    assert survivors is not None
    return survivors


def _after(folder: Path) -> set[int]:
    async def main() -> set[int]:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        try:
            return await database.read(_whole)
        finally:
            database.close()

    connection = apsw.Connection(str(folder / "ekiden.db"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    return asyncio.run(main())


def _whole(tx: Tx) -> set[int]:
    """Messages that are there completely: entry, message, content of the right size."""
    inbox = mailboxes.named(tx, accounts.list_accounts(tx)[0].id, "INBOX")
    assert inbox is not None
    rows = tx.all("entries_between", mailbox=inbox.id, first=1, last=2**32 - 1)
    assert inbox.messages == len(rows)
    assert inbox.uid_next == len(rows) + 1
    found = set()
    for row in rows:
        number = row[6]
        assert isinstance(number, int)
        sendable = messages.sendable(tx, EnvelopeId(number))
        assert sendable is not None
        assert sendable.content == b"Subject: x\r\n\r\n" + b"%d " % number * (number % 7 * 400)
        found.add(number)
    return found


@pytest.mark.parametrize("seed", range(25))
def test_what_was_acknowledged_survives_a_power_cut(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    disk = ForgetfulDisk()
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()

    async def main() -> set[int]:
        database = open_database(f"sqlite://{tmp_path / 'before' / 'ekiden.db'}", Options(vfs=disk.name))
        try:
            return await _until_the_power_goes(database, disk, tmp_path / "after", dice)
        finally:
            database.close()

    acknowledged = asyncio.run(main())
    assert acknowledged - _after(tmp_path / "after") == set()


def _text(number: int) -> bytes:
    """Every third message is large enough for a file."""
    return b"Subject: %d\r\n\r\n" % number + b"line %06d of a message\r\n" % number * (12_000 if number % 3 == 0 else number % 7 * 40)


async def _keep(database: Database, blobs: FileBlobs, inbox: MailboxId, number: int) -> None:
    """As a message comes in: gathered, its file synced and named, the row committed."""
    intake = Intakes(blobs).begin()
    try:
        await intake.add(_text(number))
        stored = await intake.finish()
        message = a_message(number, _text(number))._replace(blob=stored.blob, inline=stored.inline)

        def work(tx: Tx) -> None:
            messages.insert(tx, message)
            messages.deposit(tx, inbox, EnvelopeId(number), internal_date=NOW, size=1)

        await database.write(work)
        intake.kept()
    finally:
        await intake.discard()


async def _until_power_goes(folder: Path, dice: random.Random, disk: CrashDisk, forgetful: ForgetfulTogether) -> set[int]:
    database = open_database(f"sqlite://{folder / 'before' / 'ekiden.db'}", Options(vfs=forgetful.name))
    blobs = FileBlobs(folder / "before" / "blobs", disk)
    acknowledged: set[int] = set()
    survivors: list[set[int]] = []
    last = dice.randint(3, 40)
    try:
        inbox = await database.write(_start)

        async def client(first: int) -> None:
            for number in range(first, 200, 8):
                if survivors:
                    return
                await _keep(database, blobs, inbox, number)
                acknowledged.add(number)
                if len(acknowledged) >= last and not survivors:
                    survivors.append(set(acknowledged))
                    with disk.moment:
                        forgetful.power_cut(folder / "after", dice)
                        disk.power_cut(folder / "after" / "blobs", dice)

        await asyncio.gather(*(client(number) for number in range(1, 9)))
    finally:
        database.close()
    return survivors[0]


def _cut_whole_messages(folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    moment = threading.RLock()
    (folder / "before").mkdir(parents=True)
    (folder / "after").mkdir()
    disk = CrashDisk(folder / "before" / "blobs", moment)
    acknowledged = asyncio.run(_until_power_goes(folder, dice, disk, ForgetfulTogether(moment)))
    found = {int(one.content[one.content.index(b"Subject: ") + 9 :].split(b"\r\n")[0]): one for one in _saved(folder / "after")}
    assert acknowledged - found.keys() == set()
    assert [one for one in inspect(folder / "after" / "ekiden.db", folder / "after" / "blobs") if one.is_damage] == []
    for number, one in found.items():
        assert one.content.endswith(_text(number))


def _cut_often(folder: Path, seeds: range) -> None:
    for seed in seeds:
        _cut_whole_messages(folder / str(seed), seed)
        shutil.rmtree(folder / str(seed))


def _saved(folder: Path) -> list[Saved]:
    """What the rows name; files without a row may be there, and may be cut."""
    return [one for one in Salvage(folder / "ekiden.db", folder / "blobs").messages() if one.id]


@pytest.mark.parametrize("seed", range(12))
def test_whole_messages_with_their_files_survive_a_power_cut(tmp_path: Path, seed: int) -> None:
    _cut_whole_messages(tmp_path, seed)


@pytest.mark.nightly
def test_whole_messages_with_their_files_survive_three_hundred_power_cuts(tmp_path: Path) -> None:
    _cut_often(tmp_path, range(1000, 1300))


@pytest.mark.parametrize("forgotten", ["fsync", "sync_directory"])
def test_the_crash_disk_sees_a_sync_that_is_left_out(tmp_path: Path, forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrashDisk, forgotten, lambda *_: None)
    with pytest.raises(AssertionError):
        _cut_often(tmp_path, range(12))


def test_the_forgetful_disk_does_forget(tmp_path: Path) -> None:
    disk = ForgetfulDisk()
    (tmp_path / "after").mkdir()
    connection = apsw.Connection(str(tmp_path / "x.db"), vfs=disk.name)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("INSERT INTO t VALUES (1)")
    disk.power_cut(tmp_path / "after", _Nothing())
    connection.close()
    found = apsw.Connection(str(tmp_path / "after" / "x.db"))
    assert found.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    found.close()


class _Nothing(random.Random):
    """Dice that always let everything be forgotten."""

    def choice(self, seq):  # type: ignore[no-untyped-def]  # takes the first
        return seq[0]

"""kill -9 of processes that write: what each had been told is durable is there, complete and once.

Source: reliability.md §1.3 (C1, C2), F-03 … F-06.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import apsw

from ekiden.base.ids import BlobId, EnvelopeId
from ekiden.store import accounts, mailboxes, messages
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.columns import integer
from ekiden.store.database import Tx, open_database

_PROJECT = Path(__file__).resolve().parents[2]


def _life(folder: Path, starts: list[int], acknowledge: int) -> set[int]:
    """Processes write until so many deposits are acknowledged, then all die at once. The numbers they had printed."""
    environment = {**os.environ, "PYTHONPATH": f"{_PROJECT / 'src'}:{_PROJECT}"}
    command = [sys.executable, "-m", "tests.crash.writer", str(folder)]
    processes = [
        subprocess.Popen([*command, str(start), str(len(starts))], stdout=subprocess.PIPE, env=environment, cwd=_PROJECT)
        for start in starts
    ]
    heard: set[int] = set()
    try:
        for process in processes:
            assert process.stdout is not None
            for _ in range(acknowledge):
                heard.add(int(process.stdout.readline()))
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            assert process.stdout is not None
            heard.update(int(line) for line in process.stdout.read().split(b"\n")[:-1])
            process.wait()
            process.stdout.close()
    return heard


def _found(folder: Path) -> set[int]:
    async def main() -> set[int]:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        try:
            return await database.read(lambda tx: _check(tx, FileBlobs(folder / "blobs")))
        finally:
            database.close()

    return asyncio.run(main())


def _check(tx: Tx, blobs: FileBlobs) -> set[int]:
    alice = accounts.account_named(tx, "alice")
    assert alice is not None
    inbox = mailboxes.named(tx, alice.id, "INBOX")
    assert inbox is not None
    rows = tx.all("entries_between", mailbox=inbox.id, first=1, last=2**32 - 1)
    numbers = [integer(row, 6) for row in rows]
    assert len(set(numbers)) == len(numbers)
    assert (inbox.messages, inbox.bytes, inbox.uid_next) == (len(numbers), sum(numbers), len(numbers) + 1)
    for number in numbers:
        message = messages.sendable(tx, EnvelopeId(number))
        assert message is not None
        content = message.content if message.content is not None else blobs.read(BlobId(message.blob_id or ""), 0, 10**6)
        assert content == b"Subject: x\r\n\r\n" + b"%d " % number * 500
    return set(numbers)


def test_every_acknowledged_deposit_is_there_after_each_kill(tmp_path: Path) -> None:
    dice = random.Random(7)
    known: set[int] = set()
    for life in range(4):
        heard = _life(tmp_path, [1_000_000 * life + 1], dice.randint(1, 80))
        found = _found(tmp_path)
        assert (known | heard) - found == set()
        known = found
    connection = apsw.Connection(str(tmp_path / "ekiden.db"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_two_processes_on_one_store_may_die_together(tmp_path: Path) -> None:
    heard = _life(tmp_path, [1, 2], 60)
    assert heard - _found(tmp_path) == set()

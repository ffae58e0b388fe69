"""How many messages a second does the store make durable, and how long does one wait?

Each task deposits 4 KiB messages one after the other: message, entry and journey in one transaction, as an arrival does, and
waits for the commit. Run: python bench/store.py [--seconds 3] [--tasks 1,20,100] [--mailboxes 20]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from functools import partial
from hashlib import sha256
from pathlib import Path

from ekiden.base.clock import Millis
from ekiden.base.ids import BlobId, EnvelopeId, MailboxId
from ekiden.mail.envelope import Blob
from ekiden.mail.journey import Committed, Connected, Deposited, Greeted, RecipientGiven, SenderGiven
from ekiden.store import accounts, journeys, mailboxes, messages
from ekiden.store.database import Database, Tx, open_database
from ekiden.store.messages import NewMessage

_NOW = Millis(1_800_000_000_000)
_CONTENT = b"Subject: bench\r\nMessage-ID: <x@one.test>\r\n\r\n" + os.urandom(3000).hex().encode()[:4050]
_BLOB = Blob(BlobId(""), len(_CONTENT), sha256(_CONTENT).digest())


def _message(number: int) -> NewMessage:
    return NewMessage(
        id=EnvelopeId(1_000_000 + number),
        blob=_BLOB,
        inline=_CONTENT,
        sender="alice@one.test",
        prefix=b"Received: from one.test by two.test with ESMTPS id 0123456789abc\r\n for <bob@two.test>; Tue, 1 Jan 2030\r\n" * 2,
        received_at=Millis(_NOW + number),
        header_bytes=44,
        message_id=f"{number:x}.{sha256(str(number).encode()).hexdigest()[:16]}@one.test",
        subject="bench",
        sent_at=_NOW,
        envelope=b"e" * 350,
        structure=b"s" * 120,
        parts=b"p" * 40,
    )


def _deposit(tx: Tx, mailbox: MailboxId, message: NewMessage) -> int:
    messages.insert(tx, message)
    uid, _ = messages.deposit(tx, mailbox, message.id, internal_date=_NOW, size=4400, delivered_to="bob@two.test")
    steps = [
        Connected(_NOW, "192.0.2.1", 40000, "mx"),
        Greeted(_NOW, "EHLO", "one.test"),
        SenderGiven(_NOW, "alice@one.test", "250 2.1.0 OK"),
        RecipientGiven(_NOW, "bob@two.test", "250 2.1.5 OK"),
        Deposited(_NOW, "bob@two.test", "bob", "INBOX", uid),
        Committed(_NOW, "250 2.0.0 OK"),
    ]
    journeys.add_steps(tx, message.id, steps)
    return uid


def _boxes(tx: Tx, count: int) -> list[MailboxId]:
    account = accounts.create_account(tx, "bench", ["bench@two.test"], "", _NOW)
    return [mailboxes.create(tx, account.id, f"box{number}", now=_NOW) for number in range(count)]


async def _run(database: Database, boxes: list[MailboxId], tasks: int, seconds: float, start: int) -> tuple[int, list[float]]:
    number = start
    waits: list[float] = []
    stop = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal number
        while time.perf_counter() < stop:
            number += 1
            message, mailbox = _message(number), boxes[number % len(boxes)]
            began = time.perf_counter()
            await database.write(partial(_deposit, mailbox=mailbox, message=message))
            waits.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(one())
    return number, waits


async def _main(options: argparse.Namespace, url: str) -> None:
    database = open_database(url)
    try:
        boxes = await database.write(lambda tx: _boxes(tx, options.mailboxes))
        number = 0
        for tasks in (int(each) for each in options.tasks.split(",")):
            before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            number, waits = await _run(database, boxes, tasks, options.seconds, number)
            took, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
            cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            waits.sort()
            print(
                f"tasks={tasks:3d}: {len(waits) / took:8.0f} messages/s, {cpu / len(waits) * 1e6:6.1f} µs CPU a message,"
                f" wait p50 {waits[len(waits) // 2] * 1e3:.2f} ms, p99 {waits[len(waits) * 99 // 100] * 1e3:.2f} ms",
                flush=True,
            )
    finally:
        database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--tasks", default="1,20,100")
    parser.add_argument("--mailboxes", type=int, default=20)
    parser.add_argument("--dir", default=".", help="where the store is made; its disk is what is measured")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.dir) as made:
        asyncio.run(_main(chosen, f"sqlite://{Path(made).resolve() / 'ekiden.db'}"))

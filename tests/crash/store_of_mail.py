"""A store with mail in it, closed in good order, and what must be found in it again."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from tests.store.stores import NOW, a_message, with_store

from ekiden.base.ids import EnvelopeId
from ekiden.mail.address import NULL_PATH, Domain
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Blob, Envelope, Peer, Recipient
from ekiden.store import accounts, journeys, mailboxes, messages, queue
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.database import Database, Tx

SMALL, LARGE, QUEUED = 240, 6, 4


def content_of(number: int) -> bytes:
    """What message number says; each is different, and every fortieth is large enough for a file."""
    return b"Subject: %d\r\n\r\n" % number + b"line %d of a message\r\n" % number * (number % 9 * 40 + 3)


def _file(blobs: FileBlobs, content: bytes) -> Blob:
    writer = blobs.create()
    writer.write(content)
    blob = writer.commit()
    writer.close()
    return blob


def make(folder: Path) -> dict[int, bytes]:
    """alice has SMALL + LARGE messages in two mailboxes, QUEUED more wait in the queue. Number → content."""
    blobs = FileBlobs(folder / "blobs")
    total = SMALL + LARGE + QUEUED
    files = {number: _file(blobs, content_of(number)) for number in range(SMALL + 1, SMALL + LARGE + 1)}

    def fill(tx: Tx) -> None:
        account = accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW).id
        inbox, sent = mailboxes.named(tx, account, "INBOX"), mailboxes.named(tx, account, "Sent")
        assert inbox is not None
        assert sent is not None
        for number in range(1, total + 1):
            content = content_of(number)
            message = a_message(number, content)
            if number in files:
                message = message._replace(blob=files[number], inline=None)
            messages.insert(tx, message)
            journeys.begin(tx, EnvelopeId(number), [])
            if number <= SMALL + LARGE:
                box = sent if number % 3 == 0 else inbox
                size = len("Return-Path: <a@one.test>\r\n") + len(message.prefix) + len(content)
                messages.deposit(tx, box.id, EnvelopeId(number), internal_date=NOW, size=size, flags=["\\Seen"] if number % 2 else [])
            else:
                envelope = Envelope(EnvelopeId(number), NULL_PATH, (), Peer(IPv4Address("192.0.2.1"), 9, "mx"), NOW)
                queue.enqueue(tx, envelope, Recipient(MailPath("x", Domain("two.test"))), "two.test", now=NOW)

    async def work(database: Database) -> None:
        await database.write(fill)

    with_store(folder, work)
    return {number: content_of(number) for number in range(1, total + 1)}

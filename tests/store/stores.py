"""A store of one test, on every engine that is here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from ekiden.base.clock import Millis
from ekiden.base.ids import BlobId, EnvelopeId
from ekiden.mail.envelope import Blob
from ekiden.store.database import Database, Tx, open_database
from ekiden.store.messages import NewMessage

T = TypeVar("T")
NOW = Millis(1_800_000_000_000)


def with_store(folder: Path, work: Callable[[Database], Awaitable[T]]) -> T:
    """Open a store in folder, run work, close it."""

    async def main() -> T:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        try:
            return await work(database)
        finally:
            database.close()

    return asyncio.run(main())


def in_one(folder: Path, work: Callable[[Tx], T]) -> T:
    """One transaction on a store in folder."""
    return with_store(folder, lambda database: database.write(work))


def a_message(number: int = 1, content: bytes = b"Subject: hello\r\n\r\nbody\r\n", sender: str | None = "a@one.test") -> NewMessage:
    """Something to keep."""
    return NewMessage(
        id=EnvelopeId(number),
        blob=Blob(BlobId(""), len(content), sha256(content).digest()),
        inline=content,
        sender=sender,
        prefix=b"Received: by test\r\n",
        received_at=NOW,
        header_bytes=content.find(b"\r\n\r\n") + 4,
        message_id=f"m{number}@one.test",
        subject="hello",
        sent_at=None,
        envelope=b"(NIL)",
        structure=b'("TEXT")',
        parts=b"",
    )

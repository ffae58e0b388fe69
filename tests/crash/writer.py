"""A process that deposits and says which number it knows to be durable; tests/crash/test_kill.py ends it with kill -9."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.store.stores import NOW, a_message

from ekiden.base.ids import EnvelopeId, MailboxId
from ekiden.store import accounts, mailboxes, messages
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.database import Tx, open_database


async def main(folder: Path, first: int, step: int) -> None:
    """Deposit for ever; every fifth message has its content in a file. One line "NUMBER" for each that has been committed."""
    database = open_database(f"sqlite://{folder / 'ekiden.db'}")
    blobs = FileBlobs(folder / "blobs")

    def inbox_of(tx: Tx) -> MailboxId:
        found = accounts.account_named(tx, "alice")
        account = found.id if found is not None else accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW).id
        inbox = mailboxes.named(tx, account, "INBOX")
        assert inbox is not None
        return inbox.id

    inbox = await database.write(inbox_of)

    async def client(number: int) -> None:
        while True:
            message = a_message(number, b"Subject: x\r\n\r\n" + b"%d " % number * 500)
            if number % 5 == 0:
                writer = blobs.create()
                await asyncio.to_thread(writer.write, message.inline or b"")
                blob = await asyncio.to_thread(writer.commit)
                writer.close()
                message = message._replace(inline=None, blob=blob)

            def deposit(tx: Tx, message=message, number=number) -> None:  # type: ignore[no-untyped-def]  # bound at once
                messages.insert(tx, message)
                messages.deposit(tx, inbox, EnvelopeId(number), internal_date=NOW, size=number)

            await database.write(deposit)
            os.write(1, b"%d\n" % number)
            number += 8 * step

    await asyncio.gather(*(client(first + step * place) for place in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))

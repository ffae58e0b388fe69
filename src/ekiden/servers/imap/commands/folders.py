"""CREATE, DELETE, RENAME.

Source: RFC 3501 §6.3.3, RFC 3501 §6.3.4, RFC 3501 §6.3.5.
"""

from __future__ import annotations

from ekiden.imap.grammar import AFTER_LOGIN, Asked, after_space, declare, mailbox
from ekiden.imap.tokens import Reader
from ekiden.servers.imap.session import ImapSession


def _two_names(reader: Reader) -> tuple[str, str]:
    reader.space()
    old = mailbox(reader)
    reader.space()
    return old, mailbox(reader)


async def _create(session: ImapSession, request: Asked, name: str) -> None:
    await session.mailboxes.create(session.account, name)
    await session.done("Created")


async def _delete(session: ImapSession, request: Asked, name: str) -> None:
    await session.mailboxes.delete(session.account, name)
    if session.view is not None and session.view.snapshot.name == name:
        session.deselect()  # as other servers do: the client knows what it has deleted
    await session.done("Deleted")


async def _rename(session: ImapSession, request: Asked, args: tuple[str, str]) -> None:
    await session.mailboxes.rename(session.account, *args)
    await session.done("Renamed")


COMMANDS = (
    declare(b"CREATE", AFTER_LOGIN, after_space(mailbox), _create),
    declare(b"DELETE", AFTER_LOGIN, after_space(mailbox), _delete),
    declare(b"RENAME", AFTER_LOGIN, _two_names, _rename),
)

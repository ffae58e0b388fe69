"""STATUS: numbers of a mailbox without selecting it.

Source: RFC 3501 §6.3.10.
"""

from __future__ import annotations

from collections.abc import Callable

from ekiden.base.errors import BadValue
from ekiden.imap import responses
from ekiden.imap.grammar import AFTER_LOGIN, Asked, declare, mailbox, parenthesized
from ekiden.imap.tokens import Reader
from ekiden.servers.imap.session import ImapSession
from ekiden.services.mailbox import Status

_NUMBERS: dict[bytes, Callable[[Status], int]] = {
    b"MESSAGES": lambda status: status.messages,
    b"RECENT": lambda status: status.recent,
    b"UIDNEXT": lambda status: status.uid_next,
    b"UIDVALIDITY": lambda status: status.uid_validity,
    b"UNSEEN": lambda status: status.unseen,
}


def _read(reader: Reader) -> tuple[str, tuple[bytes, ...]]:
    reader.space()
    name = mailbox(reader)
    reader.space()
    return name, tuple(dict.fromkeys(parenthesized(reader, _item)))


def _item(reader: Reader) -> bytes:
    word = reader.word()
    if word not in _NUMBERS:
        raise BadValue("status item", word)
    return word


async def _status(session: ImapSession, request: Asked, args: tuple[str, tuple[bytes, ...]]) -> None:
    name, items = args
    status = await session.mailboxes.status(session.account, name)
    session.machine.send(responses.status_line(name, {item: _NUMBERS[item](status) for item in items}))
    await session.done("Done")


COMMANDS = (declare(b"STATUS", AFTER_LOGIN, _read, _status),)

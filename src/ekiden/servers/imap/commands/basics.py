"""CAPABILITY, NOOP, LOGOUT, CHECK.

Source: RFC 3501 §6.1, RFC 3501 §6.4.1.
"""

from __future__ import annotations

from ekiden.imap import responses
from ekiden.imap.grammar import ANY_STATE, SELECTED, Asked, declare, nothing
from ekiden.imap.responses import Kind
from ekiden.servers.imap.session import ImapSession


async def _capability(session: ImapSession, request: Asked, args: None) -> None:
    session.machine.send(responses.capability(session.capabilities()))
    session.machine.answer(Kind.OK, "That is all")


async def _noop(session: ImapSession, request: Asked, args: None) -> None:
    await session.done("Done")


async def _logout(session: ImapSession, request: Asked, args: None) -> None:
    session.machine.send(responses.status_response(b"*", Kind.BYE, "Until next time"))
    session.machine.answer(Kind.OK, "Logged out")
    session.machine.hang_up()


COMMANDS = (
    declare(b"CAPABILITY", ANY_STATE, nothing, _capability),
    declare(b"NOOP", ANY_STATE, nothing, _noop),
    declare(b"LOGOUT", ANY_STATE, nothing, _logout),
    # RFC 3501 §6.4.1: with a store that is always consistent CHECK is NOOP.
    declare(b"CHECK", SELECTED, nothing, _noop),
)

"""APPEND: a message into a mailbox, streamed.

Source: RFC 3501 §6.3.11, RFC 4315 §3, RFC 7889 §4 (TOOBIG).
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.base.clock import Millis
from ekiden.imap.grammar import AFTER_LOGIN, Asked, date_time, declare, flag_list, literal_stream, mailbox
from ekiden.imap.machine import LiteralChunk, LiteralEnd
from ekiden.imap.responses import Kind
from ekiden.imap.tokens import Announced, Reader
from ekiden.servers.imap.session import ImapSession
from ekiden.services.mailbox import Appending


@dataclass(frozen=True, slots=True)
class Placing:
    """Where and how a message is put. date: None for the time of arrival."""

    name: str
    flags: tuple[str, ...]
    date: Millis | None


def _read(reader: Reader) -> tuple[Placing, Announced]:
    reader.space()
    name = mailbox(reader)
    reader.space()
    flags: tuple[str, ...] = ()
    if reader.peek() == b"(":
        flags = flag_list(reader)
        reader.space()
    date = None
    if reader.peek() == b'"':
        date = date_time(reader)
        reader.space()
    return Placing(name, flags, date), literal_stream(reader)


async def _append(session: ImapSession, request: Asked, args: tuple[Placing, Announced]) -> None:
    placing, literal = args
    # What can be refused is refused here, before a synchronising client has sent a byte.
    appending = await session.mailboxes.appending(session.account, placing.name, literal.size)
    try:
        end = await _receive(session, appending)
        if end is None:
            return  # the connection is over, and nothing has happened
        if end.problem:
            session.machine.answer(Kind.BAD, end.problem)
            return
        if literal.size == 0:
            # RFC 3502 §3 takes an empty literal for a command that is called off; an empty message is of no use.
            session.machine.answer(Kind.NO, "An empty message is not kept")
            return
        await appending.end_message(placing.flags, placing.date)
        appended = await appending.commit()
    finally:
        await appending.abort()
    code = b"APPENDUID %d %d" % (appended.uid_validity, appended.uids[0])
    await session.done("Appended", code)


async def _receive(session: ImapSession, appending: Appending) -> LiteralEnd | None:
    """All of the literal into the store. None if the connection ended before it."""
    session.machine.accept_literal()
    while (event := await session.connection.next_event()) is not None:
        if isinstance(event, LiteralChunk):
            await appending.write(event.data)
        elif isinstance(event, LiteralEnd):
            return event
    return None


COMMANDS = (declare(b"APPEND", AFTER_LOGIN, _read, _append, streams=True),)

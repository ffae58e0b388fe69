"""IDLE: news as they come, at most ten times a second.

Source: RFC 2177.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ekiden.imap.grammar import AFTER_LOGIN, Asked, declare, nothing
from ekiden.imap.machine import IdleDone, ImapEvent
from ekiden.imap.responses import Kind, status_response
from ekiden.servers.imap.session import ImapSession

_STILL_HERE_S = 120.0  # also keeps address translators on the way from forgetting the connection
_PAUSE_S = 0.1


async def _idle(session: ImapSession, request: Asked, args: None) -> None:
    session.machine.idle()
    ending = asyncio.ensure_future(session.connection.next_event())
    try:
        await _tell_until(session, ending)
        event = await ending
    finally:
        if not ending.done():
            ending.cancel()
            await asyncio.wait([ending])
    if isinstance(event, IdleDone):
        if event.done:
            await session.done("Done")
        else:
            session.machine.answer(Kind.BAD, "Expected DONE")


async def _tell_until(session: ImapSession, ending: asyncio.Future[ImapEvent[ImapSession] | None]) -> None:
    """Tell news until the client has ended IDLE or left."""
    if session.view is None:
        await asyncio.wait([ending])
        return
    while not ending.done():
        # The wait begins before the look, so that what happens in between is not missed.
        waking = asyncio.ensure_future(session.mailboxes.wait_for_news(session.account, _STILL_HERE_S))
        try:
            await session.look(expunge=True)
            await session.connection.flush()
            if session.machine.wants_close:
                return
            both: list[asyncio.Future[Any]] = [ending, waking]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if waking.done() and not waking.result() and not ending.done():
                session.machine.send(status_response(b"*", Kind.OK, "Still here"))
        finally:
            waking.cancel()
            await asyncio.wait([waking])
        await asyncio.wait([ending], timeout=_PAUSE_S)


COMMANDS = (declare(b"IDLE", AFTER_LOGIN, nothing, _idle, capability=b"IDLE"),)

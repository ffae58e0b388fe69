"""STARTTLS.

Source: RFC 3501 §6.2.1.
"""

from __future__ import annotations

from ekiden.imap.grammar import BEFORE_LOGIN, Asked, declare, nothing
from ekiden.imap.responses import Kind
from ekiden.servers.imap.session import ImapSession


async def _starttls(session: ImapSession, request: Asked, args: None) -> None:
    context = None if session.machine.secure else session.services.tls()
    if context is None:
        session.machine.answer(Kind.BAD if session.machine.secure else Kind.NO, "TLS cannot be started now")
        return
    session.machine.answer(Kind.OK, "Begin TLS now")
    await session.secure(context)


COMMANDS = (declare(b"STARTTLS", BEFORE_LOGIN, nothing, _starttls, capability=b"STARTTLS"),)

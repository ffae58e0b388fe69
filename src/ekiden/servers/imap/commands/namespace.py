"""NAMESPACE: there is one, the account's own.

Source: RFC 2342.
"""

from __future__ import annotations

from ekiden.imap.grammar import AFTER_LOGIN, Asked, declare, nothing
from ekiden.servers.imap.session import ImapSession


async def _namespace(session: ImapSession, request: Asked, args: None) -> None:
    session.machine.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
    await session.done("Done")


COMMANDS = (declare(b"NAMESPACE", AFTER_LOGIN, nothing, _namespace, capability=b"NAMESPACE"),)

"""SUBSCRIBE, UNSUBSCRIBE.

Source: RFC 3501 §6.3.6, RFC 3501 §6.3.7.
"""

from __future__ import annotations

from ekiden.imap.grammar import AFTER_LOGIN, Asked, after_space, declare, mailbox
from ekiden.servers.imap.session import ImapSession


async def _subscribe(session: ImapSession, request: Asked, name: str) -> None:
    await session.mailboxes.subscribe(session.account, name)
    await session.done("Subscribed")


async def _unsubscribe(session: ImapSession, request: Asked, name: str) -> None:
    await session.mailboxes.subscribe(session.account, name, wanted=False)
    await session.done("Unsubscribed")


COMMANDS = (
    declare(b"SUBSCRIBE", AFTER_LOGIN, after_space(mailbox), _subscribe),
    declare(b"UNSUBSCRIBE", AFTER_LOGIN, after_space(mailbox), _unsubscribe),
)

"""SELECT, EXAMINE, CLOSE, UNSELECT.

Source: RFC 3501 §6.3.1, RFC 3501 §6.3.2, RFC 3501 §6.4.2, RFC 3691.
"""

from __future__ import annotations

from ekiden.imap import responses
from ekiden.imap.grammar import AFTER_LOGIN, SELECTED, Asked, State, after_space, declare, mailbox, nothing
from ekiden.imap.responses import Kind, status_response
from ekiden.servers.imap.session import ImapSession
from ekiden.servers.imap.view import View


async def _select(session: ImapSession, request: Asked, name: str) -> None:
    await _open(session, name, read_only=False)


async def _examine(session: ImapSession, request: Asked, name: str) -> None:
    await _open(session, name, read_only=True)


async def _open(session: ImapSession, name: str, *, read_only: bool) -> None:
    # RFC 3501 §6.3.1: what was selected is not any more, also if this fails.
    session.deselect()
    snapshot = await session.mailboxes.open(session.account, name, read_only=read_only)
    view = session.view = View(snapshot)
    session.machine.state = State.SELECTED
    lines = [view.flags_line(), responses.exists(view.count), responses.recent(view.recent)]
    if snapshot.first_unseen is not None and (number := view.number(snapshot.first_unseen)):
        lines.append(status_response(b"*", Kind.OK, "First unseen message", b"UNSEEN %d" % number))
    lines.append(status_response(b"*", Kind.OK, "UIDs are valid", b"UIDVALIDITY %d" % snapshot.uid_validity))
    lines.append(status_response(b"*", Kind.OK, "Next UID", b"UIDNEXT %d" % snapshot.uid_next))
    session.machine.send(b"".join(lines))
    session.machine.answer(Kind.OK, "Opened", b"READ-ONLY" if read_only else b"READ-WRITE")


async def _close(session: ImapSession, request: Asked, args: None) -> None:
    snapshot = session.selected().snapshot
    if not snapshot.read_only:
        await session.mailboxes.expunge(snapshot.id)  # RFC 3501 §6.4.2: without telling
    session.deselect()
    session.machine.answer(Kind.OK, "Closed")


async def _unselect(session: ImapSession, request: Asked, args: None) -> None:
    session.deselect()
    session.machine.answer(Kind.OK, "Closed")


COMMANDS = (
    declare(b"SELECT", AFTER_LOGIN, after_space(mailbox), _select),
    declare(b"EXAMINE", AFTER_LOGIN, after_space(mailbox), _examine),
    declare(b"CLOSE", SELECTED, nothing, _close),
    declare(b"UNSELECT", SELECTED, nothing, _unselect, capability=b"UNSELECT"),
)

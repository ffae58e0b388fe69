"""COPY and MOVE, all or nothing.

Source: RFC 3501 §6.4.7, RFC 6851, RFC 4315 §3.
"""

from __future__ import annotations

from ekiden.imap.grammar import SELECTED, Asked, declare, mailbox, sequence_set
from ekiden.imap.responses import Kind, status_response, uid_pairs_code
from ekiden.imap.sequence import SequenceSet
from ekiden.imap.tokens import Reader
from ekiden.servers.imap.session import ImapSession
from ekiden.services.mailbox import Copied, ranges_of

Args = tuple[SequenceSet, str]


def _read(reader: Reader) -> Args:
    reader.space()
    wanted = sequence_set(reader)
    reader.space()
    return wanted, mailbox(reader)


def _code(copied: Copied) -> bytes:
    return uid_pairs_code(b"COPYUID", copied.uid_validity, copied.pairs) if copied.pairs else b""


async def _copy(session: ImapSession, request: Asked, args: Args) -> None:
    view = session.selected()
    uids = view.uids(args[0], by_uid=request.uid)
    copied = await session.mailboxes.copy(view.snapshot.id, ranges_of(uids), args[1])
    await session.done("Copied", _code(copied))


async def _move(session: ImapSession, request: Asked, args: Args) -> None:
    view = session.writable()
    uids = view.uids(args[0], by_uid=request.uid)
    moved = await session.mailboxes.move(view.snapshot.id, ranges_of(uids), args[1])
    if moved.pairs:
        # RFC 6851 §4.3: the numbers come before the messages go.
        session.machine.send(status_response(b"*", Kind.OK, "Moved", _code(moved)))
    await session.done("Done")


COMMANDS = (
    declare(b"COPY", SELECTED, _read, _copy),
    declare(b"UID COPY", SELECTED, _read, _copy),
    declare(b"MOVE", SELECTED, _read, _move, capability=b"MOVE"),
    declare(b"UID MOVE", SELECTED, _read, _move),
)

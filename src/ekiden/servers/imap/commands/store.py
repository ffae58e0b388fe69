"""STORE: flags of messages.

Source: RFC 3501 §6.4.6.
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.base.errors import BadValue
from ekiden.imap import responses
from ekiden.imap.grammar import SELECTED, Asked, declare, flags, sequence_set
from ekiden.imap.responses import Kind
from ekiden.imap.sequence import SequenceSet
from ekiden.imap.tokens import Reader
from ekiden.servers.imap.session import ImapSession
from ekiden.services.mailbox import FlagMode, Why, ranges_of

_MODES = {b"FLAGS": FlagMode.REPLACE, b"+FLAGS": FlagMode.ADD, b"-FLAGS": FlagMode.REMOVE}


@dataclass(frozen=True, slots=True)
class Args:
    """What STORE is told."""

    wanted: SequenceSet
    mode: FlagMode
    silent: bool
    flags: tuple[str, ...]


def _read(reader: Reader) -> Args:
    reader.space()
    wanted = sequence_set(reader)
    reader.space()
    word = reader.word()
    silent = word.endswith(b".SILENT")
    mode = _MODES.get(word.removesuffix(b".SILENT"))
    if mode is None:
        raise BadValue("FLAGS, +FLAGS or -FLAGS", word)
    reader.space()
    return Args(wanted, mode, silent, flags(reader))


async def _store(session: ImapSession, request: Asked, args: Args) -> None:
    view = session.writable()
    uids = view.uids(args.wanted, by_uid=request.uid)
    stored = await session.mailboxes.store_flags(view.snapshot.id, ranges_of(uids), args.mode, args.flags)
    session.machine.send(view.new_keywords(stored.entries))
    view.told(stored.entries)
    if not args.silent:
        for entry in stored.entries:
            items = [b"FLAGS " + view.flags_of(entry)]
            if request.uid:
                items.append(b"UID %d" % entry.uid)  # RFC 3501 §6.4.8
            await session.send(responses.fetch_line(view.number(entry.uid), items))
    await session.look(expunge=request.uid, sparingly=True)
    if session.machine.wants_close:
        return
    if len(stored.entries) < len(uids) and not request.uid:
        # RFC 5530 §3: some were expunged elsewhere.
        session.machine.answer(Kind.NO, "Some of the messages are gone", Why.EXPUNGE_ISSUED.value.upper().encode())
    else:
        session.machine.answer(Kind.OK, "Stored")


COMMANDS = (declare(b"STORE", SELECTED, _read, _store), declare(b"UID STORE", SELECTED, _read, _store))

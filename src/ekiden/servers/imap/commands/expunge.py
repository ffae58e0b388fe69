"""EXPUNGE, UID EXPUNGE.

Source: RFC 3501 §6.4.3, RFC 4315 §2.1.
"""

from __future__ import annotations

from ekiden.imap.grammar import SELECTED, Asked, after_space, declare, nothing, sequence_set
from ekiden.imap.sequence import SequenceSet
from ekiden.servers.imap.session import ImapSession
from ekiden.services.mailbox import ranges_of


async def _expunge(session: ImapSession, request: Asked, args: None) -> None:
    await session.mailboxes.expunge(session.writable().snapshot.id)
    await session.done("Expunged")


async def _uid_expunge(session: ImapSession, request: Asked, wanted: SequenceSet) -> None:
    view = session.writable()
    uids = view.uids(wanted, by_uid=True)
    if uids:
        await session.mailboxes.expunge(view.snapshot.id, ranges_of(uids))
    await session.done("Expunged")


COMMANDS = (
    declare(b"EXPUNGE", SELECTED, nothing, _expunge),
    declare(b"UID EXPUNGE", SELECTED, after_space(sequence_set), _uid_expunge, capability=b"UIDPLUS"),
)

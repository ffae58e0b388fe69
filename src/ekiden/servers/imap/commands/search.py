"""SEARCH, UID SEARCH.

Source: RFC 3501 §6.4.4.
"""

from __future__ import annotations

from ekiden.imap import responses
from ekiden.imap.grammar import SELECTED, Asked, after_space, declare
from ekiden.imap.search import SearchKey, search_program
from ekiden.servers.imap.searching import find
from ekiden.servers.imap.session import ImapSession


async def _search(session: ImapSession, request: Asked, key: SearchKey) -> None:
    view = session.selected()
    found = await find(session.mailboxes, view, key)
    numbers = [candidate.uid if request.uid else candidate.number for candidate in found]
    await session.send(responses.search_line(numbers))
    await session.done("Searched", expunge=request.uid, sparingly=True)


COMMANDS = (
    declare(b"SEARCH", SELECTED, after_space(search_program), _search),
    declare(b"UID SEARCH", SELECTED, after_space(search_program), _search),
)

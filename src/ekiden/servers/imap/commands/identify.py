"""ID: who the client is, for our log and the message's journey; and who we are.

Source: RFC 2971.
"""

from __future__ import annotations

import re

from ekiden.base.errors import BadValue
from ekiden.imap import responses
from ekiden.imap.grammar import ANY_STATE, Asked, after_space, declare
from ekiden.imap.responses import Kind
from ekiden.imap.tokens import Reader
from ekiden.servers.imap.session import ImapSession

_MOST_PAIRS = 30
_LONGEST_NAME = 30
_LONGEST_VALUE = 1024
_UNFIT = re.compile(r"[^\x20-\x7e]")

Fields = dict[bytes, bytes | None]


def _fields(reader: Reader) -> Fields:
    if reader.skip(b"NIL"):
        return {}
    found: Fields = {}
    reader.open()
    while reader.peek() != b")":
        name = reader.string()
        reader.space()
        value = reader.nstring()
        reader.more()
        # RFC 2971 §3.3: the limits, and that no name comes twice.
        if len(found) == _MOST_PAIRS or len(name) > _LONGEST_NAME or len(value or b"") > _LONGEST_VALUE or name.lower() in found:
            raise BadValue("ID fields", name, "too many, too long or twice the same")
        found[name.lower()] = value
    reader.close()
    return found


async def _id(session: ImapSession, request: Asked, args: Fields) -> None:
    words = [value for key in (b"name", b"version") if (value := args.get(key))]
    session.client = _UNFIT.sub("?", b" ".join(words).decode("latin-1"))[:100]
    session.machine.send(responses.id_line({b"name": b"Ekiden"}))
    session.machine.answer(Kind.OK, "Pleased to meet you")


COMMANDS = (declare(b"ID", ANY_STATE, after_space(_fields), _id, capability=b"ID"),)

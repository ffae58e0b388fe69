"""LIST and LSUB: the names of mailboxes.

Source: RFC 3501 §6.3.8, RFC 3501 §6.3.9, RFC 3348, RFC 6154 §2.
"""

from __future__ import annotations

from collections.abc import Iterable

from ekiden.imap import responses
from ekiden.imap.grammar import AFTER_LOGIN, DELIMITER, Asked, declare, fold_inbox
from ekiden.imap.patterns import compile_pattern
from ekiden.imap.tokens import Reader
from ekiden.servers.imap.session import ImapSession
from ekiden.services.mailbox import Folder

Args = tuple[bytes, bytes]


def _read(reader: Reader) -> Args:
    reader.space()
    reference = reader.astring()
    reader.space()
    return reference, reader.list_mailbox()


def _attributes(folder: Folder) -> list[bytes]:
    found = [b"\\HasChildren" if folder.has_children else b"\\HasNoChildren"]
    if folder.id is None:
        found.append(b"\\Noselect")
    if folder.special_use is not None:
        found.append(folder.special_use.encode("ascii"))
    return found


async def _list(session: ImapSession, request: Asked, args: Args) -> None:
    reference, pattern = args
    if not pattern:
        # RFC 3501 §6.3.8: asks for the delimiter and the root only.
        await session.send(responses.list_line(b"LIST", [b"\\Noselect"], DELIMITER, ""))
        await session.done("Done")
        return
    matches = compile_pattern(reference + pattern)
    for folder in await session.mailboxes.folders(session.account):
        if matches(folder.name):
            await session.send(responses.list_line(b"LIST", _attributes(folder), DELIMITER, folder.name))
    await session.done("Done")


async def _lsub(session: ImapSession, request: Asked, args: Args) -> None:
    reference, pattern = args
    matches = compile_pattern(reference + pattern)
    names = [fold_inbox(name) for name in await session.mailboxes.subscriptions(session.account)]
    for name, is_parent in _subscribed(names):
        if matches(name) and (not is_parent or pattern.endswith(b"%")):
            # RFC 3501 §6.3.9: with "%" a parent that is not subscribed stands for its subscribed children.
            await session.send(responses.list_line(b"LSUB", [b"\\Noselect"] if is_parent else [], DELIMITER, name))
    await session.done("Done")


def _subscribed(names: Iterable[str]) -> list[tuple[str, bool]]:
    """Names and their parents, sorted; True for those that are parents only."""
    own = set(names)
    parents = {name[:at] for name in own for at, character in enumerate(name) if character == DELIMITER}
    return [(name, name not in own) for name in sorted(own | parents)]


COMMANDS = (
    declare(b"LIST", AFTER_LOGIN, _read, _list, capability=b"CHILDREN SPECIAL-USE"),
    declare(b"LSUB", AFTER_LOGIN, _read, _lsub),
)

"""FETCH: what a client reads of messages.

The cheapest source is asked that the items need: rows of the mailbox, rows of messages, contents. Long contents are passed on in
pieces while the client reads.
Source: RFC 3501 §6.4.5, RFC 9051 §6.4.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from ekiden.base.errors import BadValue, Damaged, ProtocolError, StoreError
from ekiden.imap import responses
from ekiden.imap.fetch import Attribute, BodyItem, FetchItem, Text, choose_fields, fetch_items, sets_seen
from ekiden.imap.grammar import SELECTED, Asked, declare, sequence_set
from ekiden.imap.responses import Kind
from ekiden.imap.sequence import SequenceSet
from ekiden.imap.structure import body_of
from ekiden.imap.tokens import Reader
from ekiden.mail.mime import Part, decode_parts, find_part
from ekiden.servers.imap.session import DAMAGED, ImapSession
from ekiden.servers.imap.view import View
from ekiden.services.mailbox import Content, Details, Entry, FlagMode, Why, ranges_of

Args = tuple[SequenceSet, tuple[FetchItem, ...]]

_ENTRIES_AT_ONCE = 2_000
_DETAILS_AT_ONCE = 250
_PIECE_BYTES = 262_144
_FROM_DETAILS = frozenset({Attribute.ENVELOPE, Attribute.BODY, Attribute.BODYSTRUCTURE})


def _read(reader: Reader) -> Args:
    reader.space()
    wanted = sequence_set(reader)
    reader.space()
    return wanted, fetch_items(reader)


async def _fetch(session: ImapSession, request: Asked, args: Args) -> None:
    view = session.selected()
    items = args[1]
    if request.uid and Attribute.UID not in items:
        items = (*items, Attribute.UID)  # RFC 3501 §6.4.8
    uids = view.uids(args[0], by_uid=request.uid)
    count = damaged = 0
    if any(isinstance(item, BodyItem) for item in items):
        count, damaged = await _fetch_contents(session, view, uids, items)
    elif not _FROM_DETAILS.isdisjoint(items):
        for some in _batches(uids, _DETAILS_AT_ONCE):
            found = await session.mailboxes.details(view.snapshot.id, ranges_of(some))
            count += len(found)
            for details in found:
                await session.send(_line(view, details.entry, [_plain(view, item, details.entry, details) for item in items]))
    else:
        for some in _batches(uids, _ENTRIES_AT_ONCE):
            entries = await session.mailboxes.entries(view.snapshot.id, ranges_of(some))
            count += len(entries)
            for entry in entries:
                await session.send(_line(view, entry, [_plain(view, item, entry, None) for item in items]))
    await session.look(expunge=request.uid, sparingly=True)
    if session.machine.wants_close:
        return
    if damaged:
        session.machine.answer(Kind.NO, DAMAGED, b"SERVERBUG")  # RFC 5530 §3; the others have been sent
    elif count < len(uids) and not request.uid:
        # RFC 5530 §3: some were expunged elsewhere, which we may not say by EXPUNGE now.
        session.machine.answer(Kind.NO, "Some of the messages are gone", Why.EXPUNGE_ISSUED.value.upper().encode())
    else:
        session.machine.answer(Kind.OK, "Fetched")


def _batches(uids: Sequence[int], size: int) -> list[Sequence[int]]:
    return [uids[at : at + size] for at in range(0, len(uids), size)]


def _line(view: View, entry: Entry, values: list[bytes]) -> bytes:
    return responses.fetch_line(view.number(entry.uid), values)


def _plain(view: View, item: FetchItem, entry: Entry, details: Details | None) -> bytes:
    """One item with its value, of those that need no content."""
    match item:
        case Attribute.FLAGS:
            return b"FLAGS " + view.flags_of(entry)
        case Attribute.UID:
            return b"UID %d" % entry.uid
        case Attribute.INTERNALDATE:
            return b"INTERNALDATE " + responses.internal_date(entry.internal_date)
        case Attribute.SIZE:
            return b"RFC822.SIZE %d" % entry.size
    if details is not None:
        match item:
            case Attribute.ENVELOPE:
                return b"ENVELOPE " + details.envelope
            case Attribute.BODYSTRUCTURE:
                return b"BODYSTRUCTURE " + details.structure
            case Attribute.BODY:
                return b"BODY " + body_of(details.structure)
    raise BadValue("item")


async def _fetch_contents(session: ImapSession, view: View, uids: Sequence[int], items: tuple[FetchItem, ...]) -> tuple[int, int]:
    """How many messages were there, and how many of them could not be sent because they are damaged."""
    count = damaged = 0
    mailbox = view.snapshot.id
    for some in _batches(uids, _DETAILS_AT_ONCE):
        ranges = ranges_of(some)
        seen = await _mark_seen(session, view, some) if sets_seen(items) and not view.snapshot.read_only else frozenset()
        read: list[Entry] = []
        async for content in session.mailboxes.contents(mailbox, ranges):
            entry = content.details.entry
            asked = (Attribute.FLAGS, *items) if entry.uid in seen and Attribute.FLAGS not in items else items
            count += 1
            try:
                await content.check()
                await _send_message(session, view, content, asked)
            except Damaged:
                damaged += 1
                continue
            read.append(entry)
        if any(isinstance(item, BodyItem) and item.section.text in (Text.ALL, Text.TEXT) for item in items):
            session.mailboxes.note_fetched(session.account, view.first_read(read), mailbox=mailbox, protocol="IMAP", client=session.client)
    return count, damaged


async def _mark_seen(session: ImapSession, view: View, uids: Sequence[int]) -> frozenset[int]:
    """Set \\Seen where it is not set; those UIDs, whose flags the client must be told of."""
    entries = await session.mailboxes.entries(view.snapshot.id, ranges_of(uids))
    unseen = [entry.uid for entry in entries if "\\Seen" not in entry.flags]
    if not unseen:
        return frozenset()
    stored = await session.mailboxes.store_flags(view.snapshot.id, ranges_of(unseen), FlagMode.ADD, ("\\Seen",))
    view.told(stored.entries)
    return frozenset(unseen)


async def _send_message(session: ImapSession, view: View, content: Content, items: Sequence[FetchItem]) -> None:
    """One FETCH response. Raises ProtocolError if the content fails in the middle of a literal: the connection must end then."""
    details = content.details
    sections = _Sections(content)
    start = b"* %d FETCH (" % view.number(details.entry.uid)
    for item in items:
        if not isinstance(item, BodyItem):
            start += _plain(view, item, details.entry, details) + b" "
            continue
        span = await sections.span(item)
        if span is None:
            start += item.label() + b" NIL "
            continue
        first, end = item.slice(*span.limits)
        start += b"%b {%d}\r\n" % (item.label(), end - first)
        if span.text is not None:
            start += span.text[first:end] + b" "
        elif end - first <= _PIECE_BYTES:
            start += await content.read(first, end - first) + b" "
        else:
            await session.send(start)
            await _stream(session, content, first, end)
            start = b" "
    await session.send(start[:-1] + b")\r\n")


async def _stream(session: ImapSession, content: Content, first: int, end: int) -> None:
    try:
        async for piece in content.chunks(first, end - first):
            await session.send(piece)
    except StoreError as error:
        session.connection.abort()
        raise ProtocolError(f"message {content.details.entry.uid} broke off: {error}") from error


class _Span:
    """Where a section lies: in the message (limits are its offsets), or in a text of its own."""

    __slots__ = ("limits", "text")

    def __init__(self, start: int, end: int, text: bytes | None = None) -> None:
        self.limits = (start, end)
        self.text = text


class _Sections:
    """Finds the sections of one message. Part offsets count from the stored content, ours from the lines on top of it."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._root: Part | None = None
        self._top = len(content.details.top)

    async def span(self, item: BodyItem) -> _Span | None:
        """The place of a section; None if the message has no such part."""
        section = item.section
        limits = self._limits(section.path, section.text)
        if limits is None:
            return None
        if section.text not in (Text.FIELDS, Text.FIELDS_NOT):
            return _Span(*limits)
        header = await self._content.read(limits[0], limits[1] - limits[0])
        text = choose_fields(header, section.fields, others=section.text is Text.FIELDS_NOT)
        return _Span(0, len(text), text)

    def _limits(self, path: tuple[int, ...], text: Text) -> tuple[int, int] | None:
        body_at = self._top + self._content.details.header_bytes
        if not path:
            return _of_message(text, 0, body_at, self._content.size)
        if self._root is None:
            self._root = decode_parts(self._content.details.parts)
        part = find_part(self._root, path)
        if part is None:
            return None
        top = self._top
        if text is Text.ALL:
            return top + part.body_at, top + part.end
        if text is Text.MIME:
            return 0 if part is self._root else top + part.header_at, top + part.body_at
        if not part.is_message:
            # RFC 9051 §6.4.5.1: these texts belong to messages only; of what is none they are empty, as other servers say.
            return top + part.end, top + part.end
        inner = part.children[0]
        return _of_message(text, top + inner.header_at, top + inner.body_at, top + inner.end)


def _of_message(text: Text, header_at: int, body_at: int, end: int) -> tuple[int, int]:
    if text is Text.ALL:
        return header_at, end
    if text is Text.TEXT:
        return body_at, end
    return header_at, body_at


COMMANDS = (declare(b"FETCH", SELECTED, _read, _fetch), declare(b"UID FETCH", SELECTED, _read, _fetch))

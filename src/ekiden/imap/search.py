"""Search keys: what SEARCH asks, as a tree of values.

The tree is judged by whoever holds the messages; nothing in it is a pattern, every text is meant letter by letter.
Source: RFC 3501 §6.4.4 and §9, RFC 9051 §6.4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from ekiden.base.errors import BadValue
from ekiden.imap.grammar import Refusal, day, keyword, sequence_set
from ekiden.imap.sequence import SequenceSet
from ekiden.imap.tokens import Reader

MAX_DEPTH = 50
"""How deep NOT, OR and parentheses may lie in one another."""


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class HasFlag:
    """A system flag ("\\\\Seen") or keyword is set; keywords are compared without regard to case."""

    flag: str


@dataclass(frozen=True, slots=True)
class IsRecent:
    """The \\\\Recent flag of RFC 3501 §2.3.2 is set in this session."""


@dataclass(frozen=True, slots=True)
class HeaderHas:
    """A field of this name exists and its decoded value holds the text. name: lower case; text "" asks for the field alone."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class BodyHas:
    """The decoded text of the body holds the text."""

    text: str


@dataclass(frozen=True, slots=True)
class TextHas:
    """The decoded header or body holds the text."""

    text: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """The internal date is in since <= day < before, in UTC; None is no bound."""

    since: date | None
    before: date | None


@dataclass(frozen=True, slots=True)
class Sent:
    """The Date field's day, in its own zone, is in since <= day < before; None is no bound."""

    since: date | None
    before: date | None


@dataclass(frozen=True, slots=True)
class Larger:
    """More bytes than this."""

    size: int


@dataclass(frozen=True, slots=True)
class Smaller:
    """Fewer bytes than this."""

    size: int


@dataclass(frozen=True, slots=True)
class Uids:
    """The UID is in the set."""

    uids: SequenceSet


@dataclass(frozen=True, slots=True)
class Numbers:
    """The message number is in the set."""

    numbers: SequenceSet


@dataclass(frozen=True, slots=True)
class Not:
    """The key does not match."""

    key: SearchKey


@dataclass(frozen=True, slots=True)
class Or:
    """One of both keys matches."""

    left: SearchKey
    right: SearchKey


@dataclass(frozen=True, slots=True)
class And:
    """All keys match."""

    keys: tuple[SearchKey, ...]


SearchKey: TypeAlias = (
    All | HasFlag | IsRecent | HeaderHas | BodyHas | TextHas | Arrived | Sent | Larger | Smaller | Uids | Numbers | Not | Or | And
)


def search_program(reader: Reader) -> SearchKey:
    """What follows SEARCH and its space: perhaps a charset, then one key and more, which all must match.

    Raises Refusal with BADCHARSET for a charset other than US-ASCII and UTF-8.
    """
    if reader.skip(b"CHARSET "):
        charset = reader.astring().upper()
        if charset not in (b"UTF-8", b"US-ASCII"):
            raise Refusal("Charset not known", b"BADCHARSET (US-ASCII UTF-8)")
        reader.space()
    keys = [_key(reader, 1)]
    while reader.more() and not reader.at_end():
        keys.append(_key(reader, 1))
    return keys[0] if len(keys) == 1 else And(tuple(keys))


def _key(reader: Reader, depth: int) -> SearchKey:
    if depth > MAX_DEPTH:
        raise BadValue("search key", b"", f"more than {MAX_DEPTH} in one another")
    first = reader.peek()
    if first == b"(":
        reader.open()
        keys = [_key(reader, depth + 1)]
        while reader.more() and reader.peek() != b")":
            keys.append(_key(reader, depth + 1))
        reader.close()
        return keys[0] if len(keys) == 1 else And(tuple(keys))
    if first.isdigit() or first == b"*":
        return Numbers(sequence_set(reader))
    word = reader.word()
    simple = _SIMPLE.get(word)
    if simple is not None:
        return simple
    reader.space()
    if word == b"NOT":
        return Not(_key(reader, depth + 1))
    if word == b"OR":
        left = _key(reader, depth + 1)
        reader.space()
        return Or(left, _key(reader, depth + 1))
    piece = _WITH_ARGUMENT.get(word)
    if piece is None:
        raise BadValue("search key", word)
    return piece(reader)


def _text(reader: Reader) -> str:
    try:
        return reader.astring().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadValue("search text", b"", "not UTF-8") from error


def _header(reader: Reader) -> SearchKey:
    name = reader.astring()
    if not name.isascii():
        raise BadValue("field name", name)
    reader.space()
    return HeaderHas(name.decode("ascii").lower(), _text(reader))


def _field(name: str) -> Callable[[Reader], SearchKey]:
    return lambda reader: HeaderHas(name, _text(reader))


def _next_day(first: date) -> date | None:
    # The last day that a date can say has no day after it; nothing lies beyond, so no bound is needed.
    return date.fromordinal(first.toordinal() + 1) if first != date.max else None


def _arrived_on(reader: Reader) -> SearchKey:
    first = day(reader)
    return Arrived(first, _next_day(first))


def _sent_on(reader: Reader) -> SearchKey:
    first = day(reader)
    return Sent(first, _next_day(first))


_RECENT = IsRecent()
_UNSEEN = Not(HasFlag("\\Seen"))

_SIMPLE: dict[bytes, SearchKey] = {
    b"ALL": All(),
    b"ANSWERED": HasFlag("\\Answered"),
    b"DELETED": HasFlag("\\Deleted"),
    b"DRAFT": HasFlag("\\Draft"),
    b"FLAGGED": HasFlag("\\Flagged"),
    b"SEEN": HasFlag("\\Seen"),
    b"UNANSWERED": Not(HasFlag("\\Answered")),
    b"UNDELETED": Not(HasFlag("\\Deleted")),
    b"UNDRAFT": Not(HasFlag("\\Draft")),
    b"UNFLAGGED": Not(HasFlag("\\Flagged")),
    b"UNSEEN": _UNSEEN,
    b"NEW": And((_RECENT, _UNSEEN)),
    b"OLD": Not(_RECENT),
    b"RECENT": _RECENT,
}

_WITH_ARGUMENT: dict[bytes, Callable[[Reader], SearchKey]] = {
    b"BCC": _field("bcc"),
    b"CC": _field("cc"),
    b"FROM": _field("from"),
    b"SUBJECT": _field("subject"),
    b"TO": _field("to"),
    b"HEADER": _header,
    b"BODY": lambda reader: BodyHas(_text(reader)),
    b"TEXT": lambda reader: TextHas(_text(reader)),
    b"KEYWORD": lambda reader: HasFlag(keyword(reader)),
    b"UNKEYWORD": lambda reader: Not(HasFlag(keyword(reader))),
    b"BEFORE": lambda reader: Arrived(None, day(reader)),
    b"ON": _arrived_on,
    b"SINCE": lambda reader: Arrived(day(reader), None),
    b"SENTBEFORE": lambda reader: Sent(None, day(reader)),
    b"SENTON": _sent_on,
    b"SENTSINCE": lambda reader: Sent(day(reader), None),
    b"LARGER": lambda reader: Larger(reader.number64()),
    b"SMALLER": lambda reader: Smaller(reader.number64()),
    b"UID": lambda reader: Uids(sequence_set(reader)),
}

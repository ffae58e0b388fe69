"""The pieces that arguments of commands are made of, and what a command declares.

A piece is a function that reads one thing from a Reader and returns it as a value; a command's `read` is such a function too.
Source: RFC 3501 §9, RFC 9051 §9.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Generic, Protocol, TypeVar, cast

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue, EkidenError
from ekiden.imap.mutf7 import decode_mutf7
from ekiden.imap.sequence import SequenceSet, parse_sequence_set
from ekiden.imap.tokens import Announced, Reader

T = TypeVar("T")
A = TypeVar("A")
S = TypeVar("S")

INBOX = "INBOX"
DELIMITER = "/"
SYSTEM_FLAGS = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
MAX_KEYWORD_BYTES = 255

_SYSTEM = {flag.upper().encode(): flag for flag in SYSTEM_FLAGS}
_SET = re.compile(rb"[0-9*:,]+")
_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DATE_TIME = re.compile(rb"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})")
_MONTHS = {
    month: number
    for number, month in enumerate(
        (b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC"), start=1
    )
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class State(Enum):
    """What a connection may do now (RFC 3501 §3)."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


ANY_STATE = frozenset({State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED})
BEFORE_LOGIN = frozenset({State.NOT_AUTHENTICATED})
AFTER_LOGIN = frozenset({State.AUTHENTICATED, State.SELECTED})
SELECTED = frozenset({State.SELECTED})


class Refusal(EkidenError):
    """A command is well written and still answered with NO. code: a response code without brackets, or b""."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        self.text = text
        self.code = code
        super().__init__(text)


class Asked(Protocol):
    """What a command's run is given to answer: the machine's Request."""

    @property
    def tag(self) -> bytes: ...

    @property
    def args(self) -> object: ...

    @property
    def uid(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Command(Generic[S]):
    """One command of the table that a machine is given.

    name: upper case; the UID form of a command is one of its own, "UID FETCH". read: reads what follows the name.
    streams: its last argument is a literal that comes in chunks. capability: what it makes us announce, or b"".
    run: what the session does; it is never called by the machine.
    """

    name: bytes
    states: frozenset[State]
    read: Callable[[Reader], object]
    run: Callable[[S, Asked], Awaitable[None]]
    capability: bytes = b""
    streams: bool = False


def declare(
    name: bytes,
    states: frozenset[State],
    read: Callable[[Reader], A],
    run: Callable[[S, Asked, A], Awaitable[None]],
    *,
    capability: bytes = b"",
    streams: bool = False,
) -> Command[S]:
    """A command whose run receives exactly what its read returns."""

    def bound(session: S, request: Asked) -> Awaitable[None]:
        # The machine fills request.args with what this very `read` returned, nothing else.
        return run(session, request, cast(A, request.args))

    return Command(name, states, read, bound, capability, streams)


def nothing(reader: Reader) -> None:
    """A command without arguments."""


def after_space(piece: Callable[[Reader], T]) -> Callable[[Reader], T]:
    """A command with one argument."""

    def read(reader: Reader) -> T:
        reader.space()
        return piece(reader)

    return read


def parenthesized(reader: Reader, piece: Callable[[Reader], T], *, empty: bool = False) -> list[T]:
    """A list of one thing and more, separated by single spaces; none at all only where `empty` says so."""
    reader.open()
    found: list[T] = []
    if not (empty and reader.peek() == b")"):
        found.append(piece(reader))
        while reader.more() and reader.peek() != b")":
            found.append(piece(reader))
    reader.close()
    return found


def mailbox(reader: Reader) -> str:
    """A mailbox name: decoded, in Unicode's form C, INBOX in capitals (RFC 3501 §5.1, RFC 9051 §5.1).

    Raises Refusal for a spelling that is not the canonical modified UTF-7: such a name cannot exist.
    """
    return mailbox_name(reader.astring())


def mailbox_name(raw: bytes) -> str:
    """The name that the wire's bytes stand for; as mailbox()."""
    try:
        name = decode_mutf7(raw)
    except BadValue as error:
        raise Refusal("Mailbox name is not valid modified UTF-7", b"CANNOT") from error
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return fold_inbox(name)


def fold_inbox(name: str) -> str:
    """INBOX and what lies below it, its first level in capitals; ASCII letters only are folded."""
    if len(name) >= 5 and name[:5].isascii() and name[:5].upper() == INBOX and name[5:6] in ("", DELIMITER):
        return INBOX + name[5:]
    return name


def flag(reader: Reader) -> str:
    """A flag that a client may set: a system flag in its RFC spelling, or a keyword as written."""
    if not reader.skip(b"\\"):
        keyword = reader.atom()
        if len(keyword) > MAX_KEYWORD_BYTES:
            raise Refusal("Keyword too long", b"LIMIT")
        return keyword.decode("ascii")
    name = b"\\" + reader.atom()
    known = _SYSTEM.get(name.upper())
    if known is None:
        # RFC 3501 §2.3.2: \Recent cannot be altered; other names with a backslash belong to future standards.
        raise Refusal("No such system flag", b"CANNOT")
    return known


def keyword(reader: Reader) -> str:
    """A keyword of SEARCH."""
    return reader.atom().decode("ascii")


def flag_list(reader: Reader) -> tuple[str, ...]:
    """Flags in parentheses, perhaps none."""
    return tuple(dict.fromkeys(parenthesized(reader, flag, empty=True)))


def flags(reader: Reader) -> tuple[str, ...]:
    """Flags of STORE: in parentheses, or one and more without (RFC 3501 §9, store-att-flags)."""
    if reader.peek() == b"(":
        return flag_list(reader)
    found = [flag(reader)]
    while reader.more() and not reader.at_end():
        found.append(flag(reader))
    return tuple(dict.fromkeys(found))


def sequence_set(reader: Reader) -> SequenceSet:
    """A set of message numbers or UIDs."""
    return parse_sequence_set(reader.match(_SET, "sequence set"))


def day(reader: Reader) -> date:
    """A date of SEARCH, quoted or not: 1-Feb-1994."""
    quoted = reader.skip(b'"')
    raw = reader.match(_DATE, "date")
    if quoted:
        reader.expect(b'"')
    number, month, year = raw.split(b"-")
    return _date(int(number), month, int(year), raw)


def _date(number: int, month: bytes, year: int, raw: bytes) -> date:
    at = _MONTHS.get(month.upper())
    if at is None or not 1 <= year <= 9999 or not 1 <= number <= monthrange(max(year, 1), at)[1]:
        raise BadValue("date", raw)
    return date(year, at, number)


def date_time(reader: Reader) -> Millis:
    """A date and time of APPEND: " 1-Feb-1994 09:30:00 +0900" with its quotes. Years before 1970 count as 1970."""
    raw = reader.quoted()
    found = _DATE_TIME.fullmatch(raw)
    if found is None:
        raise BadValue("date-time", raw)
    when = _date(int(found[1]), found[2], int(found[3]), raw)
    hour, minute, second = int(found[4]), int(found[5]), int(found[6])
    zone_hours, zone_minutes = int(found[8]), int(found[9])
    if hour > 23 or minute > 59 or second > 60 or zone_minutes > 59:
        raise BadValue("date-time", raw)
    moment = datetime(when.year, when.month, when.day, hour, minute, min(second, 59), tzinfo=UTC)
    ahead = timedelta(hours=zone_hours, minutes=zone_minutes)
    seconds = int((moment - _EPOCH).total_seconds()) - int(ahead.total_seconds()) * (-1 if found[7] == b"-" else 1)
    return Millis(max(0, seconds) * 1000)


def literal_stream(reader: Reader) -> Announced:
    """The literal whose bytes follow in chunks; always the last argument."""
    return reader.announced()

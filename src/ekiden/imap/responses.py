"""What the server says, as bytes: status responses, mailbox data, message data.

Every function returns whole lines with their CRLF. Text from messages and people comes out in a form that cannot break a line.
Source: RFC 3501 §7, RFC 9051 §7, RFC 4315 §3, RFC 5530 §3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum

from ekiden.base.clock import Millis
from ekiden.imap.mutf7 import encode_mutf7
from ekiden.imap.sequence import format_set
from ekiden.imap.tokens import astring, nstring, quote, string

_NOT_TEXT = re.compile(rb"[^\x20-\x7e]+")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLIS = 253_402_300_799_000  # 9999-12-31 23:59:59, the last second that a date-time can say


class Kind(Enum):
    """The word of a status response."""

    OK = b"OK"
    NO = b"NO"
    BAD = b"BAD"
    BYE = b"BYE"
    PREAUTH = b"PREAUTH"


def status_response(tag: bytes, kind: Kind, text: str, code: bytes = b"") -> bytes:
    """tag: "*" where it is untagged. code: a response code without brackets. text: what is not ASCII becomes "?"."""
    said = _NOT_TEXT.sub(b"?", text.encode("ascii", "replace")) or b"-"
    if code:
        return b"%b %b [%b] %b\r\n" % (tag, kind.value, code, said)
    return b"%b %b %b\r\n" % (tag, kind.value, said)


def continuation(text: bytes) -> bytes:
    """A "+" line."""
    return b"+ %b\r\n" % text


def capability(names: Iterable[bytes]) -> bytes:
    """The CAPABILITY response."""
    return b"* CAPABILITY %b\r\n" % b" ".join(names)


def mailbox_name(name: str) -> bytes:
    """A mailbox name in modified UTF-7, as an atom or quoted."""
    return astring(encode_mutf7(name))


def flag_list(flags: Iterable[str]) -> bytes:
    """Flags in parentheses; each is ASCII by its grammar."""
    return b"(%b)" % " ".join(flags).encode("ascii")


def flags_line(flags: Iterable[str]) -> bytes:
    """FLAGS: what may be set in this mailbox."""
    return b"* FLAGS %b\r\n" % flag_list(flags)


def exists(count: int) -> bytes:
    """EXISTS: how many messages there are."""
    return b"* %d EXISTS\r\n" % count


def recent(count: int) -> bytes:
    """RECENT: how many carry \\Recent in this session."""
    return b"* %d RECENT\r\n" % count


def expunges(numbers: Sequence[int]) -> bytes:
    """EXPUNGE for each number; the numbers are what they were before any of it, rising (RFC 3501 §7.4.1)."""
    return b"".join([b"* %d EXPUNGE\r\n" % number for number in reversed(numbers)])


def list_line(command: bytes, attributes: Iterable[bytes], delimiter: str, name: str) -> bytes:
    """LIST or LSUB. attributes with their backslash."""
    return b"* %b (%b) %b %b\r\n" % (command, b" ".join(attributes), quote(delimiter.encode("ascii")), mailbox_name(name))


def status_line(name: str, numbers: Mapping[bytes, int]) -> bytes:
    """STATUS of one mailbox, in the order of the mapping."""
    return b"* STATUS %b (%b)\r\n" % (mailbox_name(name), b" ".join([b"%b %d" % pair for pair in numbers.items()]))


def search_line(numbers: Iterable[int]) -> bytes:
    """SEARCH, also with no number at all."""
    found = b" ".join([b"%d" % number for number in numbers])
    return b"* SEARCH %b\r\n" % found if found else b"* SEARCH\r\n"


def id_line(fields: Mapping[bytes, bytes | None] | None) -> bytes:
    """ID: who we are, or NIL."""
    if not fields:
        return b"* ID NIL\r\n"
    pairs = b" ".join([b"%b %b" % (string(name), nstring(value)) for name, value in fields.items()])
    return b"* ID (%b)\r\n" % pairs


def internal_date(when: Millis) -> bytes:
    """A date-time with its quotes, in UTC."""
    moment = _EPOCH + timedelta(seconds=min(max(when, 0), _LAST_MILLIS) // 1000)
    return b'"%2d-%b-%04d %02d:%02d:%02d +0000"' % (
        moment.day, _MONTHS[moment.month - 1], moment.year, moment.hour, moment.minute, moment.second
    )  # fmt: skip


def fetch_line(number: int, items: Iterable[bytes]) -> bytes:
    """FETCH of one message; each item is its name, a space and its value."""
    return b"* %d FETCH (%b)\r\n" % (number, b" ".join(items))


def uid_pairs_code(name: bytes, uid_validity: int, pairs: Sequence[tuple[int, int]]) -> bytes:
    """COPYUID (RFC 4315 §3). pairs: (UID there before, UID now), rising in both."""
    before, now = format_set([pair[0] for pair in pairs]), format_set([pair[1] for pair in pairs])
    return b"%b %d %b %b" % (name, uid_validity, before, now)

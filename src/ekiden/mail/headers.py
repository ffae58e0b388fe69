"""The header of a message or of a body part: its fields, untouched and in order, and where the body begins.

The one place that decides where a header ends; DKIM, MIME, IMAP and the store all take it from here. A header ends at
the first empty line, or before the first line that is neither a field nor the continuation of one. Lines may end in
CRLF or LF; a bare CR ends nothing. Never raises; the time is linear in the header.
Source: RFC 5322 §2.2, RFC 5322 §4.5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_FIELDS_KEPT = 10_000  # what we read of a header that came in by another way

# The header of well-formed mail. One call reads it all, since both alternatives end at a line end and the search never
# starts anew inside a line; a line that is no field gives two empty strings.
_STRICT = re.compile(rb"([!-9;-~]++):([^\r]*+(?:\r\n[ \t][^\r]*+)*+)\r\n|[^\n]*+\n")
_NO_FIELD = (b"", b"")
_LOOSE = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_WHOLE = re.compile(rb"[!-9;-~]++[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+(?:\n|\Z)")
_REST = re.compile(rb"(?:%b)*+" % _WHOLE.pattern)
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """What a door lets in: bytes of the header, its fields, bytes of one field."""

    block_bytes: int = 1 << 20
    fields: int = 2_000
    field_bytes: int = 256 << 10


USUAL = HeaderLimits()


@dataclass(frozen=True, slots=True)
class Headers:
    """Fields in order. Names are compared without regard to ASCII case.

    fields: (name, value): the name as written, without white space before the colon; the value is all from the colon
    to the line end that closes the field, folds and leading space kept, without that line end.
    block: the header as it stood, without the empty line. body_at: offset of the body in the bytes that were parsed.
    complete: False where there were more than 10,000 fields; then fields holds the first of them.
    """

    fields: tuple[tuple[bytes, bytes], ...]
    body_at: int
    block: bytes = b""
    complete: bool = True
    _index: dict[bytes, list[bytes]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def first(self, name: bytes) -> bytes | None:
        """The raw value of the first field of this name, or None. name: in lower case."""
        values = (self._index or self._by_name()).get(name)
        return values[0] if values else None

    def all(self, name: bytes) -> tuple[bytes, ...]:
        """The raw values of all fields of this name, in order. name: in lower case."""
        return tuple((self._index or self._by_name()).get(name, ()))

    def count(self, name: bytes) -> int:
        """How many fields have this name. name: in lower case."""
        return len((self._index or self._by_name()).get(name, ()))

    def text(self, name: bytes) -> bytes:
        """The first value of this name, unfolded and without outer white space; b"" if there is none."""
        values = (self._index or self._by_name()).get(name)
        return unfold(values[0]) if values else b""

    def whole(self) -> tuple[bytes, ...]:
        """Each field as it stood, with the space before its colon and its line end; joined they are the block."""
        return tuple(_WHOLE.findall(self.block)[: len(self.fields)])

    def _by_name(self) -> dict[bytes, list[bytes]]:
        built: dict[bytes, list[bytes]] = {}
        for name, value in self.fields:
            lower = name.lower()
            if lower in built:
                built[lower].append(value)
            else:
                built[lower] = [value]
        self._index.update(built)  # all at once: another thread may read the same header
        return built


def parse_headers(raw: bytes, at: int = 0, end: int | None = None) -> Headers:
    """The header that begins at offset at. end: where the part ends that it belongs to; default the end of raw."""
    stop = len(raw) if end is None else end
    if raw.startswith(b"\r\n", at, stop):
        return Headers((), at + 2)
    empty_line = raw.find(b"\r\n\r\n", at, min(stop, at + USUAL.block_bytes))
    if empty_line >= 0:
        block = raw[at : empty_line + 2]
        fields = _STRICT.findall(block)
        # A bare CR has made a line no field; what is left to find is a bare LF.
        if _NO_FIELD not in fields and block.count(b"\n") == block.count(b"\r") and len(fields) <= _FIELDS_KEPT:
            return Headers(tuple(fields), empty_line + 4, block)
    return _parse_any(raw, at, stop)


def unfold(value: bytes) -> bytes:
    """A value on one line (RFC 5322 §2.2.3), without white space around it."""
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    return value.strip(b" \t\r\n")


def over_limits(headers: Headers, limits: HeaderLimits = USUAL) -> str:
    """Why a door must refuse this header (552 5.3.4), in words for the log; "" if it may pass."""
    if len(headers.block) > limits.block_bytes:
        return f"header block over {limits.block_bytes} bytes"
    if len(headers.fields) > limits.fields or not headers.complete:
        return f"more than {limits.fields} header fields"
    if len(headers.block) > limits.field_bytes and max(map(len, headers.whole()), default=0) > limits.field_bytes:
        return f"header field over {limits.field_bytes} bytes"
    return ""


def _parse_any(raw: bytes, at: int, stop: int) -> Headers:
    """The long way: any line ends, any nonsense."""
    fields: list[tuple[bytes, bytes]] = []
    position = at
    complete = True
    while match := _LOOSE.match(raw, position, stop):
        if len(fields) == _FIELDS_KEPT:
            complete = False
            if rest := _REST.match(raw, position, stop):
                position = rest.end()
            break
        value = match[2]
        fields.append((match[1], value[:-1] if value.endswith(b"\r") else value))
        position = match.end()
    block = raw[at:position]
    if raw.startswith(b"\r\n", position, stop):
        position += 2
    elif raw.startswith(b"\n", position, stop):
        position += 1
    return Headers(tuple(fields), position, block, complete)

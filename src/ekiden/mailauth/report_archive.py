"""The file of a report out of whatever it came in: a mail, gzip, zip, or nothing.

Whoever sends a report may be anybody, so everything is bounded: what is unpacked comes in pieces and ends at a limit however much is
promised, a zip has few entries, and the names in it are looked at for their ending and used for nothing else (row AX-25).
Source: RFC 9990 (media types), RFC 1952 §2.2 (members), RFC 8460 §5.2.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ekiden.base.errors import BadValue
from ekiden.mail.encodings import decode_body
from ekiden.mail.mime import Part, parse_message, walk
from ekiden.mail.parameters import parameter_text

UNPACKED_MOST = 25_000_000
"""Bytes of one report when it is unpacked."""
ENTRIES_MOST = 16
"""Files in one zip; reports have one."""
FILES_MOST = 10
"""Parts of one mail that are looked into."""
MEMBERS_MOST = 16
"""Members of one gzip file; each more would copy the rest once more."""
PIECE_BYTES = 1 << 20

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_END = struct.Struct("<4s4H2LH")
_END_COMMENT = 65_535
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_TYPES = frozenset(
    {"gzip", "x-gzip", "gzip-compressed", "zip", "x-zip", "x-zip-compressed", "xml", "json", "tlsrpt+gzip", "tlsrpt+json", "tlsrpt"}
)
_ENDINGS = (".xml", ".xml.gz", ".gz", ".zip", ".json", ".json.gz", ".gzip")


@dataclass(frozen=True, slots=True)
class Packed:
    """A file as it came. name: what its sender calls it, for people to read; it is never a path. raw: perhaps compressed."""

    name: str
    raw: bytes


def files_of(raw: bytes) -> list[Packed]:
    """What may be a report: raw itself if it is a file, else the parts of the mail that it is; at most FILES_MOST. Never raises."""
    if raw.startswith((_GZIP, _ZIP)) or _begin(raw) in (b"<", b"{"):
        return [Packed("", raw)]
    found: list[Packed] = []
    for part in walk(parse_message(raw)):
        if len(found) == FILES_MOST:
            break
        if part.children or part.is_multipart:
            continue
        name = _name(part)
        if part.subtype in _TYPES or name.lower().endswith(_ENDINGS):
            found.append(Packed(name, decode_body(raw[part.body_at : part.end], part.encoding)))
    return found


def unpack(raw: bytes, most: int = UNPACKED_MOST) -> Iterator[bytes]:
    """What is in it, in pieces of at most 1 MiB: gzip and zip are told by how they begin, anything else is given as it is.

    Of a zip it is the first file whose name ends in .xml or .json, else the first of all. Raises BadValue in the middle where it is
    broken, or longer than most.
    """
    if raw.startswith(_GZIP):
        return _bounded(_gunzip(raw), most)
    if raw.startswith(_ZIP):
        return _bounded(_unzip(raw), most)
    return _bounded((raw[at : at + PIECE_BYTES] for at in range(0, len(raw), PIECE_BYTES)), most)


def whole(raw: bytes, most: int = UNPACKED_MOST) -> bytes:
    """The same in one piece. Raises BadValue."""
    return b"".join(unpack(raw, most))


def _begin(raw: bytes) -> bytes:
    """The first byte that is no blank."""
    return raw[:1000].removeprefix(_BOM).lstrip(_BLANK)[:1]


def _name(part: Part) -> str:
    return parameter_text(part.disposition_params, b"filename") or parameter_text(part.params, b"name") or ""


def _bounded(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    left = most
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise BadValue("report", b"", f"more than {most} bytes")
        yield piece


def _gunzip(raw: bytes) -> Iterator[bytes]:
    """All members, one after the other (RFC 1952 §2.2); what follows the last one is not looked at."""
    rest = raw
    for _ in range(MEMBERS_MOST):
        if not rest.startswith(_GZIP):
            return
        member = zlib.decompressobj(31)
        yield from _inflate(member, rest)
        rest = member.unused_data
    raise BadValue("report", b"", "too many members")


def _inflate(member: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Pieces until the end of the stream. Raises BadValue if there is none."""
    try:
        piece = member.decompress(packed, PIECE_BYTES)
        while True:
            if piece:
                yield piece
            if member.eof:
                return
            if not piece and not member.unconsumed_tail:
                raise BadValue("report", packed, "cut off")
            piece = member.decompress(member.unconsumed_tail, PIECE_BYTES)
    except zlib.error as error:
        raise BadValue("report", packed, "damaged") from error


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    method: int
    packed_bytes: int
    at: int


def _unzip(raw: bytes) -> Iterator[bytes]:
    entries = [entry for entry in _entries(raw) if not entry.name.endswith(b"/")]
    if not entries:
        raise BadValue("zip", raw, "nothing in it")
    chosen = next((entry for entry in entries if entry.name.lower().endswith((b".xml", b".json"))), entries[0])
    try:
        head = _LOCAL.unpack_from(raw, chosen.at)
    except struct.error as error:
        raise BadValue("zip", raw, "cut off") from error
    if head[0] != _ZIP:
        raise BadValue("zip", raw, "no file where one should be")
    start = chosen.at + _LOCAL.size + head[9] + head[10]
    packed = raw[start : start + chosen.packed_bytes]
    if chosen.method == _DEFLATED:
        yield from _inflate(zlib.decompressobj(-15), packed)
    elif chosen.method == _STORED:
        yield from (packed[at : at + PIECE_BYTES] for at in range(0, len(packed), PIECE_BYTES))
    else:
        raise BadValue("zip", raw, f"compression method {chosen.method}")


def _entries(raw: bytes) -> Iterator[_Entry]:
    """What the directory at the end of a zip says, which is the only place where the sizes are certain to stand."""
    end_at = raw.rfind(b"PK\x05\x06", max(0, len(raw) - _END_COMMENT - _END.size))
    try:
        end = _END.unpack_from(raw, end_at) if end_at >= 0 else None
        if end is None:
            raise BadValue("zip", raw, "no directory")
        count, at = end[4], end[6]
        if count > ENTRIES_MOST:
            raise BadValue("zip", raw, f"{count} files")
        for _ in range(count):
            head = _CENTRAL.unpack_from(raw, at)
            if head[0] != b"PK\x01\x02":
                raise BadValue("zip", raw, "damaged directory")
            if head[5] & 1:
                raise BadValue("zip", raw, "encrypted")
            name_at = at + _CENTRAL.size
            yield _Entry(raw[name_at : name_at + head[12]], head[6], head[10], head[18])
            at = name_at + head[12] + head[13] + head[14]
    except struct.error as error:
        raise BadValue("zip", raw, "cut off") from error

"""The tree of a message's parts, each with the offsets of its header, body and end.

Never raises, for any bytes; bounded in depth, parts, parameters and time. Nothing is decoded here and nothing is kept
of the content: a part is sliced out of the message by its offsets. What cannot be understood becomes a leaf.
Source: RFC 2045, RFC 2046 §5.1.1, RFC 2183, RFC 6532 §3.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import msgspec

from ekiden.base.errors import BadValue
from ekiden.mail.headers import Headers, parse_headers, unfold
from ekiden.mail.parameters import Parameters, parameter, parse_parameters, strip_comments

DEPTH = 100
"""Levels of nesting that are shown; what lies deeper is one application/octet-stream."""
PARTS = 10_000
"""Parts of one message; the last of them holds the rest."""
BOUNDARY_MAX = 70
"""Characters of a boundary (RFC 2046 §5.1.1); longer ones work but the part is marked defective."""
_BOUNDARY_READ = 256
_PASSES = 16  # how often the bytes of a message may be searched, over all its levels
_MISS_COST = 1_000  # what a line costs, in bytes of that budget, that begins like a boundary and is none

_TOKEN = rb"[!#-'*+\-.0-9A-Z^_`a-z{|}~]+"
_TYPE = re.compile(rb"(%b)[ \t]*/[ \t]*(%b)(?=[ \t]|\Z)" % (_TOKEN, _TOKEN))
_ENCODING = re.compile(_TOKEN)
# RFC 2046 §5.1.1, stricter than its note to implementors: only white space may follow the boundary, since boundaries
# that are the beginning of one another are common in real mail.
_TAIL = re.compile(rb"(--)?[ \t\r]*+(?:\n|\Z)")


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One body part; the root is the message itself, the child of a message/rfc822 part is the message inside.

    header_at, body_at, end: offsets in the message. lines: line feeds between body_at and end.
    type, subtype: lower case. params, disposition_params: names in lower case, values as written but unquoted; they may
    hold any byte. encoding: Content-Transfer-Encoding in lower case, "7bit" where there is none. disposition: lower
    case, "" where there is none. id, description, location, md5: unfolded, None where there is no such field.
    defective: something was wrong enough that other readers may see another structure.
    """

    type: str
    subtype: str
    params: Parameters
    header_at: int
    body_at: int
    end: int
    lines: int
    encoding: str = "7bit"
    id: bytes | None = None
    description: bytes | None = None
    disposition: str = ""
    disposition_params: Parameters = ()
    language: tuple[bytes, ...] = ()
    location: bytes | None = None
    md5: bytes | None = None
    children: tuple[Part, ...] = ()
    defective: bool = False

    @property
    def size(self) -> int:
        """Bytes of the body, in its transfer encoding."""
        return self.end - self.body_at

    @property
    def is_multipart(self) -> bool:
        """It has parts, numbered from 1."""
        return self.type == "multipart"

    @property
    def is_message(self) -> bool:
        """It has one child, the message inside (message/rfc822, message/global)."""
        return self.type == "message" and bool(self.children)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Part)


def encode_parts(part: Part) -> bytes:
    """The whole tree as a few bytes, for the store."""
    return _encoder.encode(part)


def decode_parts(row: bytes) -> Part:
    """The tree that encode_parts wrote. Raises BadValue for anything else."""
    try:
        return _decoder.decode(row)
    except msgspec.DecodeError as error:
        raise BadValue("part tree", row, str(error)) from error


def parse_message(raw: bytes, headers: Headers | None = None, lines: int | None = None) -> Part:
    """The tree of a whole message. headers: what parse_headers(raw) gave, lines: raw.count(b"\n"), if the caller has them already."""
    known = parse_headers(raw) if headers is None else headers
    content = _content(known, in_digest=False)
    if content.type not in _CONTAINERS:
        count = raw.count(b"\n", known.body_at) if lines is None else lines - raw.count(b"\n", 0, known.body_at)
        return _part(known, 0, len(raw), count, content)
    return _Tree(raw).grow(_Node(known, 0, len(raw), 0, content))


def find_part(root: Part, numbers: Sequence[int]) -> Part | None:
    """The part that IMAP calls by these numbers, (2, 1) for "2.1"; None if there is none (RFC 9051 §6.4.5.1).

    A message that is not a multipart has one part, number 1: its body. An encapsulated message is entered by the number
    that follows its own.
    """
    level: Part | None = root
    is_message_root = True
    part = root
    for number in numbers:
        if level is None:
            return None
        if level.is_multipart:
            if not 1 <= number <= len(level.children):
                return None
            part = level.children[number - 1]
        elif number == 1 and is_message_root:
            part = level
        else:
            return None
        is_message_root = part.is_message
        level = part.children[0] if part.is_message else part if part.is_multipart else None
    return part


def walk(root: Part) -> Iterator[Part]:
    """All parts, each before its children, in the order of the message."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(part.children))


_MULTIPART = "multipart"
_MESSAGE = "message"
_CACHED_LENGTH = 128
_ENCODINGS = {f" {name}".encode(): name for name in ("7bit", "8bit", "binary", "quoted-printable", "base64")}
_CONTAINERS = frozenset([_MULTIPART, _MESSAGE])
_ENCAPSULATED = frozenset(["rfc822", "global"])  # RFC 6532 §3.7


class _Content(NamedTuple):
    """What a Content-Type field says."""

    type: str
    subtype: str
    params: Parameters = ()
    defective: bool = False


_TEXT = _Content("text", "plain")  # RFC 2045 §5.2
_BROKEN = _Content("text", "plain", (), True)
_DIGEST = _Content("message", "rfc822")  # RFC 2046 §5.1.5
_TOO_DEEP = _Content("application", "octet-stream", (), True)


@dataclass(slots=True)
class _Node:
    """A part while the tree grows."""

    headers: Headers
    header_at: int
    end: int
    depth: int
    content: _Content
    children: list[_Node] = field(default_factory=list)


class _Tree:
    """Finds the parts of one message from the outside in, without recursion and within a budget of work."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._parts_left = PARTS - 1
        self._budget = _PASSES * len(raw) + (1 << 20)

    def grow(self, root: _Node) -> Part:
        nodes: list[_Node] = []
        waiting = [root]
        while waiting:
            node = waiting.pop()
            nodes.append(node)
            if node.content.type in _CONTAINERS:
                self._open(node)
                waiting.extend(reversed(node.children))
        lines = _LineCounter(self._raw, nodes)
        done: dict[int, Part] = {}
        for node in reversed(nodes):  # children before their parents
            children = tuple([done.pop(id(child)) for child in node.children])
            count = lines.between(node.headers.body_at, node.end)
            done[id(node)] = _part(node.headers, node.header_at, node.end, count, node.content, children)
        return done[id(root)]

    def _open(self, node: _Node) -> None:
        content = node.content
        if node.depth >= DEPTH or self._parts_left <= 0 or self._budget <= 0:
            node.content = _TOO_DEEP
        elif content.type == _MESSAGE:
            if content.subtype in _ENCAPSULATED:
                self._add(node, node.headers.body_at, node.end, in_digest=False)
        else:
            boundary = _boundary(content.params)
            spans, closed = self._split(node, boundary) if boundary else ([], False)
            for start, end in spans:
                self._add(node, start, end, in_digest=content.subtype == "digest")
            if not spans:
                node.content = _BROKEN  # RFC 2045 §5.2: what is syntactically invalid is shown as text
            elif not closed or len(boundary) > BOUNDARY_MAX:
                node.content = content._replace(defective=True)

    def _add(self, parent: _Node, start: int, end: int, *, in_digest: bool) -> None:
        headers = parse_headers(self._raw, start, end)
        parent.children.append(_Node(headers, start, end, parent.depth + 1, _content(headers, in_digest=in_digest)))
        self._parts_left -= 1

    def _split(self, node: _Node, boundary: bytes) -> tuple[list[tuple[int, int]], bool]:
        """Where the parts of a multipart begin and end, and whether it is closed. A delimiter owns the line end before it."""
        raw, end = self._raw, node.end
        needle = b"\n--" + boundary
        start = node.headers.body_at
        position = max(start - 1, 0)  # the body begins behind a line feed
        self._budget -= end - start
        spans: list[tuple[int, int]] = []
        opened = -1
        while (hit := raw.find(needle, position, end)) >= 0:
            tail = _TAIL.match(raw, hit + len(needle), end)
            if tail is None:
                position = hit + len(needle)
                self._budget -= _MISS_COST
                if self._budget <= 0:
                    break
                continue
            if opened >= 0:
                spans.append((opened, max(opened, hit - 1 if raw[hit - 1] == 13 else hit)))
                opened = -1
            if tail[1]:
                return spans, True
            opened = tail.end()
            if len(spans) + 1 >= self._parts_left:
                break
            position = opened - 1
        if opened >= 0:
            spans.append((opened, end))
        return spans, False


class _LineCounter:
    """Counts the line feeds between any two offsets of parts, reading each byte of the message once."""

    def __init__(self, raw: bytes, nodes: list[_Node]) -> None:
        self._before: dict[int, int] = {}
        last, count = 0, 0
        for offset in sorted({offset for node in nodes for offset in (node.headers.body_at, node.end)}):
            count += raw.count(b"\n", last, offset)
            self._before[offset] = count
            last = offset

    def between(self, start: int, end: int) -> int:
        return self._before[end] - self._before[start]


def _boundary(params: Parameters) -> bytes:
    """The boundary parameter, also where RFC 2231 has cut it in pieces, or b"". White space at its end is not part of it."""
    boundary = parameter(params, b"boundary")
    if boundary is None:
        pieces: list[bytes] = []
        while (piece := parameter(params, b"boundary*%d" % len(pieces))) is not None:
            pieces.append(piece)
        boundary = b"".join(pieces)
    boundary = boundary.rstrip(b" \t")
    return boundary if len(boundary) <= _BOUNDARY_READ else b""


def _content(headers: Headers, *, in_digest: bool) -> _Content:
    """The content type of a part, from its header."""
    value = headers.first(b"content-type")
    if value is None:
        return _DIGEST if in_digest else _TEXT
    content = _content_type_cached(value) if len(value) <= _CACHED_LENGTH else _content_type(value)
    return content._replace(defective=True) if headers.count(b"content-type") > 1 else content


def _content_type(value: bytes) -> _Content:
    head, params = parse_parameters(value)
    match = _TYPE.match(head)
    if match is None:
        return _BROKEN
    type = match[1].decode("ascii").lower()
    # Other readers may take the other boundary: what they find in the parts is then not what we found.
    doubtful = type == _MULTIPART and sum(1 for name, _ in params if name == b"boundary") > 1
    return _Content(type, match[2].decode("ascii").lower(), params, doubtful)


_content_type_cached = lru_cache(maxsize=1024)(_content_type)


def _part(
    headers: Headers, header_at: int, end: int, lines: int, content: _Content, children: tuple[Part, ...] = ()
) -> Part:
    encoding = headers.first(b"content-transfer-encoding")
    disposition = ""
    disposition_params: Parameters = ()
    if (value := headers.first(b"content-disposition")) is not None:
        head, disposition_params = parse_parameters(value)
        disposition = head.decode("latin-1").lower()
    language: tuple[bytes, ...] = ()
    if (value := headers.first(b"content-language")) is not None:
        language = tuple(tag for each in strip_comments(unfold(value)).split(b",") if (tag := each.strip(b" \t")))
    return Part(
        type=content.type,
        subtype=content.subtype,
        params=content.params,
        header_at=header_at,
        body_at=headers.body_at,
        end=end,
        lines=lines,
        encoding="7bit" if encoding is None else _encoding(encoding),
        id=_text(headers, b"content-id"),
        description=_text(headers, b"content-description"),
        disposition=disposition,
        disposition_params=disposition_params,
        language=language,
        location=_text(headers, b"content-location"),
        md5=_text(headers, b"content-md5"),
        children=children,
        defective=content.defective,
    )


def _encoding(value: bytes) -> str:
    known = _ENCODINGS.get(value.lower())
    if known is None:
        match = _ENCODING.search(strip_comments(value))
        known = match[0].decode("ascii").lower() if match else "7bit"
    return known


def _text(headers: Headers, name: bytes) -> bytes | None:
    value = headers.first(name)
    return None if value is None else unfold(value)

"""Parameters of Content-Type and Content-Disposition, read from any input: never raises, linear in the length.

Source: RFC 2045 §5.1, RFC 2183 §2, RFC 2231.
"""

from __future__ import annotations

import re
from functools import lru_cache

PARAMETERS = 128
"""The most parameters that are read of one field; the rest is ignored."""

Parameters = tuple[tuple[bytes, bytes], ...]
"""(name in lower case, value without quotes), in the order in which they stand."""

_LINE_ENDS = re.compile(rb"[\r\n]+")
_OUTSIDE = re.compile(rb'(?:[^"(\\]++|\\.|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|\\\Z)*+', re.DOTALL)
_INSIDE = re.compile(rb"(?:[^()\\]++|\\.)*+([()])", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
# An unquoted value goes on to the next ";", or to white space before something that looks like the next parameter:
# some writers forget the ";", others the quotes around a file name with spaces.
_PARAMETER = re.compile(
    rb"([^;= \t\"]++)[ \t]*+(?:=[ \t]*+(?:"
    rb'"((?:[^"\\]++|\\.)*+)(?:"|\Z|\\\Z)[^;]*?(?=;|\Z|[ \t][A-Za-z][A-Za-z0-9_*-]*=)'
    rb"|([^;\" \t](?:[^; \t]++|[ \t]++(?![A-Za-z][A-Za-z0-9_*-]*+=))*+|)"
    rb"))?",
    re.DOTALL,
)
_CACHED_LENGTH = 128


def parse_parameters(value: bytes) -> tuple[bytes, Parameters]:
    """A value like "attachment; filename=x" as its head ("attachment", case kept) and its parameters.

    value: of a field, raw or unfolded. Comments are dropped. Of doubled names the first counts (see parameter()).
    """
    # Most values come again and again; long ones are not kept, so that a hostile one costs no memory.
    return _cached(value) if len(value) <= _CACHED_LENGTH else _parse(value)


def parameter(parameters: Parameters, name: bytes) -> bytes | None:
    """The value of the first parameter of this name (lower case); None if there is none."""
    for each, value in parameters:
        if each == name:
            return value
    return None


def strip_comments(value: bytes) -> bytes:
    """value without its comments (RFC 5322 §3.2.2), each replaced by a space; what is in quotes stays.

    A comment that is not closed goes to the end. A closing parenthesis too many stays where it is.
    """
    if b"(" not in value:
        return value
    kept: list[bytes] = []
    position = 0
    while True:
        outside = _OUTSIDE.match(value, position)
        if outside is None or outside.end() == len(value):
            kept.append(value[position:])
            break
        kept.append(outside[0])
        position, depth = outside.end() + 1, 1
        while depth and (inside := _INSIDE.match(value, position)):
            depth += 1 if inside[1] == b"(" else -1
            position = inside.end()
        if depth:
            break
    return b" ".join(kept)


def _parse(value: bytes) -> tuple[bytes, Parameters]:
    if b"\n" in value or b"\r" in value:
        value = _LINE_ENDS.sub(b"", value)
    head, semicolon, rest = strip_comments(value).partition(b";")
    head = head.strip(b" \t")
    if b"=" in head and b" " in head.replace(b"\t", b" "):  # "text/plain charset=x": the first ";" is missing
        head, _, missed = head.replace(b"\t", b" ").partition(b" ")
        rest = missed + semicolon + rest
    found: list[tuple[bytes, bytes]] = []
    for match in _PARAMETER.finditer(rest):
        name, quoted, plain = match.groups()
        if quoted is not None:
            text = _QUOTED_PAIR.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        elif plain:
            text = plain.rstrip(b" \t")
        else:
            continue
        found.append((name.lower(), text))
        if len(found) == PARAMETERS:
            break
    return head, tuple(found)


_cached = lru_cache(maxsize=1024)(_parse)

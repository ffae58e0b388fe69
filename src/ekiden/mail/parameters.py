"""Parameters of Content-Type and Content-Disposition, read from any input: never raises, linear in the length.

Source: RFC 2045 §5.1, RFC 2183 §2, RFC 2231.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ekiden.mail.encodings import decode_text, decode_words

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
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNFIT_FOR_FILE = re.compile(r'[<>:"|?*]')
_DEVICE = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9]) *")


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


def parameter_text(parameters: Parameters, name: bytes) -> str | None:
    """The value of a parameter as text, None if there is none. name: lower case.

    The pieces of RFC 2231 §3 are joined and its percent encoding and charset undone (§4); encoded words, which do not belong
    into a parameter but are common there, are decoded too. Pieces count from 0 and end at the first gap.
    """
    if (whole := parameter(parameters, name + b"*")) is not None:
        charset, text = _extended(whole)
        return decode_text(text, charset)
    pieces: list[bytes] = []
    charset = b"utf-8"
    while len(pieces) < PARAMETERS:
        section = name + b"*%d" % len(pieces)
        if (encoded := parameter(parameters, section + b"*")) is not None:
            if pieces:
                pieces.append(_percent(encoded))
            else:
                charset, text = _extended(encoded)
                pieces.append(text)
        elif (plain := parameter(parameters, section)) is not None:
            pieces.append(plain)
        else:
            break
    if pieces:
        return decode_text(b"".join(pieces), charset)
    value = parameter(parameters, name)
    return None if value is None else decode_words(value)


def file_name(text: str) -> str:
    """A name under which a part may be saved: no path, nothing that a system takes for more than a name, at most 200 bytes.

    text: what filename or name said; "" comes back where nothing is left of it.
    """
    last = text.replace("\\", "/").rpartition("/")[2]
    # Controls, and format characters such as U+202E, which would show "exe.txt" for "txt.exe".
    shown = "".join(each if unicodedata.category(each)[0] != "C" else "_" for each in last[:1000])
    shown = _UNFIT_FOR_FILE.sub("_", shown).strip(" .")
    if _DEVICE.fullmatch(shown.partition(".")[0]):
        shown = "_" + shown
    if len(shown.encode("utf-8", "replace")) > 200:
        stem, dot, end = shown.rpartition(".")
        ending = dot + end if stem and len(end) <= 10 else ""
        shown = shown.encode("utf-8", "replace")[: 200 - len(ending.encode("utf-8"))].decode("utf-8", "ignore") + ending
    return shown


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


def _extended(value: bytes) -> tuple[bytes, bytes]:
    """charset'language'text, percent-encoded (RFC 2231 §4), as charset and octets."""
    charset, quote, rest = value.partition(b"'")
    _, second, text = rest.partition(b"'")
    return (charset, _percent(text)) if quote and second else (b"utf-8", _percent(value))


def _percent(value: bytes) -> bytes:
    return _PERCENT.sub(lambda pair: bytes([int(pair[1], 16)]), value) if b"%" in value else value


_cached = lru_cache(maxsize=1024)(_parse)

"""What FETCH asks for: items, sections, partials, macros.

Source: RFC 3501 §6.4.5 and §9, RFC 9051 §6.4.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ekiden.base.errors import BadValue
from ekiden.imap.grammar import parenthesized
from ekiden.imap.tokens import Reader, astring

MAX_SECTION_DEPTH = 100
MAX_FIELD_NAMES = 1000
MAX_ITEMS = 1000

_PARTIAL = re.compile(rb"<([0-9]{1,10})\.([1-9][0-9]{0,9})>")
_SECTION_PATH = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*+")
_PRINTABLE = re.compile(rb"[\x20-\x7e]+")
_FIELD = re.compile(rb"([^\s:]+)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*+", re.ASCII)


class Attribute(Enum):
    """An item that is one value; its value is the name in the response."""

    FLAGS = b"FLAGS"
    UID = b"UID"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"


class Text(Enum):
    """Which text of a part a section means."""

    ALL = b""
    HEADER = b"HEADER"
    TEXT = b"TEXT"
    MIME = b"MIME"
    FIELDS = b"HEADER.FIELDS"
    FIELDS_NOT = b"HEADER.FIELDS.NOT"


@dataclass(frozen=True, slots=True)
class Section:
    """What stands between BODY's brackets. path: part numbers, () is the message itself; fields: lower case."""

    path: tuple[int, ...] = ()
    text: Text = Text.ALL
    fields: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class BodyItem:
    """BODY[…], BODY.PEEK[…] and the RFC822 items.

    name: as the response says it, without the partial. partial: (first byte, how many), or None for all.
    peek: does not set \\\\Seen.
    """

    section: Section
    name: bytes
    peek: bool = False
    partial: tuple[int, int] | None = None

    def label(self) -> bytes:
        """The name in the response, with the first byte of the partial (RFC 3501 §7.4.2)."""
        return self.name if self.partial is None else b"%b<%d>" % (self.name, self.partial[0])

    def slice(self, start: int, end: int) -> tuple[int, int]:
        """Which of the bytes start … end the partial asks for; empty where it begins after them."""
        if self.partial is None:
            return start, end
        first, count = self.partial
        first = min(start + first, end)
        return first, min(first + count, end)


FetchItem: TypeAlias = Attribute | BodyItem

_FAST: tuple[FetchItem, ...] = (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE)
_ALL: tuple[FetchItem, ...] = (*_FAST, Attribute.ENVELOPE)
_MACROS: dict[bytes, tuple[FetchItem, ...]] = {b"ALL": _ALL, b"FAST": _FAST, b"FULL": (*_ALL, Attribute.BODY)}
_PLAIN: dict[bytes, FetchItem] = {
    **{attribute.value: attribute for attribute in Attribute},
    b"RFC822": BodyItem(Section(), b"RFC822"),
    b"RFC822.HEADER": BodyItem(Section(text=Text.HEADER), b"RFC822.HEADER", peek=True),
    b"RFC822.TEXT": BodyItem(Section(text=Text.TEXT), b"RFC822.TEXT"),
}
_NAME = re.compile(rb"[A-Za-z0-9.]+")


def fetch_items(reader: Reader) -> tuple[FetchItem, ...]:
    """A macro, one item, or a list of items; each item once."""
    if reader.peek() == b"(":
        items = parenthesized(reader, _item)
        if len(items) > MAX_ITEMS:
            raise BadValue("list of items", b"", f"more than {MAX_ITEMS}")
        return tuple(dict.fromkeys(items))
    start = reader.at
    macro = _MACROS.get(reader.match(_NAME, "item").upper())
    if macro is not None:
        return macro
    reader.at = start
    return (_item(reader),)


def _item(reader: Reader) -> FetchItem:
    name = reader.match(_NAME, "item").upper()
    if reader.peek() == b"[":
        if name not in (b"BODY", b"BODY.PEEK"):
            raise BadValue("item", name)
        return _body_item(reader, peek=name == b"BODY.PEEK")
    plain = _PLAIN.get(name)
    if plain is None:
        raise BadValue("item", name)
    return plain


def _body_item(reader: Reader, *, peek: bool) -> BodyItem:
    reader.expect(b"[")
    section = _section(reader)
    reader.expect(b"]")
    partial = None
    if reader.peek() == b"<":
        raw = reader.match(_PARTIAL, "partial")
        first, _, count = raw[1:-1].partition(b".")
        partial = (int(first), int(count))
        if max(partial) > 0xFFFFFFFF:
            raise BadValue("partial", raw, "number above 2**32-1")
    return BodyItem(section, b"BODY[%b]" % section_name(section), peek, partial)


def _section(reader: Reader) -> Section:
    path: tuple[int, ...] = ()
    if reader.peek() == b"]":
        return Section()
    if reader.peek().isdigit():
        raw = reader.match(_SECTION_PATH, "section")
        numbers = raw.split(b".")
        path = tuple(map(int, numbers))
        if len(path) > MAX_SECTION_DEPTH or max(path) > 0xFFFFFFFF:
            raise BadValue("section", raw[:40], "too deep or a number above 2**32-1")
        if reader.peek() == b"]":
            return Section(path)
        reader.expect(b".")
    word = reader.match(_NAME, "section text").upper()
    if word in (b"HEADER", b"TEXT") or (word == b"MIME" and path):
        return Section(path, Text(word))
    if word not in (b"HEADER.FIELDS", b"HEADER.FIELDS.NOT"):
        raise BadValue("section text", word)
    reader.space()
    names = parenthesized(reader, _field_name)
    if len(names) > MAX_FIELD_NAMES:
        raise BadValue("list of fields", b"", f"more than {MAX_FIELD_NAMES}")
    return Section(path, Text(word), tuple(names))


def _field_name(reader: Reader) -> bytes:
    name = reader.astring()
    # No field has another name (RFC 5322 §2.2), and the response repeats it.
    if not _PRINTABLE.fullmatch(name):
        raise BadValue("field name", name)
    return name


def section_name(section: Section) -> bytes:
    """The section as the response says it."""
    pieces = [b"%d" % number for number in section.path]
    if section.text is not Text.ALL:
        pieces.append(section.text.value)
    name = b".".join(pieces)
    if section.fields:
        name += b" (" + b" ".join(map(astring, section.fields)) + b")"
    return name


def choose_fields(header: bytes, names: Iterable[bytes], *, others: bool = False) -> bytes:
    """The fields of these names, or all others, in their order and untouched, and an empty line at the end.

    header: field lines, perhaps with the empty line. RFC 3501 §6.4.5: the subset ends with an empty line.
    """
    wanted = {name.lower() for name in names}
    chosen = [found[0] for found in _FIELD.finditer(header) if (found[1].lower() in wanted) is not others]
    return b"".join(chosen) + b"\r\n"


def sets_seen(items: Iterable[FetchItem]) -> bool:
    """True if fetching these sets \\\\Seen (RFC 3501 §6.4.5)."""
    return any(isinstance(item, BodyItem) and not item.peek for item in items)

"""The smallest words of IMAP, read and written: atoms, numbers, quoted strings, literals.

A command is read from one bytes object: its text with each literal's announcement left in place ("{5}\\r\\n"), the contents
of the literals beside it. No text of a command holds a CR or LF of its own, so an announcement cannot be mistaken.
Pure: no I/O, no clock. Everything is bounded by the length of the command, which the machine bounds.
Source: RFC 3501 §4 and §9, RFC 9051 §4 and §9, RFC 7888.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ekiden.base.errors import BadValue

MAX_NESTING = 20
"""How deep parentheses may lie in one another in one command (reliability.md §5.6)."""

_ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
# ASTRING-CHAR is ATOM-CHAR and "]" (RFC 3501 §9).
_ASTRING = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
_LIST_MAILBOX = re.compile(rb"[^\x00-\x20\x7f-\xff(){\"\\]+")
_TAG = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+]+")
# RFC 9051 §9 allows UTF-8 in quoted strings, RFC 3501 §9 does not; clients of both send passwords so.
_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*+)"')
_NUMBER = re.compile(rb"[0-9]{1,10}(?![0-9])")
_NUMBER64 = re.compile(rb"[0-9]{1,19}(?![0-9])")
_LITERAL = re.compile(rb"\{([0-9]{1,10})(\+?)\}\r\n")
_ESCAPED = re.compile(rb'\\(["\\])')
_NEEDS_LITERAL = re.compile(rb"[\x00\r\n\x80-\xff]")
_TO_ESCAPE = re.compile(rb'["\\]')
_PLAIN_ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]~]+")

_LONGEST_QUOTED = 4096


class Incomplete(Exception):
    """The command goes on after a literal that has not come yet."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A literal that is going to be streamed. size in bytes; synchronising: the client waits for a "+" line."""

    size: int
    synchronising: bool


class Reader:
    """Reads the pieces of one command, from left to right. Every method raises BadValue for what its grammar forbids.

    line: the text of the command without its last CRLF. literals: the contents of the announced literals that have come.
    """

    __slots__ = ("_depth", "_literals", "_next", "at", "line")

    def __init__(self, line: bytes, literals: Sequence[bytes] = (), at: int = 0) -> None:
        self.line = line
        self.at = at
        self._literals = literals
        self._next = 0
        self._depth = 0

    def peek(self) -> bytes:
        """The next byte, or b"" at the end."""
        return self.line[self.at : self.at + 1]

    def at_end(self) -> bool:
        """True when nothing is left."""
        return self.at >= len(self.line)

    def end(self) -> None:
        """Nothing but spaces may be left."""
        self.more()
        if self.at < len(self.line):
            raise self.error("end of the command")

    def space(self) -> None:
        """One space (RFC 3501 §9, note 2), looser: or several, since clients send them."""
        if not self.more():
            raise self.error("space")

    def more(self) -> bool:
        """Take spaces, if any come next: there is one thing more."""
        start = self.at
        while self.line.startswith(b" ", self.at):
            self.at += 1
        return self.at > start

    def expect(self, word: bytes) -> None:
        """These bytes, letters in any case."""
        end = self.at + len(word)
        if self.line[self.at : end].upper() != word.upper():
            raise self.error(word.decode("ascii"))
        self.at = end

    def skip(self, word: bytes) -> bool:
        """Take these bytes if they come next, letters in any case."""
        end = self.at + len(word)
        if self.line[self.at : end].upper() != word.upper():
            return False
        self.at = end
        return True

    def match(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        """What the pattern finds here."""
        found = pattern.match(self.line, self.at)
        if found is None:
            raise self.error(what)
        self.at = found.end()
        return found[0]

    def error(self, what: str) -> BadValue:
        """The error to raise when `what` was expected here."""
        return BadValue(what, self.line[self.at : self.at + 40])

    def tag(self) -> bytes:
        """1*<any ASTRING-CHAR except "+">."""
        return self.match(_TAG, "tag")

    def atom(self) -> bytes:
        """An atom as it was written."""
        return self.match(_ATOM, "atom")

    def word(self) -> bytes:
        """An atom in upper case: the name of a command, an item, a key."""
        return self.match(_ATOM, "word").upper()

    def number(self) -> int:
        """0 … 2**32-1."""
        value = int(self.match(_NUMBER, "number"))
        if value > 0xFFFFFFFF:
            raise self.error("number below 2**32")
        return value

    def nz_number(self) -> int:
        """1 … 2**32-1; without leading zeros (RFC 3501 §9)."""
        if self.peek() == b"0":
            raise self.error("number above 0")
        return self.number()

    def number64(self) -> int:
        """0 … 2**63-1 (RFC 9051 §9)."""
        value = int(self.match(_NUMBER64, "number"))
        if value > 0x7FFFFFFFFFFFFFFF:
            raise self.error("number below 2**63")
        return value

    def quoted(self) -> bytes:
        """A quoted string, its escapes undone."""
        found = _QUOTED.match(self.line, self.at)
        if found is None:
            raise self.error("quoted string")
        self.at = found.end()
        text = found[1]
        return _ESCAPED.sub(rb"\1", text) if b"\\" in text else text

    def string(self) -> bytes:
        """A quoted string or a literal. Raises Incomplete where the literal's bytes have not come."""
        first = self.peek()
        if first == b'"':
            return self.quoted()
        if first == b"{":
            return self.literal()
        raise self.error("string")

    def literal(self) -> bytes:
        """A literal that has come. Raises Incomplete when it has not."""
        found = _LITERAL.match(self.line, self.at)
        if found is None:
            raise self.error("literal")
        if self._next == len(self._literals):
            raise Incomplete
        self.at = found.end()
        self._next += 1
        content = self._literals[self._next - 1]
        # RFC 3501 §4.3.1: a NUL may stand in no literal of an ordinary argument.
        if b"\0" in content:
            raise BadValue("literal", b"", "NUL")
        return content

    def announced(self) -> Announced:
        """A literal whose bytes are going to be streamed; it is the last thing of what has come."""
        found = _LITERAL.match(self.line, self.at)
        if found is None or found.end() != len(self.line):
            raise self.error("literal")
        if self._next < len(self._literals):
            raise self.error("streamed literal")
        self.at = found.end()
        return Announced(int(found[1]), not found[2])

    def astring(self) -> bytes:
        """An atom, which may hold "]", or a string."""
        found = _ASTRING.match(self.line, self.at)
        if found is None:
            return self.string()
        self.at = found.end()
        return found[0]

    def list_mailbox(self) -> bytes:
        """A mailbox pattern of LIST: an astring in which % and * may stand bare."""
        found = _LIST_MAILBOX.match(self.line, self.at)
        if found is None:
            return self.string()
        self.at = found.end()
        return found[0]

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        return None if self.skip(b"NIL") else self.string()

    def open(self) -> None:
        """A left parenthesis; at most MAX_NESTING in one another."""
        self.expect(b"(")
        self.more()
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise BadValue("list", b"", f"more than {MAX_NESTING} in one another")

    def close(self) -> None:
        """The right parenthesis that belongs to the last open()."""
        self.expect(b")")
        self._depth -= 1


def quote(text: bytes) -> bytes:
    """A quoted string. text: no NUL, CR, LF and no byte above 127."""
    if _TO_ESCAPE.search(text):
        text = _TO_ESCAPE.sub(rb"\\\g<0>", text)
    return b'"%b"' % text


def string(text: bytes) -> bytes:
    """A quoted string where its grammar allows, else a literal; NUL cannot be said and is left out (RFC 3501 §9)."""
    if len(text) > _LONGEST_QUOTED or _NEEDS_LITERAL.search(text):
        text = text.replace(b"\0", b"")
        return b"{%d}\r\n%b" % (len(text), text)
    return quote(text)


def nstring(text: bytes | None) -> bytes:
    """A string, or NIL for None."""
    return b"NIL" if text is None else string(text)


def astring(text: bytes) -> bytes:
    """The shortest form that every client reads: an atom where possible, else a string. NIL is quoted."""
    if _PLAIN_ATOM.fullmatch(text) and text.upper() != b"NIL":
        return text
    return string(text)

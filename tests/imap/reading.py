"""A strict reader of server responses, for tests only: it knows the grammar of RFC 3501 §9 and forgives nothing."""

from __future__ import annotations

import re

Value = bytes | None | int | list["Value"]

_NUMBER = re.compile(rb"[0-9]{1,20}(?=[ )])")
_QUOTED = re.compile(rb'"((?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*)"')
_LITERAL = re.compile(rb"\{([0-9]{1,10})\}\r\n")
_ATOM = re.compile(rb"\\?[^\x00-\x20\x7f-\xff(){%*\"\\]+|\\\*")


class NotAResponse(AssertionError):
    """The bytes break the grammar."""


def read_value(raw: bytes, at: int = 0) -> tuple[Value, int]:
    """One value of a response: a list, NIL (None), number, string or atom, and where it ends."""
    stack: list[list[Value]] = []
    while True:
        value: Value
        if raw[at : at + 1] == b"(":
            stack.append([])
            at += 1
            if raw[at : at + 1] != b")":
                continue
            at += 1
            value = list(stack.pop())
        elif number := _NUMBER.match(raw, at):
            value, at = int(number[0]), number.end()
        elif quoted := _QUOTED.match(raw, at):
            value, at = re.sub(rb'\\(["\\])', rb"\1", quoted[1]), quoted.end()
        elif literal := _LITERAL.match(raw, at):
            at = literal.end() + int(literal[1])
            value = raw[literal.end() : at]
            if len(value) != int(literal[1]) or b"\0" in value:
                raise NotAResponse(raw)
        elif atom := _ATOM.match(raw, at):
            at = atom.end()
            value = None if atom[0] == b"NIL" else atom[0]
        else:
            raise NotAResponse(raw[at : at + 60])
        while stack:
            stack[-1].append(value)
            if raw[at : at + 1] == b" ":
                at += 1
                break
            if raw[at : at + 1] == b"(":
                break  # lists may stand side by side: addresses, the parts of a multipart
            if raw[at : at + 1] != b")":
                raise NotAResponse(raw[at : at + 60])
            at += 1
            value = list(stack.pop())
        else:
            return value, at


def read_all(raw: bytes) -> Value:
    """One value and nothing behind it."""
    value, at = read_value(raw)
    if at != len(raw):
        raise NotAResponse(raw[at : at + 60])
    return value

"""The forms of header fields and body that a signature is made over, "simple" and "relaxed".

Pure. A body is hashed piece by piece as it comes and is never held; work and memory do not depend on how it is cut.
Octets are taken as they went over the wire: a bare CR or LF in a body is content.
Source: RFC 6376 §3.4, RFC 6376 §3.7, RFC 6376 §5.4.2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ekiden.base.search import holds
from ekiden.mail.headers import Headers

_PIECE = 128 << 10
_SHORT = 16 << 10
_UNSHARED = 2047
_WSP = re.compile(rb"[ \t]+")
_FOLD = re.compile(rb"\r?\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FIRST_TAG = re.compile(rb"[ \t\r\n]*+b[ \t\r\n]*+=")
_LATER_TAG = re.compile(rb";[ \t\r\n]*+b[ \t\r\n]*+=")
_HASHES = {"sha256": hashlib.sha256, "sha1": hashlib.sha1}


def _is_odd(text: bytes) -> bool:
    """Whether it has white space that is neither WSP nor a line end: what split() would take for it."""
    return b"\x0b" in text or b"\x0c" in text or text.count(b"\r") != text.count(b"\r\n")


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """One field in relaxed form, with its CRLF (RFC 6376 §3.4.2). value: all after the colon, folded or not."""
    if _is_odd(value):
        value = _WSP.sub(b" ", _FOLD.sub(b"", value)).strip(b" ")
    else:
        value = b" ".join(value.split())  # the white space that is left is WSP and folds
    return b"%b:%b\r\n" % (name.lower(), value)


def simple_field(whole: bytes) -> bytes:
    """One field as it stood, with its CRLF (RFC 6376 §3.4.1); a bare LF, which no wire brings, becomes CRLF."""
    if not whole.endswith(b"\n"):
        whole += b"\r\n"
    return whole if whole.count(b"\n") == whole.count(b"\r\n") else _BARE_LF.sub(b"\r\n", whole)


def without_signature(field_or_value: bytes) -> bytes:
    """The value of a signature field with the value of its b= taken out, all else as it stood (RFC 6376 §3.7)."""
    tag = _FIRST_TAG.match(field_or_value) or _LATER_TAG.search(field_or_value)
    if tag is None:
        return field_or_value
    begin = tag.end()
    end = field_or_value.find(b";", begin)
    return field_or_value[:begin] + (field_or_value[end:] if end >= 0 else b"")


@dataclass(slots=True)
class SignedFields:
    """The fields of one header as signatures see them; each form is made once, for all signatures of a message."""

    headers: Headers
    _places: dict[bytes, list[int]] = field(default_factory=dict, init=False, repr=False)
    _relaxed: dict[int, bytes] = field(default_factory=dict, init=False, repr=False)
    _whole: tuple[bytes, ...] = field(default=(), init=False, repr=False)
    _even: bool = field(default=False, init=False, repr=False)  # no field has other white space than blanks, tabs and folds

    def __post_init__(self) -> None:
        for place, (name, _) in enumerate(self.headers.fields):
            self._places.setdefault(name.lower(), []).append(place)
        block = self.headers.block
        self._even = bool(block) and not _is_odd(block)

    def pick(self, names: Iterable[bytes], *, relaxed: bool, without: int | None = None) -> list[bytes]:
        """The fields that h= names, in its order, each in its form (RFC 6376 §5.4.2).

        names: in lower case. A name that comes again means the next field above; one that has no field any more gives
        nothing. without: the place of the signature itself, which is never one of them.
        """
        used: dict[bytes, int] = {}
        picked = []
        form = self.relaxed_at if relaxed else self.simple_at
        for name in filter(self._places.__contains__, names):
            places = self._places[name]
            before = used.get(name, 0)
            if before < len(places) and places[-1 - before] == without:
                before += 1
            if before < len(places):
                picked.append(form(places[-1 - before]))
                before += 1
            used[name] = before
        return picked

    def signature_at(self, place: int, *, relaxed: bool) -> bytes:
        """The signature field with this index as it stands at the end of what it signs; see signature_field()."""
        if relaxed:
            return signature_field(*self.headers.fields[place], relaxed=True)
        name, _, value = self.simple_at(place).partition(b":")
        return signature_field(name, value[:-2], relaxed=False)

    def relaxed_at(self, place: int) -> bytes:
        """The relaxed form of the field with this index, with its CRLF."""
        form = self._relaxed.get(place)
        if form is None:
            name, value = self.headers.fields[place]
            form = b"%b:%b\r\n" % (name.lower(), b" ".join(value.split())) if self._even else relaxed_field(name, value)
            self._relaxed[place] = form
        return form

    def simple_at(self, place: int) -> bytes:
        """The simple form of the field with this index, with its CRLF."""
        if not self._whole:
            self._whole = self.headers.whole()
        return simple_field(self._whole[place])


def signature_field(name: bytes, value: bytes, *, relaxed: bool) -> bytes:
    """How a signature field stands at the end of what it signs: in its form, b= empty, no CRLF (RFC 6376 §3.7)."""
    bare = without_signature(value)
    return relaxed_field(name, bare)[:-2] if relaxed else simple_field(b"%b:%b" % (name, bare))[:-2]


class BodyHash:
    """The hash of a body in one form, fed piece by piece.

    limit: the l= of a signature, how many octets of the form are hashed; None for all of them.
    """

    __slots__ = ("_hash", "_held", "_lines", "_relaxed", "length", "limit")

    def __init__(self, *, relaxed: bool = True, limit: int | None = None, algorithm: str = "sha256") -> None:
        self._hash = _HASHES[algorithm]()
        self._relaxed = relaxed
        self._held = b""  # what the next piece decides about: at most a space and a CR
        self._lines = 0  # empty lines, and the end of the line before them, that count only if something follows
        self.limit = limit
        self.length = 0
        """How many octets the form has so far, hashed or not; final after digest()."""

    def update(self, raw: bytes, at: int = 0) -> None:
        """The next octets of the body, raw from offset at; of any length, cut anywhere."""
        if not at and len(raw) <= _PIECE:
            self._take(raw)
        else:
            for begin in range(at, len(raw), _PIECE):
                self._take(raw[begin : begin + _PIECE])

    def digest(self) -> bytes:
        """The hash. The body has ended: nothing may be added and this is called once."""
        if self._held:
            self._put(self._held)
        if self.length or not self._relaxed:
            self._count(b"\r\n")
        return self._hash.digest()

    def _take(self, raw: bytes) -> None:
        text = self._held + raw if self._held else raw
        if self._relaxed and (b" " in text or b"\t" in text):
            text = _reduced(text)
        end = len(text)
        if text.endswith(b"\r"):
            end -= 1
        if self._relaxed and text.endswith(b" ", 0, end):
            end -= 1
        self._held = text[end:]
        content = text[:end] if self._held else text
        if content.endswith(b"\r\n"):
            content, lines = _without_last_lines(content)
            if content:
                self._put(content)
            self._lines += lines
        elif content:
            self._put(content)

    def _put(self, content: bytes) -> None:
        """Content after which the lines that were waited with count. It does not end in CRLF."""
        while self._lines:
            some = min(self._lines, _PIECE)
            self._count(b"\r\n" * some)
            self._lines -= some
        self._count(content)

    def _count(self, form: bytes) -> None:
        if self.limit is None:
            self._add(form)
        elif self.length < self.limit:
            self._add(form[: self.limit - self.length])
        self.length += len(form)

    def _add(self, form: bytes) -> None:
        """To the hash. What is short goes in pieces for which hashlib keeps the interpreter: waiting to get it back costs more."""
        if _UNSHARED < len(form) <= _SHORT:
            for at in range(0, len(form), _UNSHARED):
                self._hash.update(form[at : at + _UNSHARED])
        else:
            self._hash.update(form)


def _reduced(text: bytes) -> bytes:
    """White space in lines made one space, none before CRLF (RFC 6376 §3.4.4). All of it is work on whole pieces."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    if holds(text, b"  "):
        for run in (b" " * 64, b" " * 8):  # so that long runs need few rounds
            text = text.replace(run, b" ")
        while holds(text, b"  "):
            text = text.replace(b"  ", b" ")
    return text.replace(b" \r\n", b"\r\n") if holds(text, b" \r\n") else text


def _without_last_lines(text: bytes) -> tuple[bytes, int]:
    """What stands before the CRLFs at the end, and how many they are."""
    head = text.rstrip(b"\r\n")
    if len(text) - len(head) == 2:
        return head, 1
    # A bare CR or LF among them is content: pair them from the left, as a reader does.
    tail = text[len(head) :]
    kept = len(tail.replace(b"\r\n", b"\0\0").rstrip(b"\0"))
    return text[: len(head) + kept], (len(tail) - kept) // 2

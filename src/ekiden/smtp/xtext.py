"""xtext: the form in which parameters of MAIL and RCPT carry any printable text.

Source: RFC 3461 §4.
"""

from __future__ import annotations

import re

from ekiden.base.errors import BadValue

_XTEXT = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEX = re.compile(rb"\+([0-9A-F]{2})")
_PRINTABLE = re.compile(rb"[ -~]*")
_PLAIN = re.compile(r"[^!-*,-<>-~]")
_LIMIT = 500


def decode_xtext(raw: bytes) -> str:
    """Undo xtext.

    raw: one parameter value, at most 500 bytes; "+" begins two upper-case hex digits.
    Raises BadValue for anything else, also for a control character or a byte above 126 that hides behind a "+".
    """
    if len(raw) > _LIMIT or not _XTEXT.fullmatch(raw):
        raise BadValue("xtext", raw)
    text = _HEX.sub(lambda m: bytes([int(m[1], 16)]), raw)
    if not _PRINTABLE.fullmatch(text):
        raise BadValue("xtext", raw, "hidden control character")
    return text.decode("ascii")


def encode_xtext(text: str) -> str:
    """The xtext form of printable ASCII. Raises BadValue for other text."""
    if not text.isascii() or not text.isprintable():
        raise BadValue("text for xtext", text)
    return _PLAIN.sub(lambda m: f"+{ord(m[0]):02X}", text)

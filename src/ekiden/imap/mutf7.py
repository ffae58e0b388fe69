"""Mailbox names of IMAP4rev1 on the wire: modified UTF-7, read strictly.

There is one spelling of each name; all others are refused, so that two names on the wire are never one in the store.
Source: RFC 3501 §5.1.3, RFC 2152.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error

from ekiden.base.errors import BadValue

_PLAIN = re.compile(rb"[\x20-\x25\x27-\x7e]*")
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_OTHERS = re.compile(r"[^\x20-\x7e]+|&")


def decode_mutf7(raw: bytes) -> str:
    """A name from the wire. Raises BadValue for 8-bit bytes, controls, and every spelling but the canonical one."""
    if _PLAIN.fullmatch(raw):
        return raw.decode("ascii")
    pieces: list[str] = []
    at = 0
    while at < len(raw):
        plain = _PLAIN.match(raw, at)
        if plain is not None and plain.end() > at:
            pieces.append(plain[0].decode("ascii"))
            at = plain.end()
            continue
        shifted = _SHIFTED.match(raw, at)
        if shifted is None:
            raise BadValue("mailbox name", raw, "not modified UTF-7")
        pieces.append(_unshift(shifted[1], raw))
        at = shifted.end()
    name = "".join(pieces)
    if encode_mutf7(name) != raw:
        raise BadValue("mailbox name", raw, "not the canonical modified UTF-7")
    return name


def _unshift(coded: bytes, raw: bytes) -> str:
    if not coded:
        return "&"
    try:
        units = b64decode(coded.replace(b",", b"/") + b"=" * (-len(coded) % 4), validate=True)
        return units.decode("utf-16-be")
    except (Base64Error, UnicodeDecodeError) as error:
        raise BadValue("mailbox name", raw, "not modified UTF-7") from error


def encode_mutf7(name: str) -> bytes:
    """A name for the wire. name: no lone surrogates (BadValue)."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    try:
        return _OTHERS.sub(_shift, name).encode("ascii")
    except UnicodeEncodeError as error:
        raise BadValue("mailbox name", name.encode("utf-8", "backslashreplace"), "lone surrogate") from error


def _shift(found: re.Match[str]) -> str:
    if found[0] == "&":
        return "&-"
    coded = b64encode(found[0].encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
    return f"&{coded.decode('ascii')}-"

"""Making a message: fields, addresses and a text, for what the house itself has to say.

Nothing that a caller passes in can end a field or begin another one. Lines end in CRLF and are at most 998 octets long.
Source: RFC 5322 §2.1.1, RFC 5322 §3.6, RFC 2045 §6, RFC 2047 §5.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.mail.address import Path, format_path
from ekiden.mail.encodings import encode_words
from ekiden.mail.trace import date_time

LINE_MAX = 998
"""Octets of a line without its CRLF (RFC 5322 §2.1.1)."""

_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\- ]*")
_TO_QUOTE = re.compile(r'(["\\])')
_ID = re.compile(r"[!-;=?-~]{1,200}")
_LINE_END = re.compile(r"\r\n|\r|\n|\x0b|\x0c|\x1c|\x1d|\x1e|\x85|\u2028|\u2029")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f]")
_ADDRESS_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BASE64_LINE = 57  # octets that make a line of 76 characters (RFC 2045 §6.8)


def field(name: str, text: str) -> bytes:
    """One unstructured field with its CRLF; encoded words where the text needs them. Raises BadValue for a bad name."""
    if not _FIELD_NAME.fullmatch(name):
        raise BadValue("field name", name)
    return name.encode("ascii") + b": " + encode_words(text) + b"\r\n"


def address_field(name: str, addresses: Sequence[tuple[str, Path]]) -> bytes:
    """From, To, Cc …: pairs of a display name ("" for none) and an address, one a line. Raises BadValue for a bad name.

    An address outside ASCII stands there in UTF-8 (RFC 6532 §3.2); the message then needs SMTPUTF8.
    """
    if not _FIELD_NAME.fullmatch(name):
        raise BadValue("field name", name)
    return name.encode("ascii") + b": " + b",\r\n ".join(_mailbox(shown, path) for shown, path in addresses) + b"\r\n"


def id_field(name: str, *ids: str) -> bytes:
    """Message-ID, In-Reply-To, References: ids without angle brackets. Raises BadValue for one that is none."""
    for each in ids:
        if not _ID.fullmatch(each):
            raise BadValue("message id", each)
    return f"{name}: ".encode("ascii") + b"\r\n ".join(f"<{each}>".encode("ascii") for each in ids) + b"\r\n"


def text_part(text: str) -> bytes:
    """A text/plain part in UTF-8, its header, an empty line and its body; 7bit where it can be, else base64."""
    body = _LINE_END.sub("\r\n", _CONTROL.sub("\ufffd", text)).encode("utf-8", "replace")
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    if body.isascii() and max(map(len, body.split(b"\r\n"))) <= LINE_MAX:
        return head + b"7bit\r\n\r\n" + body
    lines = [binascii.b2a_base64(body[at : at + _BASE64_LINE], newline=False) for at in range(0, len(body), _BASE64_LINE)]
    return head + b"base64\r\n\r\n" + b"\r\n".join(lines) + b"\r\n"


def compose(
    *,
    sender: Path,
    to: Sequence[Path],
    subject: str,
    text: str,
    at: Millis,
    message_id: str,
    sender_name: str = "",
    extra: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A whole message of one text, with CRLF line ends.

    message_id: without angle brackets. extra: more unstructured fields, name and text. Raises BadValue for a field name, an
    id or an address that cannot stand in a header.
    """
    head = [
        address_field("From", [(sender_name, sender)]),
        address_field("To", [("", path) for path in to]) if to else b"To: undisclosed-recipients:;\r\n",
        field("Subject", subject),
        f"Date: {date_time(at)}\r\n".encode("ascii"),
        id_field("Message-ID", message_id),
        *[field(name, value) for name, value in extra],
        b"MIME-Version: 1.0\r\n",
    ]
    return b"".join(head) + text_part(text)


def _mailbox(shown: str, path: Path) -> bytes:
    address = format_path(path)
    if _ADDRESS_CONTROL.search(address):
        raise BadValue("mailbox", address, "control character")
    raw = address.encode("utf-8")
    if not shown:
        return raw if address else b"<>"
    return _phrase(shown) + b" <" + raw + b">"


def _phrase(shown: str) -> bytes:
    """A display name: atoms, a quoted string or encoded words (RFC 5322 §3.2.5, RFC 2047 §5 (3))."""
    clean = _ADDRESS_CONTROL.sub(" ", shown)[:200]
    if not clean.isascii() or "=?" in clean:
        return encode_words(clean)
    if _ATOMS.fullmatch(clean):
        return clean.encode("ascii")
    return b'"' + _TO_QUOTE.sub(r"\\\1", clean).encode("ascii") + b'"'

"""What a submission server mends in a message before it goes out: Date, Message-ID, Bcc.

Added fields go on top, into the message's prefix; Bcc fields are cut out of the content, for every recipient.
Source: RFC 6409 §8, RFC 5322 §3.6.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId, id_text
from ekiden.mail.headers import Headers
from ekiden.mail.trace import date_time


@dataclass(frozen=True, slots=True)
class Mended:
    """prefix: fields to put on top. raw: the content, perhaps shorter. amended: what was done, in words for the journey."""

    prefix: bytes
    raw: bytes
    amended: tuple[str, ...]


def mend(raw: bytes, headers: Headers, id: EnvelopeId, now: Millis, hostname: str) -> Mended:
    """Complete one submitted message. raw has CRLF line ends."""
    prefix = b""
    amended: list[str] = []
    if headers.first(b"message-id") is None:
        prefix += f"Message-ID: <{id_text(id)}@{hostname}>\r\n".encode("ascii")
        amended.append("+Message-ID")
    if headers.first(b"date") is None:
        prefix += f"Date: {date_time(now)}\r\n".encode("ascii")
        amended.append("+Date")
    if headers.first(b"bcc") is not None or headers.first(b"resent-bcc") is not None:
        raw = without(raw, headers, (b"bcc", b"resent-bcc"))
        amended.append("-Bcc")
    return Mended(prefix, raw, tuple(amended))


def without(raw: bytes, headers: Headers, names: tuple[bytes, ...]) -> bytes:
    """The content without the header fields of these names (lower case)."""
    kept = [whole for (name, _), whole in zip(headers.fields, headers.whole(), strict=False) if name.lower() not in names]
    return b"".join(kept) + raw[len(headers.block) :]

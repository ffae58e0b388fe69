"""What is computed once about a message, at its arrival, so that reading it later costs nothing.

Source: house.md §6 (A6, A8).
"""

from __future__ import annotations

from typing import NamedTuple

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.imap.structure import body_structure, envelope
from ekiden.mail.encodings import decode_words
from ekiden.mail.envelope import Blob
from ekiden.mail.fields import first_message_id, parse_date
from ekiden.mail.headers import Headers, parse_headers
from ekiden.mail.mime import encode_parts, parse_message
from ekiden.mail.trace import count_received
from ekiden.store.messages import NewMessage

_SUBJECT_CHARACTERS = 1000
_MESSAGE_ID_CHARACTERS = 998


class Analysis(NamedTuple):
    """The facts of one message. body_at: where the body begins in the content. hops: how many Received fields it came with."""

    headers: Headers
    body_at: int
    hops: int
    message_id: str
    subject: str
    sent_at: Millis | None
    envelope: bytes
    structure: bytes
    parts: bytes


def analyse(raw: bytes, top: int = 0, lines: int | None = None) -> Analysis:
    """Read a message as it came, CRLF line ends. Never raises for its content; linear in its size.

    top: how many of the first bytes are header fields that we have put on top; they count for what readers see (ENVELOPE),
    but not for the offsets into the content. lines: how many line feeds raw has, where that is known and top is 0.
    """
    headers = parse_headers(raw)
    content = raw[top:] if top else raw
    tree = parse_message(content, None if top else headers, lines)
    subject = headers.first(b"subject")
    message_id = headers.first(b"message-id")
    date = headers.first(b"date")
    return Analysis(
        headers,
        headers.body_at - top,
        count_received(headers),
        first_message_id(message_id)[:_MESSAGE_ID_CHARACTERS] if message_id is not None else "",
        decode_words(subject)[:_SUBJECT_CHARACTERS] if subject is not None else "",
        parse_date(date) if date is not None else None,
        envelope(headers),
        body_structure(tree, content),
        encode_parts(tree),
    )


def new_message(
    id: EnvelopeId, analysis: Analysis, blob: Blob, inline: bytes | None, *, sender: str | None, prefix: bytes, received_at: Millis
) -> NewMessage:
    """The row that keeps a message. sender: None for what no envelope brought (IMAP APPEND)."""
    return NewMessage(
        id=id,
        blob=blob,
        inline=inline,
        sender=sender,
        prefix=prefix,
        received_at=received_at,
        header_bytes=analysis.body_at,
        message_id=analysis.message_id,
        subject=analysis.subject,
        sent_at=analysis.sent_at,
        envelope=analysis.envelope,
        structure=analysis.structure,
        parts=analysis.parts,
    )

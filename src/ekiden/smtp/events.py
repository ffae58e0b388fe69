"""What the server machine tells its session: the questions that need judgement, and some news.

An event whose docstring says "Answer:" is a question to be answered by the methods of SmtpServer that it names; until then no
further event comes. Hello, MailFrom and RcptTo are made by the grammar in smtp/commands.py.
Source: RFC 5321 §4.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.smtp.commands import Hello, MailFrom, RcptTo
from ekiden.smtp.replies import Reply

__all__ = [
    "AuthResponse", "AuthStart", "BodyChunk", "BodyEnd", "DataStart", "Hello", "MailFrom", "Quit", "RcptTo", "Refused", "Reset",
    "ServerEvent", "StartTls",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class DataStart:
    """The peer wants to send the message. Answer: accept() (354) or answer() with a refusal, which ends the transaction."""


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """A piece of content, dot-stuffing undone; never empty. Needs no answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The message is complete. size: bytes of content, also of what was thrown away; lines: how many lines it has.

    problem: where not None, nothing may be stored and this is the reply to give.
    Answer: answer(); in LMTP answer_recipient() once for each accepted recipient, or answer() for all of them.
    """

    size: int
    problem: Reply | None
    lines: int = 0


@dataclass(frozen=True, slots=True)
class AuthStart:
    """AUTH with a mechanism that was offered. initial: decoded initial response, None where there was none.

    Answer: challenge(), accept() (235) or answer().
    """

    mechanism: str
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """What the peer answered to a challenge, decoded. Answer: as AuthStart.

    data is None where the exchange is over (cancelled, or not base64) and has been answered: then no answer is needed.
    """

    data: bytes | None


@dataclass(frozen=True, slots=True)
class StartTls:
    """The peer wants TLS. Answer: accept() (220), then look at wants_close, start the handshake, call secured(); or answer()."""


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET ended a transaction. Needs no answer."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The peer said goodbye and has been answered. Needs no answer."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The machine itself has refused a line. line: printable, without secrets. Needs no answer."""

    line: str
    reply: Reply


ServerEvent = (
    Hello | MailFrom | RcptTo | DataStart | BodyChunk | BodyEnd | AuthStart | AuthResponse | StartTls | Reset | Quit | Refused
)

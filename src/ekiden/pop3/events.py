"""What the POP3 machine asks its session, and what it is told: the maildrop, why something cannot be done.

Source: RFC 1939, RFC 2449 §8, RFC 3206.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Maildrop:
    """The messages of one session, which do not change while it lasts (RFC 1939 §4).

    sizes: in bytes, as the client will get them. ids: 1 to 70 characters from 0x21 to 0x7E, never used twice (RFC 1939 §7).
    """

    sizes: Sequence[int]
    ids: Sequence[str]


class Trouble(Enum):
    """Why something cannot be done, as a response code (RFC 2449 §8, RFC 3206)."""

    IN_USE = "[IN-USE] "
    WRONG = "[AUTH] "
    NOT_NOW = "[SYS/TEMP] "
    NEVER = "[SYS/PERM] "
    NO_CODE = ""


@dataclass(frozen=True, slots=True)
class Login:
    """USER and PASS. Answer: open() or refuse()."""

    name: str
    password: bytes

    def __repr__(self) -> str:
        return f"Login({self.name!r}, …)"


@dataclass(frozen=True, slots=True)
class AuthStart:
    """AUTH. initial: the decoded initial response, or None. Answer: challenge(), open() or refuse()."""

    mechanism: str
    initial: bytes | None

    def __repr__(self) -> str:
        return f"AuthStart({self.mechanism!r}, …)"


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's answer to a challenge; None: it gave up, which the machine has answered. Answer otherwise as AuthStart."""

    data: bytes | None

    def __repr__(self) -> str:
        return "AuthResponse(…)"


@dataclass(frozen=True, slots=True)
class StartTls:
    """STLS. Answer: accept_tls(), then, after the handshake, secured(); or refuse()."""


@dataclass(frozen=True, slots=True)
class Retrieve:
    """RETR, or TOP where lines is not None. index: 0 for the first message.

    Answer: begin_message(), send() for each piece, end_message(); or refuse().
    """

    index: int
    lines: int | None


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT after sign-in. deleted: indexes of the messages to remove, ascending. Answer: goodbye()."""

    deleted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """The machine has answered a command of a signed-in client by itself; needs no answer."""

    command: str


@dataclass(frozen=True, slots=True)
class MoreToSend:
    """Much output has gathered; needs no answer, but is to be sent before the next event is asked for."""


Pop3Event: TypeAlias = Login | AuthStart | AuthResponse | StartTls | Retrieve | Quit | Answered | MoreToSend

"""Proving who one is, by messages whose form a mechanism defines and which any protocol can carry.

A Mechanism is one exchange under way, on the server's side: it is given what the client sent, and says either what to send
back or what the client claims. It does not judge: whether name and password belong together is for services.login.
Pure: no clock, no store. The protocols (SMTP, IMAP, POP3) carry the messages as base64 lines; decode_line() reads these.
Source: RFC 4422 §3, §5; RFC 4954 §4, RFC 5034 §4, RFC 9051 §6.2.2 for the lines.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ekiden.base.errors import BadValue

MOST_BYTES = 9_216
"""The longest message of an exchange: a line of 12,288 bytes carries no more (RFC 4954 §4.6)."""

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the client is to hear next; text may be empty."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """What the client claims, at the end of an exchange.

    name: whose password it is (RFC 4422 calls it the authentication identity). acting_as: as whom it wants to act, "" for
    itself. Neither is prepared yet, see ekiden.sasl.names; password is never shown.
    """

    name: str
    password: bytes = field(repr=False)
    acting_as: str = ""


class Mechanism(Protocol):
    """One exchange, from the server's side."""

    name: str

    def step(self, response: bytes | None) -> Challenge | Proof:
        """Take the client's message; None where it has sent none yet (no initial response).

        Raises BadValue if the message is not in the mechanism's form: the exchange is over then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Offer:
    """A mechanism that can be begun. name: upper case (RFC 4422 §3.1). needs_tls: it shows the password to who listens."""

    name: str
    begin: Callable[[], Mechanism]
    needs_tls: bool


def decode_line(line: bytes) -> bytes:
    """The message in a line of base64, without its line end.

    Raises BadValue for anything that encoding would not give back exactly: blanks, padding in the middle, stray bits.
    """
    if len(line) > MOST_BYTES // 3 * 4 or not _BASE64.fullmatch(line):
        raise BadValue("base64 line", because="not canonical base64")
    message = b64decode(line, validate=True)
    if b64encode(message) != line:
        raise BadValue("base64 line", because="bits are set that stand for nothing")
    return message


def decode_initial(argument: bytes | None) -> bytes | None:
    """The initial response of an AUTH command: "=" is the empty message, a missing argument is none (RFC 4954 §4)."""
    if argument is None:
        return None
    return b"" if argument == b"=" else decode_line(argument)


def encode_line(message: bytes) -> bytes:
    """A message as base64."""
    return b64encode(message)

"""What a policy may say about a connection, a sender, a recipient or a message.

`None` instead of a verdict means "no opinion".
Source: house.md §8.
"""

from __future__ import annotations

from dataclasses import dataclass

from ekiden.mail.address import Path
from ekiden.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse for good. reply (5xx) goes to the peer, because goes to the log and the journey."""

    reply: Reply
    because: str


@dataclass(frozen=True, slots=True)
class Defer:
    """Refuse for now (4xx)."""

    reply: Reply
    because: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Accept, but file into another mailbox than INBOX."""

    because: str
    mailbox: str = "Junk"


@dataclass(frozen=True, slots=True)
class Tag:
    """One header field to put on top. field without colon, value without line ends."""

    field: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Redirect:
    """Accept, and deliver to these instead."""

    to: tuple[Path, ...]
    because: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Say yes and keep nothing: no copy, no report, no journey; a log line at level debug. At RCPT for this recipient, at the end for all.

    For addresses that machines write to and nobody reads. The sender is told that the mail was accepted, so it hears of no loss:
    where that could matter, Reject is the honest answer.
    """

    because: str


Verdict = Reject | Defer | Quarantine | Tag | Redirect | Discard

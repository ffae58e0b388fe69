"""What a policy may say about a connection, a sender, a recipient or a message.

`None` instead of a verdict means "no opinion"; several verdicts are a tuple. reasons, where a verdict has them: what added up to it.
Source: house.md §8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ekiden.base.ids import AccountId
from ekiden.mail.address import Path
from ekiden.mail.journey import Reason
from ekiden.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse for good. reply (5xx) goes to the peer, because goes to the log and the journey."""

    reply: Reply
    because: str
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Defer:
    """Refuse for now (4xx)."""

    reply: Reply
    because: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Accept, but file into another mailbox than INBOX. only: the copies of these accounts; None: every copy."""

    because: str
    mailbox: str = "Junk"
    only: frozenset[AccountId] | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Tag:
    """One header field to put on top. field without colon, value without line ends."""

    field: bytes
    value: bytes
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """Accept, and deliver to these instead: at RCPT for this recipient, at the end for all. Discard is stronger.

    Anybody may be named; what leaves is forwarded mail, as that of an alias. If none of them can be reached, the message is put off.
    """

    to: tuple[Path, ...]
    because: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Say yes and keep nothing: no copy, no report, no journey; a log line at level debug. At RCPT for this recipient, at the end for all.

    For addresses that machines write to and nobody reads. The sender is told that the mail was accepted, so it hears of no loss:
    where that could matter, Reject is the honest answer.
    """

    because: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Let it through, with something to say in the journey."""

    because: str
    reasons: tuple[Reason, ...] = ()


Verdict = Reject | Defer | Quarantine | Tag | Redirect | Discard | Pass
Said: TypeAlias = Verdict | tuple[Verdict, ...] | None
"""What a policy returns."""

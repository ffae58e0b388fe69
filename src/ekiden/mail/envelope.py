"""What SMTP says around a message: who sends, who receives, from where it came.

Source: RFC 5321 §2.3.1, RFC 3461.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag, auto

from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId, BlobId, EnvelopeId
from ekiden.mail.address import Domain, Ip, Path


class Notify(Flag):
    """When the sender wants a report (RFC 3461 §4.1); no bit set is NEVER."""

    SUCCESS = auto()
    FAILURE = auto()
    DELAY = auto()


NOTIFY_DEFAULT = Notify.FAILURE | Notify.DELAY


class Body(Enum):
    """The body type that MAIL declared (RFC 6152, RFC 3030)."""

    SEVEN = "7BIT"
    EIGHT = "8BITMIME"
    BINARY = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT. original: ORCPT as the sender wrote it, or None where there was none."""

    path: Path
    original: str | None = None
    notify: Notify = NOTIFY_DEFAULT


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is protected. peer_name only where a certificate was verified."""

    version: str
    cipher: str
    peer_name: str | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection.

    extended: it said EHLO or LHLO. listener "house" is ourselves: reports that we write.
    name: reverse DNS that also resolves forward, else None. hello: what it calls itself; never trusted.
    account: who it has proved to be. listener: "mx", "submission", "submissions", "lmtp", "imap" …
    """

    ip: Ip
    port: int
    listener: str
    name: Domain | None = None
    hello: str = ""
    tls: Tls | None = None
    account: AccountId | None = None
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """One accepted MAIL … RCPT … DATA. utf8: SMTPUTF8 is needed to pass it on. return_full: RET=FULL.

    seal_by: for which domain (A-labels) it is sealed when it leaves, "" for none.
    """

    id: EnvelopeId
    sender: Path
    recipients: tuple[Recipient, ...]
    peer: Peer
    received_at: Millis
    body: Body = Body.SEVEN
    utf8: bool = False
    return_full: bool = False
    envid: str | None = None
    seal_by: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes at rest, never changed. size in bytes; sha256 of 32 bytes."""

    id: BlobId
    size: int
    sha256: bytes

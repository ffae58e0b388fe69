"""The steps of a message's journey: what happened to it, when, in which layer, by which rule.

The steps up to the commit are one row, encoded with encode_steps(); each later step is a row of its own. The sentence
that explains a step is in the message catalogue under "journey.<step>" and is filled with the step's fields.
Every field holds something printable: bytes from a peer have been made text, with control characters escaped, before.
Source: house.md §1 (8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeAlias

import msgspec

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue


class Step(msgspec.Struct, frozen=True, tag_field="step", omit_defaults=True):
    """One thing that happened to a message. at: when, by the wall clock of the process that saw it.

    LAYER: "application", "tls", "transport" or "house" (decided inside Ekiden). PROTOCOL: who spoke ("SMTP", "DNS" …).
    RFC: the section that explains it, or "".
    """

    LAYER: ClassVar[str] = "house"
    PROTOCOL: ClassVar[str] = ""
    RFC: ClassVar[str] = ""

    at: Millis


class Connected(Step, frozen=True, tag="connected"):
    """A peer opened a connection to one of our doors."""

    LAYER: ClassVar[str] = "transport"
    PROTOCOL: ClassVar[str] = "TCP"
    RFC: ClassVar[str] = "RFC 5321 §3.1"

    ip: str
    port: int
    listener: str


class Secured(Step, frozen=True, tag="secured"):
    """TLS was agreed, inwards (outgoing=False) or with a remote host."""

    LAYER: ClassVar[str] = "tls"
    PROTOCOL: ClassVar[str] = "TLS"
    RFC: ClassVar[str] = "RFC 3207 §4"

    version: str
    cipher: str
    outgoing: bool = False
    verified: str | None = None


class Greeted(Step, frozen=True, tag="greeted"):
    """The peer said who it is: verb is EHLO, HELO or LHLO."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "SMTP"
    RFC: ClassVar[str] = "RFC 5321 §4.1.1.1"

    verb: str
    name: str


class SignedIn(Step, frozen=True, tag="signed-in"):
    """The peer proved which account it is."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "SMTP"
    RFC: ClassVar[str] = "RFC 4954 §4"

    account: str
    mechanism: str


class SenderGiven(Step, frozen=True, tag="sender-given"):
    """MAIL FROM, and what we answered. path is without angle brackets; the null path is ""."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "SMTP"
    RFC: ClassVar[str] = "RFC 5321 §4.1.1.2"

    path: str
    reply: str


class RecipientGiven(Step, frozen=True, tag="recipient-given"):
    """RCPT TO, and what we answered."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "SMTP"
    RFC: ClassVar[str] = "RFC 5321 §4.1.1.3"

    path: str
    reply: str


class ContentReceived(Step, frozen=True, tag="content-received"):
    """DATA came to its end. size in bytes, as it will be stored; message_id as the header says it."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "SMTP"
    RFC: ClassVar[str] = "RFC 5321 §4.1.1.4"

    size: int
    message_id: str = ""


class Reason(NamedTuple):
    """One of the reasons of a judgement that adds up. name: a key of the catalogue under "spam.finding". about: what was seen, or ""."""

    name: str
    points: int
    about: str = ""


class Judged(Step, frozen=True, tag="judged"):
    """A policy spoke. verdict: "pass", "reject", "defer", "quarantine", "tag" or "redirect". reasons: of a policy that adds up."""

    policy: str
    stage: str
    verdict: str
    because: str = ""
    reasons: tuple[Reason, ...] = ()


class Authenticated(Step, frozen=True, tag="authenticated"):
    """One check of where the message comes from: method is "spf", "dkim", "dmarc", "arc" or "iprev", result a word of RFC 8601 §2.7.

    about: what was checked, "smtp.mailfrom=one.test header.d=two.test"; because: why it came out so, or "".
    """

    PROTOCOL: ClassVar[str] = "DNS"
    RFC: ClassVar[str] = "RFC 8601 §2.7"

    method: str
    result: str
    about: str = ""
    because: str = ""


class Stripped(Step, frozen=True, tag="stripped"):
    """Fields that claim to be ours, and cannot be, were taken out of a message that came from outside; field: their name."""

    RFC: ClassVar[str] = "RFC 8601 §5"

    field: str
    count: int = 1


class Amended(Step, frozen=True, tag="amended"):
    """Submission completed the message; what: "Date", "Message-ID" added, "Bcc" removed."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "SMTP"
    RFC: ClassVar[str] = "RFC 6409 §8"

    what: str


class Signed(Step, frozen=True, tag="signed"):
    """We signed the message for a domain, with the key that selector names."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "DKIM"
    RFC: ClassVar[str] = "RFC 6376 §5"

    domain: str
    selector: str
    algorithm: str


class Sealed(Step, frozen=True, tag="sealed"):
    """We sealed (ARC) what leaves, for the domain that sends it on; chain: what the seals before ours were worth, a word of RFC 8601."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "ARC"
    RFC: ClassVar[str] = "RFC 8617 §5.1"

    domain: str
    selector: str
    algorithm: str
    chain: str


class SenderRewritten(Step, frozen=True, tag="sender-rewritten"):
    """The message is sent on under a sender of ours, whose bounces we pass on to the real one."""

    sender: str
    path: str


class Deposited(Step, frozen=True, tag="deposited"):
    """A copy lies in a mailbox."""

    recipient: str
    account: str
    mailbox: str
    uid: int


class Appended(Step, frozen=True, tag="appended"):
    """A client put the message into a mailbox itself; no server brought it."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "IMAP"
    RFC: ClassVar[str] = "RFC 9051 §6.3.12"

    account: str
    mailbox: str
    uid: int


class Queued(Step, frozen=True, tag="queued"):
    """A copy waits to be sent on. status: "due" or "held"; because says why it is held."""

    RFC: ClassVar[str] = "RFC 5321 §4.5.4.1"

    recipient: str
    next_hop: str
    status: str = "due"
    because: str = ""


class Committed(Step, frozen=True, tag="committed"):
    """All that 250 promises is on disk; the reply that the peer hears now."""

    RFC: ClassVar[str] = "RFC 5321 §4.2.5"

    reply: str


class Refused(Step, frozen=True, tag="refused"):
    """We did not take the message: for good (5xx), or not now (4xx). The last step of its journey; the reply that the peer hears."""

    RFC: ClassVar[str] = "RFC 5321 §4.2.5"

    reply: str


class Leased(Step, frozen=True, tag="leased"):
    """A courier took the copies for one next hop. attempt: 1 for the first try."""

    next_hop: str
    attempt: int
    recipients: int


class DnsAnswered(Step, frozen=True, tag="dns-answered"):
    """A question to the DNS and its answer, in the words of a zone file."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "DNS"
    RFC: ClassVar[str] = "RFC 5321 §5.1"

    question: str
    answer: str


class Dialled(Step, frozen=True, tag="dialled"):
    """We opened, or failed to open, a connection to a remote host. error is "" where it worked."""

    LAYER: ClassVar[str] = "transport"
    PROTOCOL: ClassVar[str] = "TCP"
    RFC: ClassVar[str] = "RFC 5321 §5.1"

    host: str
    ip: str
    port: int
    took_ms: int = 0
    error: str = ""


class RemoteReplied(Step, frozen=True, tag="remote-replied"):
    """We said something to a remote host and it answered. command without the content of the message."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "SMTP"
    RFC: ClassVar[str] = "RFC 5321 §4.2"

    host: str
    command: str
    reply: str


class Delivered(Step, frozen=True, tag="delivered"):
    """The remote host took responsibility for one recipient's copy."""

    RFC: ClassVar[str] = "RFC 5321 §4.2.5"

    recipient: str
    host: str
    reply: str


class Deferred(Step, frozen=True, tag="deferred"):
    """One recipient's copy could not be handed over yet; due_at: when it is tried again."""

    RFC: ClassVar[str] = "RFC 5321 §4.5.4.1"

    recipient: str
    because: str
    due_at: Millis


class Failed(Step, frozen=True, tag="failed"):
    """One recipient's copy will never be handed over. expired: because it waited too long."""

    RFC: ClassVar[str] = "RFC 5321 §6.1"

    recipient: str
    because: str
    expired: bool = False


class Reported(Step, frozen=True, tag="reported"):
    """A report about this message was written to its sender; report is the report's own id (base.ids.id_text)."""

    RFC: ClassVar[str] = "RFC 3464 §2"

    kind: str
    report: str


class Handled(Step, frozen=True, tag="handled"):
    """A person took the message in hand: action is "retry", "drop", "hold" or "release"."""

    action: str
    by: str


class Fetched(Step, frozen=True, tag="fetched"):
    """A reader's client fetched the message for the first time. protocol: "IMAP" or "POP3"."""

    LAYER: ClassVar[str] = "application"
    PROTOCOL: ClassVar[str] = "IMAP"
    RFC: ClassVar[str] = "RFC 9051 §6.4.5"

    account: str
    protocol: str
    client: str = ""


AnyStep: TypeAlias = (
    Connected | Secured | Greeted | SignedIn | SenderGiven | RecipientGiven | ContentReceived | Authenticated | Stripped | Judged | Amended
    | Signed | Sealed | SenderRewritten | Appended | Deposited
    | Queued | Committed | Refused | Leased | DnsAnswered | Dialled | RemoteReplied | Delivered | Deferred | Failed | Reported
    | Handled | Fetched
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[AnyStep])


def encode_steps(steps: Sequence[Step]) -> bytes:
    """The bytes of one row of the journey: a JSON list."""
    return _encoder.encode(steps)


def decode_steps(row: bytes) -> list[AnyStep]:
    """The steps of one row, in order. Raises BadValue for what encode_steps did not write."""
    try:
        return _decoder.decode(row)
    except msgspec.DecodeError as error:
        raise BadValue("journey row", row, str(error)) from error

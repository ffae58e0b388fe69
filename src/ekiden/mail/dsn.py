"""Delivery reports: written for what failed or waits, and read.

A report that is written has CRLF everywhere, says in two ways (for people, for programs) what became of each recipient, and
gives the header of the message back, or all of it where it is small and was asked for. Reading never raises.
Source: RFC 3464 §2, RFC 6522 §3, RFC 3461 §6, RFC 6533 §4, RFC 3834 §5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ekiden.base.clock import Millis
from ekiden.mail.address import Path
from ekiden.mail.compose import address_field, field, id_field, text_part
from ekiden.mail.encodings import decode_body, decode_text
from ekiden.mail.fields import first_message_id, parse_date
from ekiden.mail.headers import Headers, parse_headers, unfold
from ekiden.mail.mime import Part, parse_message, walk
from ekiden.mail.parameters import parameter
from ekiden.mail.trace import date_time

RETURNED_BYTES = 50_000
"""How much of a message a report gives back at most."""
DIAGNOSTIC_CHARACTERS = 900
RECIPIENTS_READ = 1_000

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]
"""What became of a recipient (RFC 3464 §2.3.3)."""
_ACTIONS: dict[str, Action] = {
    "failed": "failed",
    "delayed": "delayed",
    "delivered": "delivered",
    "relayed": "relayed",
    "expanded": "expanded",
}
_DEFAULT_STATUS = {"failed": "5.0.0", "delayed": "4.0.0", "delivered": "2.0.0", "relayed": "2.0.0", "expanded": "2.0.0"}

_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_UNPRINTABLE = re.compile(r"[^ -~]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_XTEXT_PAIR = re.compile(r"\+([0-9A-F]{2})")
_FOLD_AT = re.compile(r"(.{50,70}) (?=.)")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,40}")
_LONE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_EMPTY_LINE = re.compile(rb"\r?\n[ \t]*\r?\n")


@dataclass(frozen=True, slots=True)
class RecipientReport:
    """What became of one recipient (RFC 3464 §2.3).

    recipient: the address in the envelope. status: enhanced code, "5.1.1". original: ORCPT as it stood in the envelope
    ("rfc822;bob+2Btag@b.test", xtext), or None. remote_mta: the host that answered, "" where none did. diagnostic: its reply.
    last_attempt_at, will_retry_until: None where not known; the second only for what is delayed.
    """

    recipient: str
    action: Action
    status: str
    original: str | None = None
    remote_mta: str = ""
    diagnostic: str = ""
    last_attempt_at: Millis | None = None
    will_retry_until: Millis | None = None


@dataclass(frozen=True, slots=True)
class Dsn:
    """A report as it was read; what was not in it is "", None or empty.

    text: the part for people. envid: the sender's mark of the message. message_id: of the message that it is about.
    In recipients, original is "type;address" with nothing left to decode, and status is "" where there was none.
    """

    reporting_mta: str
    recipients: tuple[RecipientReport, ...]
    text: str = ""
    envid: str | None = None
    arrived_at: Millis | None = None
    message_id: str = ""


def write_dsn(
    *,
    reporting_mta: str,
    sender: Path,
    to: Path,
    message_id: str,
    at: Millis,
    subject: str,
    text: str,
    arrived_at: Millis,
    recipients: Sequence[RecipientReport],
    original: bytes,
    full: bool = False,
    envid: str | None = None,
    utf8: bool = False,
    sender_name: str = "Mail Delivery System",
) -> bytes:
    """A whole report; it must travel from the null path (RFC 3461 §6.1).

    reporting_mta: our host name. sender, sender_name: of From. message_id: of the report, without brackets.
    subject, text: for people, in whatever languages; line ends of any kind. arrived_at: when the message came to us.
    recipients: at least one. original: the message or at least its header; all of it comes back if full and it is at most
    50,000 bytes, else its header, cut there too. envid: ENVID as it stood in the envelope (xtext), or None.
    utf8: the sender's message came with SMTPUTF8, so the report may hold UTF-8 too (RFC 6533 §4). Raises BadValue as compose does.
    """
    headers = parse_headers(original)
    status = _delivery_status(reporting_mta, arrived_at, envid, recipients, utf8)
    returned = _returned(original, headers, full, utf8)
    parts = [b"Content-Description: Notification\r\n" + text_part(text), status, returned]
    is_7bit = all(part.isascii() for part in parts)
    boundary = _boundary(message_id, parts)
    reference = first_message_id(headers.first(b"message-id") or b"")
    head = [
        address_field("From", [(sender_name, sender)]),
        address_field("To", [("", to)]),
        field("Subject", subject),
        f"Date: {date_time(at)}\r\n".encode("ascii"),
        id_field("Message-ID", message_id),
        _reference(reference),
        b"Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n",
        b'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="' + boundary + b'"\r\n',
        b"" if is_7bit else b"Content-Transfer-Encoding: 8bit\r\n",
        b"\r\n",
    ]
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return b"".join(head) + body + b"--" + boundary + b"--\r\n"


def parse_dsn(raw: bytes) -> Dsn | None:
    """The report in a message, None if it is none: a multipart/report with a delivery status in it. Never raises."""
    tree = parse_message(raw)
    report = next((part for part in walk(tree) if (part.type, part.subtype) == ("multipart", "report")), None)
    if report is None:
        return None
    found = [(part, _read_status(raw, part)) for part in report.children if part.type == "message" and part.subtype in _STATUS_TYPES]
    if not found:
        return None
    # Some writers label the text for people so too: the part that names recipients is meant.
    status, (per_message, recipients) = next((each for each in found if each[1][1]), found[0])
    first = report.children[0]
    envid = per_message.first(b"original-envelope-id")
    return Dsn(
        reporting_mta=_after_type(_plain(per_message, b"reporting-mta")),
        recipients=recipients,
        text=_part_text(raw, first) if first is not status and first.type == "text" else "",
        envid=None if envid is None else _plain(per_message, b"original-envelope-id"),
        arrived_at=parse_date(per_message.text(b"arrival-date")),
        message_id=_returned_id(raw, report, status),
    )


_STATUS_TYPES = ("delivery-status", "global-delivery-status")


def _delivery_status(reporting_mta: str, arrived_at: Millis, envid: str | None, recipients: Sequence[RecipientReport], utf8: bool) -> bytes:
    lines = [f"Reporting-MTA: dns; {_printable(reporting_mta, 255)}"]
    if envid is not None:
        lines.append(f"Original-Envelope-Id: {_printable(_from_xtext(envid), 200)}")
    lines.append(f"Arrival-Date: {date_time(arrived_at)}")
    for each in recipients:
        lines += ["", *_recipient_lines(each, utf8)]
    body = "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n"
    subtype = b"global-delivery-status" if utf8 else b"delivery-status"
    encoding = b"" if body.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
    return b"Content-Description: Delivery report\r\nContent-Type: message/" + subtype + b"\r\n" + encoding + b"\r\n" + body


def _recipient_lines(report: RecipientReport, utf8: bool) -> list[str]:
    lines: list[str] = []
    if report.original is not None:
        kind, _, address = report.original.partition(";")
        if not _ADDRESS_TYPE.fullmatch(kind):
            kind, address = "rfc822", report.original
        # RFC 6533 §3: the type utf-8 has its own escapes and no xtext.
        shown = address if kind.lower() == "utf-8" else _from_xtext(address)
        lines.append(f"Original-Recipient: {_typed_address(shown, utf8, kind)}")
    lines.append(f"Final-Recipient: {_typed_address(report.recipient, utf8)}")
    lines.append(f"Action: {report.action}")
    lines.append(f"Status: {report.status if _STATUS.fullmatch(report.status) else _DEFAULT_STATUS[report.action]}")
    if report.remote_mta:
        lines.append(f"Remote-MTA: dns; {_printable(report.remote_mta, 255)}")
    if report.diagnostic:
        lines.append(_FOLD_AT.sub("\\1\r\n ", f"Diagnostic-Code: smtp; {_printable(report.diagnostic, DIAGNOSTIC_CHARACTERS).rstrip()}"))
    if report.last_attempt_at is not None:
        lines.append(f"Last-Attempt-Date: {date_time(report.last_attempt_at)}")
    if report.will_retry_until is not None and report.action == "delayed":  # RFC 3464 §2.3.9
        lines.append(f"Will-Retry-Until: {date_time(report.will_retry_until)}")
    return lines


def _typed_address(address: str, utf8: bool, kind: str = "rfc822") -> str:
    """An address with its type; one outside ASCII is of type utf-8, in the form that its surroundings can hold (RFC 6533 §3)."""
    if address.isascii():
        return f"{kind}; {_printable(address, 500)}"
    if utf8:
        return f"utf-8; {_CONTROL.sub('?', address[:500])}"
    return "utf-8; " + "".join(each if "!" <= each <= "~" and each not in "\\+=" else f"\\x{{{ord(each):02X}}}" for each in address[:80])


def _returned(original: bytes, headers: Headers, full: bool, utf8: bool) -> bytes:
    is_whole = full and len(original) <= RETURNED_BYTES
    content = original if is_whole else _header_of(headers)
    if b"\r" in content or b"\n" in content:
        content = _LONE_LINE_END.sub(b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    is_7bit = content.isascii()
    if utf8:
        kind = b"message/global" if is_whole else b"message/global-headers"
    else:
        kind = b"message/rfc822" if is_whole else b"text/rfc822-headers"
    encoding = b"" if is_7bit else b"Content-Transfer-Encoding: 8bit\r\n"
    return b"Content-Description: Undelivered message\r\nContent-Type: " + kind + b"\r\n" + encoding + b"\r\n" + content


def _header_of(headers: Headers) -> bytes:
    """The header block, cut at the end of a field."""
    if len(headers.block) <= RETURNED_BYTES:
        return headers.block
    kept: list[bytes] = []
    room = RETURNED_BYTES
    for each in headers.whole():
        room -= len(each)
        if room < 0:
            break
        kept.append(each)
    return b"".join(kept)


def _boundary(message_id: str, parts: list[bytes]) -> bytes:
    """A boundary that is in none of the parts, the same for the same report."""
    stem = b"report-" + re.sub(rb"[^0-9A-Za-z.-]", b".", message_id.encode("ascii", "replace"))[:40]
    number = 0
    while any(b"--" + stem + b"=%d" % number in part for part in parts):
        number += 1
    return stem + b"=%d" % number


def _reference(message_id: str) -> bytes:
    """In-Reply-To and References to the message, where its id may stand in a header (RFC 3834 §3.1.5)."""
    if not message_id or len(message_id) > 200 or _UNPRINTABLE.search(message_id) or " " in message_id:
        return b""
    return f"In-Reply-To: <{message_id}>\r\nReferences: <{message_id}>\r\n".encode("ascii")


def _printable(text: str, longest: int) -> str:
    return _UNPRINTABLE.sub("?", text[:longest])


def _from_xtext(text: str) -> str:
    return _XTEXT_PAIR.sub(lambda pair: chr(int(pair[1], 16)), text)


def _read_status(raw: bytes, part: Part) -> tuple[Headers, tuple[RecipientReport, ...]]:
    """The fields of the message and what became of each recipient."""
    blocks = _blocks(decode_body(raw[part.body_at : part.end], part.encoding))
    if not blocks:
        return Headers((), 0), ()
    return blocks[0], tuple([found for block in blocks[1:] if (found := _read_recipient(block))])


def _blocks(body: bytes) -> list[Headers]:
    """The groups of fields, divided by empty lines; empty groups are left out."""
    blocks = [parse_headers(block) for block in _EMPTY_LINE.split(body.strip(b"\r\n \t"), RECIPIENTS_READ)[: RECIPIENTS_READ + 1]]
    return [block for block in blocks if block.fields]


def _read_recipient(block: Headers) -> RecipientReport | None:
    """One group of fields; None where it names no recipient or no action of RFC 3464."""
    action = _ACTIONS.get(_plain(block, b"action").partition(" ")[0].lower())
    recipient = _after_type(_plain(block, b"final-recipient") or _plain(block, b"original-recipient"))
    if recipient.startswith("<") and recipient.endswith(">"):  # against RFC 3464 §2.3.2, and common
        recipient = recipient[1:-1]
    if action is None or not recipient:
        return None
    original = _plain(block, b"original-recipient")
    status = _STATUS.search(_plain(block, b"status"))
    return RecipientReport(
        recipient=recipient,
        action=action,
        status=status[0] if status else "",
        original=original or None,
        remote_mta=_after_type(_plain(block, b"remote-mta")),
        diagnostic=_after_type(_plain(block, b"diagnostic-code"))[: DIAGNOSTIC_CHARACTERS * 4],
        last_attempt_at=parse_date(block.text(b"last-attempt-date")),
        will_retry_until=parse_date(block.text(b"will-retry-until")),
    )


def _plain(block: Headers, name: bytes) -> str:
    text = block.text(name).decode("utf-8", "replace")
    return _CONTROL.sub(" ", text)


def _after_type(text: str) -> str:
    """ "rfc822; bob@b.test" without its type."""
    kind, semicolon, value = text.partition(";")
    return value.strip(" ") if semicolon else kind.strip(" ")


def _part_text(raw: bytes, part: Part) -> str:
    body = decode_body(raw[part.body_at : min(part.end, part.body_at + (1 << 20))], part.encoding)
    return decode_text(body, parameter(part.params, b"charset") or b"")


def _returned_id(raw: bytes, report: Part, status: Part) -> str:
    """The Message-ID in the part that gives the message or its header back."""
    for part in report.children:
        if part is status or part is report.children[0]:
            continue
        found = parse_headers(decode_body(raw[part.body_at : min(part.end, part.body_at + (1 << 20))], part.encoding))
        if (value := found.first(b"message-id")) is not None:
            return first_message_id(unfold(value))
    return ""

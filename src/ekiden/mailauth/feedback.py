"""Feedback reports about single messages: abuse that a reader complains of, and authentication that failed.

Reading never raises. What was not in a report is "", None or empty; a report without a type that we know is none.
Source: RFC 5965 §3, RFC 6591 §3, RFC 9991.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from ekiden.base.clock import Millis
from ekiden.mail.encodings import decode_body, decode_text
from ekiden.mail.fields import parse_date
from ekiden.mail.headers import Headers, parse_headers, unfold
from ekiden.mail.mime import Part, parse_message, walk
from ekiden.mail.parameters import strip_comments

TYPES = frozenset({"abuse", "auth-failure", "fraud", "not-spam", "opt-out", "other", "virus"})
FAILURES = frozenset({"adsp", "bodyhash", "revoked", "signature", "spf", "dmarc"})
DELIVERIES = frozenset({"delivered", "spam", "policy", "reject", "other"})
ALIGNED = frozenset({"none", "spf", "dkim", "dkim / spf", "dkim/spf"})

_EACH_MOST = 100
_CHARACTERS = 1000
_CANONICAL_BYTES = 1_000_000
_REPORT_BYTES = 2_000_000
_ORIGINAL_BYTES = 1_000_000
_BLANKS = re.compile(rb"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Feedback:
    """One report. type: of TYPES. version: 1. incidents: for how many messages it stands. source: an IP address or "".

    failure: of FAILURES, only for auth-failure. delivery: of DELIVERIES. aligned: of ALIGNED. canonical_header, canonical_body: as
    they were hashed, still in base64. original: the message, or its header if that is all (then not is_whole); b"" where it is not
    there. Values as written, without white space around, cut at 1000 characters.
    """

    type: str
    user_agent: str = ""
    version: int = 0
    arrived_at: Millis | None = None
    incidents: int = 1
    source: str = ""
    source_port: int = 0
    mail_from: str = ""
    recipients: tuple[str, ...] = ()
    envelope_id: str = ""
    reporting_mta: str = ""
    results: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    removal: tuple[str, ...] = ()
    failure: str = ""
    delivery: str = ""
    aligned: str = ""
    dkim_domain: str = ""
    dkim_identity: str = ""
    dkim_selector: str = ""
    dkim_key_record: str = ""
    adsp_record: str = ""
    spf_record: str = ""
    canonical_header: bytes = b""
    canonical_body: bytes = b""
    original: bytes = b""
    is_whole: bool = False


def parse_feedback(raw: bytes) -> Feedback | None:
    """The report in a mail; None if it has none."""
    report: Part | None = None
    original: Part | None = None
    for part in walk(parse_message(raw)):
        kind = f"{part.type}/{part.subtype}"
        if kind == "message/feedback-report":
            report = report or part
        elif kind in ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"):
            original = original or part
    if report is None:
        return None
    fields = parse_headers(_body(raw, report, _REPORT_BYTES) + b"\r\n\r\n")
    type = _word(fields, b"feedback-type", TYPES)
    if not type:
        return None
    return Feedback(
        type=type,
        user_agent=_text(fields, b"user-agent"),
        version=_number(fields, b"version", 0),
        arrived_at=parse_date(fields.first(b"arrival-date") or fields.first(b"received-date") or b""),
        incidents=_number(fields, b"incidents", 1),
        source=_ip(fields),
        source_port=min(_number(fields, b"source-port", 0), 65_535),
        mail_from=_text(fields, b"original-mail-from"),
        recipients=_texts(fields, b"original-rcpt-to"),
        envelope_id=_text(fields, b"original-envelope-id"),
        reporting_mta=_text(fields, b"reporting-mta").rpartition(";")[2].strip(),
        results=_texts(fields, b"authentication-results"),
        domains=tuple(each.lower() for each in _texts(fields, b"reported-domain")),
        uris=_texts(fields, b"reported-uri"),
        removal=_texts(fields, b"removal-recipient"),
        failure=_word(fields, b"auth-failure", FAILURES),
        delivery=_word(fields, b"delivery-result", DELIVERIES),
        aligned=_word(fields, b"identity-alignment", ALIGNED),
        dkim_domain=_text(fields, b"dkim-domain"),
        dkim_identity=_text(fields, b"dkim-identity"),
        dkim_selector=_text(fields, b"dkim-selector"),
        dkim_key_record=_text(fields, b"dkim-selector-dns"),
        adsp_record=_text(fields, b"dkim-adsp-dns"),
        spf_record=_text(fields, b"spf-dns"),
        canonical_header=_base64(fields, b"dkim-canonicalized-header"),
        canonical_body=_base64(fields, b"dkim-canonicalized-body"),
        original=_body(raw, original, _ORIGINAL_BYTES) if original is not None else b"",
        is_whole=original is not None and original.is_message,
    )


def _body(raw: bytes, part: Part, most: int) -> bytes:
    return decode_body(raw[part.body_at : min(part.end, part.body_at + 2 * most)], part.encoding)[:most]


def _plain(value: bytes) -> str:
    return decode_text(unfold(value)).strip()[:_CHARACTERS]


def _text(fields: Headers, name: bytes) -> str:
    value = fields.first(name)
    return _plain(value) if value is not None else ""


def _texts(fields: Headers, name: bytes) -> tuple[str, ...]:
    return tuple(_plain(value) for value in fields.all(name)[:_EACH_MOST])


def _word(fields: Headers, name: bytes, known: frozenset[str]) -> str:
    value = strip_comments(fields.first(name) or b"").strip(b" \t\r\n").lower().decode("latin-1")
    return value if value in known else ""


def _number(fields: Headers, name: bytes, default: int) -> int:
    value = strip_comments(fields.first(name) or b"").strip(b" \t\r\n")
    return int(value) if value.isdigit() and len(value) <= 9 else default


def _ip(fields: Headers) -> str:
    """Source-IP; some put the name of the host behind it in a comment."""
    try:
        return str(ip_address(strip_comments(fields.first(b"source-ip") or b"").strip(b" \t\r\n[]").decode("latin-1")))
    except ValueError:
        return ""


def _base64(fields: Headers, name: bytes) -> bytes:
    return _BLANKS.sub(b"", fields.first(name) or b"")[:_CANONICAL_BYTES]

"""Command lines of SMTP: one line in, one command or one refusal out.

Pure grammar. A line comes without its CRLF and has been checked for length only; it may hold any byte.
Source: RFC 5321 §4.1.1, §4.1.2.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from ekiden.base.errors import BadValue
from ekiden.mail.address import Path, parse_address_literal, parse_path
from ekiden.mail.envelope import Body, Recipient
from ekiden.smtp.extension import Offer, ParseValue
from ekiden.smtp.replies import (
    BAD_BASE64,
    BAD_HELLO,
    BAD_PARAMETER,
    BAD_RECIPIENT,
    BAD_SENDER,
    BAD_SYNTAX,
    UNKNOWN_PARAMETER,
    UTF8_NOT_OFFERED,
    Reply,
    printable,
)


@dataclass(frozen=True, slots=True)
class Hello:
    """The peer says who it is. verb: "EHLO", "HELO" or "LHLO". name: a domain or an address literal, never to be trusted.

    Ends any transaction. Answer: accept(), or answer() with a refusal.
    """

    verb: str
    name: str


class MailFrom(NamedTuple):
    """A transaction begins. params: values as the extensions parsed them. raw: the path as written, without brackets, printable.

    size: what SIZE= declared. Answer: answer() or accept().
    """

    path: Path
    params: Mapping[str, object]
    body: Body
    utf8: bool
    size: int | None
    raw: str


class RcptTo(NamedTuple):
    """One recipient more. raw: the path as written, without brackets, printable. Answer: answer() or accept()."""

    recipient: Recipient
    raw: str


_PATH = rb'<((?:[^\x00-\x20"<>\x7f]++|"(?:[^\x00-\x1f"\\\x7f]++|\\[\x20-\x7e])*+")*+)>'
# RFC 5321 §4.1.1.2, looser: one space after the colon and more than one before parameters are tolerated.
_MAIL = re.compile(rb"(?i:MAIL FROM:) ?" + _PATH + rb"(?: +(.+))?", re.DOTALL)
_RCPT = re.compile(rb"(?i:RCPT TO:) ?" + _PATH + rb"(?: +(.+))?", re.DOTALL)
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~]+))?")
# RFC 5321 §2.3.5, looser: underscores and single labels, which many hosts call themselves by.
_HELLO_NAME = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]*+(?:\.(?=[A-Za-z0-9_]))?)*+\.?")
_HELLO_NAME_BYTES = 255
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SHOWN_BYTES = 200
_NO_PARAMETERS: Mapping[str, object] = {}


def parse_mail(line: bytes, offer: Offer) -> MailFrom | Reply:
    """MAIL FROM, with the parameters of what is offered."""
    match = _MAIL.fullmatch(line)
    if match is None:
        return _why_bad(line, b"MAIL FROM:", BAD_SENDER)
    raw, rest = match.groups()
    path = _parse_path(raw, "reverse", BAD_SENDER)
    if isinstance(path, Reply):
        return path
    params = _NO_PARAMETERS if rest is None else _parse_parameters(rest, offer.mail_params)
    if isinstance(params, Reply):
        return params
    for check in offer.mail_checks:
        refusal = check(offer.view, params)
        if refusal is not None:
            return refusal
    body, size = params.get("BODY"), params.get("SIZE")
    return MailFrom(
        path=path,
        params=params,
        body=body if isinstance(body, Body) else Body.SEVEN,
        utf8=False,
        size=size if isinstance(size, int) else None,
        raw=printable(raw.decode("utf-8", "backslashreplace")),
    )


def parse_rcpt(line: bytes, offer: Offer) -> RcptTo | Reply:
    """RCPT TO, with the parameters of what is offered."""
    match = _RCPT.fullmatch(line)
    if match is None:
        return _why_bad(line, b"RCPT TO:", BAD_RECIPIENT)
    raw, rest = match.groups()
    path = _parse_path(raw, "forward", BAD_RECIPIENT)
    if isinstance(path, Reply):
        return path
    params = _NO_PARAMETERS if rest is None else _parse_parameters(rest, offer.rcpt_params)
    if isinstance(params, Reply):
        return params
    for check in offer.rcpt_checks:
        refusal = check(offer.view, params)
        if refusal is not None:
            return refusal
    return RcptTo(Recipient(path), printable(raw.decode("utf-8", "backslashreplace")))


def parse_hello(line: bytes) -> Hello | Reply:
    """EHLO, HELO or LHLO; the first four bytes have been looked at."""
    name = line[5:].strip(b" \t")
    if not is_hello_name(name):
        return BAD_HELLO
    return Hello(line[:4].upper().decode("ascii"), name.decode("ascii"))


def is_hello_name(name: bytes) -> bool:
    """A domain name or an address literal (RFC 5321 §4.1.1.1, §4.1.3)."""
    if not name.startswith(b"["):
        return len(name) <= _HELLO_NAME_BYTES and _HELLO_NAME.fullmatch(name) is not None
    try:
        parse_address_literal(name)
    except BadValue:
        return False
    return True


def decode_base64(raw: bytes) -> bytes:
    """Base64 in its one canonical form (RFC 4954 §4, RFC 4648 §3.5). Raises BadValue."""
    try:
        data = binascii.a2b_base64(raw, strict_mode=True)
    except binascii.Error as error:
        raise BadValue("base64", b"", str(error)) from error
    if binascii.b2a_base64(data, newline=False) != raw:
        raise BadValue("base64", b"", "not in canonical form")
    return data


def parse_initial_response(raw: bytes) -> bytes | Reply:
    """The initial response of AUTH; "=" is an empty one (RFC 4954 §4)."""
    if raw == b"=":
        return b""
    try:
        return decode_base64(raw)
    except BadValue:
        return BAD_BASE64


def holds_garbage(line: bytes) -> bool:
    """A control character or a byte above 126: no command of ours has them outside of paths."""
    return not line.isascii() or _CONTROL.search(line) is not None


def shown(line: bytes) -> str:
    """A line for logs: printable, at most 200 bytes of it, without what AUTH carries."""
    if line[:4].upper() == b"AUTH":
        line = b" ".join(line.split(b" ", 2)[:2])
    return printable(line[:_SHOWN_BYTES].decode("ascii", "backslashreplace"))


def _parse_path(raw: bytes, what: Literal["reverse", "forward"], bad: Reply) -> Path | Reply:
    if not raw.isascii():
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            return BAD_SYNTAX
        return UTF8_NOT_OFFERED
    try:
        return _known_path(raw, what)
    except BadValue:
        return bad


@lru_cache(maxsize=2048)
def _known_path(raw: bytes, what: Literal["reverse", "forward"]) -> Path:
    return parse_path(raw, utf8=False, what=what)


def _parse_parameters(rest: bytes, known: Mapping[bytes, ParseValue]) -> dict[str, object] | Reply:
    values: dict[str, object] = {}
    for word in rest.split(b" "):
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if match is None:
            return BAD_PARAMETER
        keyword = match[1].upper()
        parse = known.get(keyword)
        if parse is None:
            return UNKNOWN_PARAMETER
        name = keyword.decode("ascii")
        if name in values:
            return BAD_PARAMETER
        try:
            values[name] = parse(match[2])
        except ValueError:  # BadValue is one
            return BAD_PARAMETER
    return values


def _why_bad(line: bytes, head: bytes, bad_path: Reply) -> Reply:
    if _CONTROL.search(line) is not None or line[: len(head)].upper() != head:
        return BAD_SYNTAX
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return BAD_SYNTAX
    return bad_path

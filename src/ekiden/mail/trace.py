"""Trace fields: Received, Return-Path, and the dates in them.

Source: RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3, RFC 5322 §3.3.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ekiden.base.clock import Millis
from ekiden.mail.address import Domain, Ip, Path, format_path
from ekiden.mail.headers import Headers

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # 9999-12-31

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,253}[A-Za-z0-9])?|\[[A-Za-z0-9:.]{2,60}\]")
_UNSAFE = re.compile(r"[^ !-'*-\[\]-~]")
_WITH_MAX = 60


def date_time(at: Millis) -> str:
    """A date as header fields have it, in UTC: "Fri, 21 Nov 1997 15:55:06 +0000" (RFC 5322 §3.3)."""
    return _date_of_second(at // 1000)


@lru_cache(maxsize=64)
def _date_of_second(second: int) -> str:
    at = _EPOCH + timedelta(seconds=min(max(second, 0), _LAST_MS // 1000))
    return (
        f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year:04}"
        f" {at.hour:02}:{at.minute:02}:{at.second:02} +0000"
    )


def with_keyword(*, extended: bool, lmtp: bool = False, tls: bool = False, auth: bool = False, utf8: bool = False) -> str:
    """The protocol in a Received field: SMTP, ESMTPSA, LMTPS, UTF8SMTPA … (RFC 3848, RFC 6531 §4.3).

    extended: the peer said EHLO. After HELO there is neither TLS nor AUTH nor UTF8, so it is "SMTP".
    """
    if lmtp:
        base = "UTF8LMTP" if utf8 else "LMTP"
    elif not extended:
        return "SMTP"
    else:
        base = "UTF8SMTP" if utf8 else "ESMTP"
    return base + ("S" if tls else "") + ("A" if auth else "")


def received(
    *,
    hello: str,
    ip: Ip | None,
    name: Domain | None,
    by: str,
    with_protocol: str,
    id: str,
    at: Millis,
    for_recipient: Path | None = None,
    tls_version: str = "",
    tls_cipher: str = "",
) -> bytes:
    """One Received field, folded, with its final CRLF (RFC 5321 §4.4).

    hello: what the peer called itself; whatever cannot be a host name or literal goes into the comment, escaped.
    ip, name: where it came from and its confirmed reverse name. by: our host name. id: our id of the message.
    for_recipient: only where there is exactly one, so that no blind copy is told (RFC 5321 §7.2).
    """
    parts = [b"Received: ", _from(hello, "" if ip is None else str(ip), "" if name is None else name.ascii)]
    if tls_version:
        parts.append(_tls(tls_version, tls_cipher))
    line = f"\r\n\tby {by} with {with_protocol[:_WITH_MAX]} id {id}"
    parts.append(line.encode("ascii", "replace"))
    if for_recipient is not None:
        parts.append(f"\r\n\tfor <{format_path(for_recipient)}>".encode())
    parts.append(f"; {_date_of_second(at // 1000)}\r\n".encode("ascii"))
    return b"".join(parts)


def return_path(path: Path) -> bytes:
    """The Return-Path field of final delivery, with its CRLF (RFC 5321 §4.4)."""
    return f"Return-Path: <{format_path(path)}>\r\n".encode()


def count_received(headers: Headers) -> int:
    """How many hops a message says it has made; a hundred of them is a loop (RFC 5321 §6.3)."""
    return headers.count(b"received")


def comment(text: str, longest: int = 255) -> str:
    """Text for the inside of a comment: printable ASCII, no parenthesis and no backslash, at most longest characters."""
    return _UNSAFE.sub("?", text[:longest])


@lru_cache(maxsize=512)
def _from(hello: str, ip: str, name: str) -> bytes:
    """ "from HELLO (NAME [IP])"; a peer writes many messages, so the last ones are kept."""
    literal = "" if not ip else f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"
    address = f"{name} {literal}" if name and literal else name or literal
    if len(hello) <= 255 and _NAME.fullmatch(hello):
        said, remark = hello, address
    else:
        # RFC 5321 §4.1.1.1 asks for a domain or a literal; what else was said is kept where it can do no harm.
        said = literal or "unknown"
        remark = f"helo={comment(hello, 200)} {address}".rstrip()
    fold = "\r\n\t" if len(said) + len(remark) > 60 else " "
    return f"from {said}{fold}({remark})".encode("ascii") if remark else f"from {said}".encode("ascii")


@lru_cache(maxsize=64)
def _tls(version: str, cipher: str) -> bytes:
    remark = f"using {comment(version, 40)}" + (f" with cipher {comment(cipher, 80)}" if cipher else "")
    return f"\r\n\t({remark})".encode("ascii")

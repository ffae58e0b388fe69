"""Mailbox addresses and the paths of SMTP.

Strict on purpose: what SMTP's grammar does not allow is refused here, once, for every user of an address.
Source: RFC 5321 §4.1.2, RFC 6531 §3.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii, to_unicode

Ip = IPv4Address | IPv6Address

LOCAL_MAX = 64
"""Octets of a local part as it is written (RFC 5321 §4.5.3.1.1)."""
PATH_MAX = 254
"""Octets between the angle brackets: 256 with them (RFC 5321 §4.5.3.1.3)."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain name (RFC 5321 §2.3.5, RFC 5890).

    ascii: A-labels, lower case, no dot at the end, at most 253 characters.
    """

    ascii: str


@dataclass(frozen=True, slots=True)
class Path:
    """A reverse or forward path (RFC 5321 §4.1.2); the null path <> is local="" and host=None.

    local: the local part unquoted, its case kept. host is None also for the bare <postmaster> of RCPT.
    """

    local: str
    host: Domain | Ip | None


NULL_PATH = Path("", None)


class NeedsUtf8(BadValue):
    """The address is outside ASCII and the peer has not said SMTPUTF8 (RFC 6531 §3.5: 553 5.6.7)."""


_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LABEL = rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# What nearly every address looks like; everything else takes the long way.
_PLAIN = re.compile(
    rb"([%(a)s]+(?:\.[%(a)s]+)*)@(%(l)s(?:\.%(l)s)*\.[A-Za-z]+)" % {b"a": _ATEXT.encode(), b"l": _LABEL},
)
# RFC 6531 §3.3 adds every character outside ASCII to atext and qtext.
_DOT_STRING = re.compile(rf"[{_ATEXT}\x80-\U0010ffff]+(?:\.[{_ATEXT}\x80-\U0010ffff]+)*")
_LOOSE_DOTS = re.compile(rf"[{_ATEXT}\x80-\U0010ffff][{_ATEXT}\x80-\U0010ffff.]*")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_TO_QUOTE = re.compile(r'(["\\])')
# C0, DEL, C1 and the two separators that some programs take for line ends.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")


def parse_path(
    raw: bytes, *, utf8: bool, what: Literal["reverse", "forward"], loose_dots: bool = False
) -> Path:
    """The path whose angle brackets held raw; a source route is read and dropped (RFC 5321 §4.1.1.3).

    raw: at most 254 octets. utf8: the transaction has SMTPUTF8, so the mailbox may be outside ASCII.
    what: only a reverse path may be empty, only a forward path may be "postmaster" without a domain.
    loose_dots: also take local parts with dots in a row or at the end, as some Japanese carriers once gave out
    (outside RFC 5321 §4.1.2). Raises NeedsUtf8 or BadValue.
    """
    if len(raw) > PATH_MAX:
        raise BadValue(f"{what} path", raw, "too long")
    if (plain := _PLAIN.fullmatch(raw)) and plain.end(1) <= LOCAL_MAX:
        host = plain[2].lower()
        if b"xn--" not in host and len(host) <= 253:
            return Path(plain[1].decode("ascii"), Domain(host.decode("ascii")))
    if not raw and what == "reverse":
        return NULL_PATH
    text = _text(raw, utf8, f"{what} path")
    path = _mailbox(_without_route(text), loose_dots)
    if path.host is None and (what == "reverse" or path.local.lower() != "postmaster"):
        raise BadValue(f"{what} path", raw, "no domain")
    return path


def parse_mailbox(text: str) -> Path:
    """A mailbox with a domain, as people write it on a command line or in a file; no brackets. Raises BadValue."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadValue("mailbox", text, "not text") from error
    if len(raw) > PATH_MAX:
        raise BadValue("mailbox", text, "too long")
    path = _mailbox(_text(raw, True, "mailbox"), False)
    if path.host is None:
        raise BadValue("mailbox", text, "no domain")
    return path


def parse_domain(raw: bytes | str, *, utf8: bool = True) -> Domain:
    """A domain, U-labels mapped to A-labels if utf8 allows them; no address literal. Raises NeedsUtf8 or BadValue."""
    text = raw if isinstance(raw, str) else _text(raw, utf8, "domain")
    if not utf8 and not text.isascii():
        raise NeedsUtf8("domain", raw)
    return Domain(to_ascii(text))


def parse_address_literal(raw: bytes | str) -> Ip:
    """An address in square brackets: [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321 §4.1.3). Raises BadValue."""
    text = raw if isinstance(raw, str) else raw.decode("latin-1")
    inside = text[1:-1]
    if text[:1] != "[" or text[-1:] != "]" or len(text) > 64:
        raise BadValue("address literal", raw)
    try:
        if _IPV4.fullmatch(inside):
            return IPv4Address(inside)
        if inside[:5].lower() == "ipv6:" and _IPV6.fullmatch(inside, 5):  # so no zone can hide behind "%"
            return IPv6Address(inside[5:])
    except ValueError as error:
        raise BadValue("address literal", raw) from error
    raise BadValue("address literal", raw)


def format_path(path: Path) -> str:
    """What stands between the angle brackets: the local part quoted where it must be; "" for the null path."""
    return _format(path, None if path.host is None else _host_text(path.host))


def display_path(path: Path) -> str:
    """An address for people: as format_path, with U-labels in the domain."""
    if isinstance(path.host, Domain):
        return _format(path, to_unicode(path.host.ascii))
    return format_path(path)


def quote_local(local: str) -> str:
    """A local part as SMTP writes it: as it is if it is a dot-string, else as a quoted string (RFC 5321 §4.1.2)."""
    if _DOT_STRING.fullmatch(local):
        return local
    return '"' + _TO_QUOTE.sub(r"\\\1", local) + '"'


def _format(path: Path, host: str | None) -> str:
    if host is None:
        return quote_local(path.local) if path.local else ""
    return f"{quote_local(path.local)}@{host}"


def _host_text(host: Domain | Ip) -> str:
    if isinstance(host, Domain):
        return host.ascii
    return f"[{host}]" if host.version == 4 else f"[IPv6:{host}]"


def _text(raw: bytes, utf8: bool, what: str) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadValue(what, raw, "not UTF-8") from error
    if _CONTROL.search(text):
        raise BadValue(what, raw, "control character")
    if not utf8 and not text.isascii():
        raise NeedsUtf8(what, raw)
    return text


def _without_route(text: str) -> str:
    """The mailbox behind "@one,@two:"; the domains of the route must be good ones (RFC 5321 §4.1.2, A-d-l)."""
    if not text.startswith("@"):
        return text
    route, colon, mailbox = text.partition(":")
    if not colon:
        raise BadValue("source route", text)
    for hop in route.split(","):
        if not hop.startswith("@"):
            raise BadValue("source route", text)
        to_ascii(hop[1:])
    return mailbox


def _mailbox(text: str, loose_dots: bool) -> Path:
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise BadValue("local part", text, "quoted string")
        written, rest = quoted[0], text[quoted.end() :]
        local = _QUOTED_PAIR.sub(r"\1", quoted[1])
    else:
        written, at, rest = text.partition("@")
        rest = at + rest
        local = written
        if not (_LOOSE_DOTS if loose_dots else _DOT_STRING).fullmatch(local):
            raise BadValue("local part", text)
    if len(written.encode("utf-8")) > LOCAL_MAX:
        raise BadValue("local part", text, "too long")
    if not rest:
        return Path(local, None)
    if not rest.startswith("@"):
        raise BadValue("mailbox", text)
    host = rest[1:]
    return Path(local, parse_address_literal(host) if host.startswith("[") else Domain(to_ascii(host)))

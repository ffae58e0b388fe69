"""Where to listen or to connect: "host:port", with IPv6 addresses in brackets ("[::1]:25")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from ekiden.base.errors import BadValue

_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """host: an IP address without brackets, or a host name in lower case. port: 0 … 65535, 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str, default_port: int | None = None) -> Endpoint:
    """"192.0.2.1:25", "[::1]:25" or "mail.example:587".

    default_port: what a text without ":port" means; None: a port must be there. Raises BadValue.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host:
            raise BadValue("endpoint", text)
        port_text = _port_after(rest, text)
    elif text.count(":") > 1:
        raise BadValue("endpoint", text, "an IPv6 address needs brackets, as in [::1]:25")
    else:
        host, colon, rest = text.partition(":")
        port_text = _port_after(colon + rest, text)
    if port_text is None and default_port is None:
        raise BadValue("endpoint", text, "the port is missing")
    port = default_port if port_text is None else int(port_text)
    if port is None or port > 65535:
        raise BadValue("endpoint", text, "a port is at most 65535")
    return Endpoint(_host(host, text), port)


def parse_host_name(text: str) -> str:
    """A host or domain name of letters, digits and hyphens, made lower case, without a dot at the end. Raises BadValue."""
    if len(text) > 254 or not _NAME.fullmatch(text) or _DIGITS_AND_DOTS.fullmatch(text):
        raise BadValue("host name", text)
    return text.lower().removesuffix(".")


def parse_ip(text: str) -> str:
    """An IPv4 or IPv6 address in its shortest form. Raises BadValue."""
    try:
        return str(IPv6Address(text)) if ":" in text else str(IPv4Address(text))
    except AddressValueError:
        raise BadValue("IP address", text) from None


def _port_after(rest: str, text: str) -> str | None:
    """The digits behind the colon; None where there is neither."""
    if not rest:
        return None
    if rest[0] != ":" or not _PORT.fullmatch(rest[1:]):
        raise BadValue("endpoint", text)
    return rest[1:]


def _host(host: str, text: str) -> str:
    if ":" in host or _DIGITS_AND_DOTS.fullmatch(host):
        try:
            return parse_ip(host)
        except BadValue:
            raise BadValue("endpoint", text) from None
    try:
        return parse_host_name(host)
    except BadValue:
        raise BadValue("endpoint", text) from None

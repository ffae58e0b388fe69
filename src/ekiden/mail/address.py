"""Mailbox addresses and the paths of SMTP.

Source: RFC 5321 §4.1.2, RFC 6531 §3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

Ip = IPv4Address | IPv6Address


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

"""The resource records that a mail server reads.

Names are text: lower case, no dot at the end, labels parted by dots; an octet that a label could not show (a dot inside
it, a control character, a byte over 126) is written as a backslash and three digits, as in a zone file.
Pure: no wire format here, see net.resolver.
Source: RFC 1035 §3.3 (A, MX, PTR, TXT, CNAME), RFC 3596 §2.2 (AAAA), RFC 6698 §2.1 (TLSA).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar


class Record:
    """One record of an answer. TYPE: its mnemonic. str() gives its data in the words of a zone file."""

    __slots__ = ()
    TYPE: ClassVar[str]


@dataclass(frozen=True, slots=True)
class A(Record):
    """An IPv4 address of a host."""

    TYPE: ClassVar[str] = "A"

    ip: IPv4Address

    def __str__(self) -> str:
        return str(self.ip)


@dataclass(frozen=True, slots=True)
class Aaaa(Record):
    """An IPv6 address of a host."""

    TYPE: ClassVar[str] = "AAAA"

    ip: IPv6Address

    def __str__(self) -> str:
        return str(self.ip)


@dataclass(frozen=True, slots=True)
class Mx(Record):
    """A host that takes mail. preference: 0 … 65535, lower first. host "" is the root, the null MX (RFC 7505 §3)."""

    TYPE: ClassVar[str] = "MX"

    preference: int
    host: str

    def __str__(self) -> str:
        return f"{self.preference} {self.host}."


@dataclass(frozen=True, slots=True)
class Txt(Record):
    """Character strings, at most 255 bytes each."""

    TYPE: ClassVar[str] = "TXT"

    strings: tuple[bytes, ...]

    @property
    def value(self) -> bytes:
        """The strings put together without anything between them (RFC 7208 §3.3, RFC 6376 §3.6.2.2)."""
        return b"".join(self.strings)

    def __str__(self) -> str:
        return " ".join(f'"{_printable(string)}"' for string in self.strings)


@dataclass(frozen=True, slots=True)
class Ptr(Record):
    """The name that the owner of an address gives it; it may say anything."""

    TYPE: ClassVar[str] = "PTR"

    name: str

    def __str__(self) -> str:
        return f"{self.name}."


@dataclass(frozen=True, slots=True)
class Cname(Record):
    """The owner name is only another name for this one."""

    TYPE: ClassVar[str] = "CNAME"

    target: str

    def __str__(self) -> str:
        return f"{self.target}."


@dataclass(frozen=True, slots=True)
class Tlsa(Record):
    """Which certificate or key a service has. Each of the three numbers is 0 … 255; data as published, any length."""

    TYPE: ClassVar[str] = "TLSA"

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


RECORDS: tuple[type[Record], ...] = (A, Aaaa, Mx, Txt, Ptr, Cname, Tlsa)
"""All kinds that can be asked for."""


_SHOWN = {octet: chr(octet) if 0x20 <= octet <= 0x7E and octet not in b'"\\' else f"\\{octet:03d}" for octet in range(256)}


def _printable(raw: bytes) -> str:
    return raw.decode("latin-1").translate(_SHOWN)

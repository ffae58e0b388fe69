"""Questions to packets, packets to findings: the part of the DNS's wire format that a mail server needs.

A packet counts only if it repeats our id and our question; within it only records that the question's name leads to.
Promise: whatever 64 KiB a server sends, reading them is linear in their length and takes well below a second; nothing but
the records that were asked for is made of them. No sockets, no clock.
Source: RFC 1035 §3.3 and §4.1, RFC 2308 §2 and §5, RFC 6891 §6.1 and §6.2.5, RFC 6840 §5.7, RFC 5452 §9.1;
docs/adr/0018-our-own-reader-of-dns-packets.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ekiden.dns.questions import MOST_ALIASES, Finding, Question
from ekiden.dns.records import A, Aaaa, Cname, Mx, Ptr, Record, Tlsa, Txt

UDP_BYTES = 1232
"""The largest datagram that we say we take: what fits everywhere without fragments."""

LEAST_TTL_S = 5
MOST_TTL_S = 86_400
MOST_NEGATIVE_TTL_S = 300

_TYPES: dict[type[Record], int] = {A: 1, Cname: 5, Ptr: 12, Mx: 15, Txt: 16, Aaaa: 28, Tlsa: 52}
_NS, _CNAME, _SOA, _OPT = 2, 5, 6, 41
_IN = 1
_NO_ERROR, _NO_NAME = 0, 3
_NOT_UNDERSTOOD = frozenset({1, 4, 16})  # FORMERR, NOTIMP, BADVERS: what a server says that does not know EDNS
_RCODES = {
    1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE",
    16: "BADVERS",
}  # fmt: skip
_AA, _TC, _RD, _RA, _AD = 0x0400, 0x0200, 0x0100, 0x0080, 0x0020
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_MOST_JUMPS = 64
_NAME_OCTETS = 255
_SHOWN_AS_IT_IS = re.compile(rb"[\x20-\x2d\x2f-\x5b\x5d-\x7e]+")


class _Malformed(Exception):
    """The packet is not what RFC 1035 says; the text says why."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one packet says about our question.

    truncated: ask again by TCP; nothing else is filled then. unfinished: the last alias leads to a name that the packet says
    nothing about. again_without_edns: the server does not know EDNS. The rest as in dns.questions.Answer; ttl_s is clamped.
    """

    finding: Finding = Finding.FAILED
    records: tuple[Record, ...] = ()
    aliases: tuple[str, ...] = ()
    ttl_s: int = LEAST_TTL_S
    authentic: bool = False
    because: str = ""
    truncated: bool = False
    unfinished: bool = False
    again_without_edns: bool = False


def encode_question(question: Question, id: int, *, edns: bool = True) -> bytes:
    """The packet that asks. id: 16 random bits. The question's name is askable (dns.questions.is_askable)."""
    # AD: tell us if it was proved (RFC 6840 §5.7)
    header = _HEADER.pack(id, _RD | _AD, 1, 0, 0, 1 if edns else 0)
    asked = header + _wire_name(question.name) + struct.pack("!HH", _TYPES[question.kind], _IN)
    return asked + b"\0" + _RECORD.pack(_OPT, UDP_BYTES, 0, 0) if edns else asked


def decode_answer(packet: bytes, question: Question, id: int) -> Heard | None:
    """What a packet says; None if it is not an answer to our question, and to be ignored."""
    if len(packet) < 12 or packet[:2] != id.to_bytes(2, "big") or packet[2] & 0xF8 != 0x80:  # an answer to a query
        return None
    if packet[4:6] == b"\0\0" and packet[3] & 0x0F:
        # A server that did not understand us repeats nothing but the id.
        return Heard(because=_rcode_text(packet[3] & 0x0F), again_without_edns=packet[3] & 0x0F in (1, 4))
    asked = _wire_name(question.name)
    end = 12 + len(asked) + 4
    if not _repeats(packet[12:end], asked, question) or packet[4:6] != b"\0\1":
        return None
    if packet[2] & 0x02:
        return Heard(truncated=True)
    try:
        return _judge(_Packet(packet, question, end), question)
    except (_Malformed, struct.error, IndexError) as error:
        return Heard(because=f"malformed answer ({error if isinstance(error, _Malformed) else 'it ends too soon'})")


def _judge(packet: _Packet, question: Question) -> Heard:
    if packet.rcode not in (_NO_ERROR, _NO_NAME):
        return Heard(because=_rcode_text(packet.rcode), again_without_edns=packet.rcode in _NOT_UNDERSTOOD)
    authentic = bool(packet.flags & _AD)
    aliases, records, ttl = _follow(packet, question)
    if len(aliases) > MOST_ALIASES:
        return Heard(aliases=aliases[:MOST_ALIASES], because="too many CNAMEs")
    if records:
        return Heard(Finding.FOUND, records, aliases, clamp(ttl), authentic)
    negative_ttl = LEAST_TTL_S if packet.negative_ttl is None else clamp(packet.negative_ttl, MOST_NEGATIVE_TTL_S)
    if packet.rcode == _NO_NAME:
        return Heard(Finding.NO_NAME, (), aliases, negative_ttl, authentic)
    soa = packet.negative_ttl is not None
    if aliases and not soa:
        return Heard(aliases=aliases, ttl_s=clamp(ttl), authentic=authentic, unfinished=True)
    if packet.answers and not aliases:
        return Heard(because="an answer about another name")
    if not soa and (packet.refers or not packet.flags & (_AA | _RA)):
        return Heard(because="a lame server")  # it does not know, and it does not ask
    return Heard(Finding.NO_DATA, (), aliases, negative_ttl, authentic)


def _follow(packet: _Packet, question: Question) -> tuple[tuple[str, ...], tuple[Record, ...], int]:
    """Aliases, records and the lowest TTL on the way from the question's name; stops one alias beyond the most allowed."""
    name = question.name
    aliases: list[str] = []
    ttl = MOST_TTL_S
    while len(aliases) <= MOST_ALIASES:
        found = packet.wanted.get(name)
        if found is not None:
            return tuple(aliases), tuple(dict.fromkeys(found.records)), min(ttl, found.ttl)
        alias = packet.aliases.get(name)
        if alias is None:
            break
        name, said = alias
        ttl = min(ttl, said)
        aliases.append(name)
    return tuple(aliases), (), ttl


def clamp(ttl_s: int, most: int = MOST_TTL_S) -> int:
    """How long something may be kept: 5 s to 1 day (or `most`), whatever was said."""
    return max(LEAST_TTL_S, min(most, ttl_s))


def _repeats(asked: bytes, name: bytes, question: Question) -> bool:
    """Whether the first question is ours; a name in it has nothing to be compressed with, so bytes will do."""
    kind_and_class = struct.pack("!HH", _TYPES[question.kind], _IN)
    return asked[: len(name)].lower() == name and asked[len(name) :] == kind_and_class


@dataclass(slots=True)
class _Set:
    """The records of one name. ttl: the lowest of them (RFC 2181 §5.2)."""

    records: list[Record]
    ttl: int


class _Packet:
    """What a packet holds that matters: records of the wanted kind and aliases by their owner, and what stands for "no".

    negative_ttl: the lower of the SOA's own TTL and its last number (RFC 2308 §5); None without SOA. refers: to other servers.
    """

    def __init__(self, packet: bytes, question: Question, start: int) -> None:
        self._packet = packet
        self._names: dict[int, tuple[str, int]] = {}
        _, self.flags, _, self.answers, authority, additional = _HEADER.unpack_from(packet)
        self.rcode = self.flags & 0x0F
        self.wanted: dict[str, _Set] = {}
        self.aliases: dict[str, tuple[str, int]] = {}
        self.negative_ttl: int | None = None
        self.refers = False
        self._end = start
        kind, number = question.kind, _TYPES[question.kind]
        read = _READ[kind]
        for at, type_, ttl, data, end in self._records(self.answers):
            if type_ == number:
                found = self.wanted.setdefault(self._name(at), _Set([], ttl))
                found.records.append(read(self, data, end))
                found.ttl = min(found.ttl, ttl)
            elif type_ == _CNAME:
                self.aliases.setdefault(self._name(at), (self.whole_name(data, end), ttl))
        if number == _CNAME:
            self.aliases.clear()
        self._read_authority(authority)
        for _, type_, ttl, _, _ in self._records(additional, every_class=True):
            if type_ == _OPT:
                self.rcode |= ttl >> 24 << 4  # RFC 6891 §6.1.3
        if self._end != len(packet):
            raise _Malformed("bytes behind its end")

    def _read_authority(self, count: int) -> None:
        for _, type_, ttl, data, end in self._records(count):
            self.refers |= type_ == _NS
            if type_ == _SOA and self.negative_ttl is None:
                numbers = self._skip_name(self._skip_name(data))
                if numbers + 20 != end:
                    raise _Malformed("a SOA of another length")
                self.negative_ttl = min(ttl, int.from_bytes(self._packet[end - 4 : end], "big"))

    def _records(self, count: int, *, every_class: bool = False) -> Iterator[tuple[int, int, int, int, int]]:
        """The records of one section, of class IN: where the owner's name is, type, TTL, begin and end of the data."""
        for _ in range(count):
            at = self._end
            after = self._skip_name(at)
            type_, class_, ttl, length = _RECORD.unpack_from(self._packet, after)
            data = after + _RECORD.size
            self._end = data + length
            if self._end > len(self._packet):
                raise _Malformed("it ends too soon")
            if every_class:
                yield at, type_, ttl, data, self._end
            elif class_ == _IN:
                yield at, type_, ttl if ttl < 1 << 31 else 0, data, self._end  # RFC 2181 §8

    def whole_name(self, at: int, end: int) -> str:
        """The name in a record's data from here to its end."""
        if self._skip_name(at) != end:
            raise _Malformed("a name of another length")
        return self._name(at)

    def bytes_of(self, start: int, end: int) -> bytes:
        """Octets of the packet."""
        return self._packet[start:end]

    def _skip_name(self, at: int) -> int:
        """The place behind a name."""
        packet = self._packet
        while length := packet[at]:
            if length >= 0xC0:
                return at + 2
            if length > 63:
                raise _Malformed("an unknown type of label")
            at += 1 + length
        return at + 1

    def _name(self, start: int) -> str:
        """A name as records show it: lower case, no dot at the end."""
        return self._read_name(start, 0)[0]

    def _read_name(self, start: int, jumps: int) -> tuple[str, int]:
        """The name at a place and its octets on the wire. Each place is read once, however many names point to it."""
        known = self._names.get(start)
        if known is not None:
            return known
        packet = self._packet
        labels: list[str] = []
        rest, more = "", 1
        at, octets = start, 0
        while length := packet[at]:
            if length >= 0xC0:
                target = (length & 0x3F) << 8 | packet[at + 1]
                if target >= start or jumps == _MOST_JUMPS:  # RFC 1035 §4.1.4: to a prior place, so that it comes to an end
                    raise _Malformed("a name that points nowhere")
                rest, more = self._read_name(target, jumps + 1)
                break
            octets += 1 + length
            if length > 63 or octets >= _NAME_OCTETS:
                raise _Malformed("a name that is too long")
            labels.append(_label(packet[at + 1 : at + 1 + length]))
            at += 1 + length
        if octets + more > _NAME_OCTETS:
            raise _Malformed("a name that is too long")
        found = self._names[start] = ".".join([*labels, rest] if rest else labels), octets + more
        return found


def _label(raw: bytes) -> str:
    """A label in lower case; octets that cannot be shown as backslash and digits."""
    raw = raw.lower()
    if _SHOWN_AS_IT_IS.fullmatch(raw):
        return raw.decode("ascii")
    return "".join(chr(octet) if _SHOWN_AS_IT_IS.fullmatch(bytes((octet,))) else f"\\{octet:03d}" for octet in raw)


def _a(packet: _Packet, start: int, end: int) -> Record:
    return A(IPv4Address(packet.bytes_of(start, _exactly(start, end, 4))))


def _aaaa(packet: _Packet, start: int, end: int) -> Record:
    return Aaaa(IPv6Address(packet.bytes_of(start, _exactly(start, end, 16))))


def _mx(packet: _Packet, start: int, end: int) -> Record:
    if end - start < 3:
        raise _Malformed("an MX that is too short")
    return Mx(int.from_bytes(packet.bytes_of(start, start + 2), "big"), packet.whole_name(start + 2, end))


def _txt(packet: _Packet, start: int, end: int) -> Record:
    data = packet.bytes_of(start, end)
    strings: list[bytes] = []
    at = 0
    while at < len(data):
        after = at + 1 + data[at]
        if after > len(data):
            raise _Malformed("a string that is too long")
        strings.append(data[at + 1 : after])
        at = after
    if not strings:
        raise _Malformed("a TXT without a string")  # RFC 1035 §3.3.14: one or more
    return Txt(tuple(strings))


def _tlsa(packet: _Packet, start: int, end: int) -> Record:
    data = packet.bytes_of(start, end)
    if len(data) < 3:
        raise _Malformed("a TLSA that is too short")
    return Tlsa(data[0], data[1], data[2], data[3:])


_READ: dict[type[Record], Callable[[_Packet, int, int], Record]] = {
    A: _a,
    Aaaa: _aaaa,
    Mx: _mx,
    Txt: _txt,
    Tlsa: _tlsa,
    Ptr: lambda packet, start, end: Ptr(packet.whole_name(start, end)),
    Cname: lambda packet, start, end: Cname(packet.whole_name(start, end)),
}


def _exactly(start: int, end: int, length: int) -> int:
    if end - start != length:
        raise _Malformed("an address of another length")
    return end


def _wire_name(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.split(".")) + b"\0"


def _rcode_text(rcode: int) -> str:
    return _RCODES.get(rcode, f"RCODE {rcode}")

"""Questions to packets, packets to findings. The wire format is dnspython's; what an answer may claim is decided here.

A packet counts only if it repeats our id and our question; within it only records that the question's name leads to.
No sockets, no clock.
Source: RFC 1035 §4.1, RFC 2308 §2 and §5, RFC 6891 §6.2.5, RFC 6840 §5.7, RFC 5452 §9.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from ekiden.dns.questions import MOST_ALIASES, Finding, Question, is_askable
from ekiden.dns.records import A, Aaaa, Cname, Mx, Ptr, Record, Tlsa, Txt

UDP_BYTES = 1232
"""The largest datagram that we say we take: what fits everywhere without fragments."""

LEAST_TTL_S = 5
MOST_TTL_S = 86_400
MOST_NEGATIVE_TTL_S = 300


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
    query = dns.message.make_query(
        _wire_name(question.name),
        dns.rdatatype.from_text(question.kind.TYPE),
        use_edns=0 if edns else None,
        payload=UDP_BYTES if edns else None,
        id=id,
        flags=dns.flags.RD | dns.flags.AD,  # AD: tell us if it was proved (RFC 6840 §5.7)
    )
    return query.to_wire()


def decode_answer(packet: bytes, question: Question, id: int) -> Heard | None:
    """What a packet says; None if it is not an answer to our question, and to be ignored."""
    if len(packet) < 12 or packet[:2] != id.to_bytes(2, "big") or not packet[2] & 0x80:
        return None
    if packet[4:6] == b"\0\0" and packet[3] & 0x0F:
        # A server that did not understand us repeats nothing but the id.
        return Heard(because=_rcode_text(packet[3] & 0x0F), again_without_edns=packet[3] & 0x0F in (1, 4))
    if not _repeats(packet, question):
        return None
    if packet[2] & 0x02:
        return Heard(truncated=True)
    try:
        message = dns.message.from_wire(packet)
    except (dns.exception.DNSException, ValueError, IndexError) as error:
        return Heard(because=f"malformed answer ({type(error).__name__})")
    return _judge(message, question)


def _judge(message: dns.message.Message, question: Question) -> Heard:
    rcode = message.rcode()
    authentic = bool(message.flags & dns.flags.AD)
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        unknown = rcode in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)
        return Heard(because=_rcode_text(int(rcode)), again_without_edns=unknown)
    aliases, records, ttl = _follow(message.answer, question)
    if len(aliases) > MOST_ALIASES:
        return Heard(aliases=aliases[:MOST_ALIASES], because="too many CNAMEs")
    if records:
        return Heard(Finding.FOUND, records, aliases, clamp(ttl), authentic)
    if rcode == dns.rcode.NXDOMAIN:
        return Heard(Finding.NO_NAME, (), aliases, _negative_ttl(message), authentic)
    soa = _has(message.authority, dns.rdatatype.SOA)
    if aliases and not soa:
        return Heard(aliases=aliases, ttl_s=clamp(ttl), authentic=authentic, unfinished=True)
    if message.answer and not aliases:
        return Heard(because="an answer about another name")
    referral = _has(message.authority, dns.rdatatype.NS)
    if not soa and (referral or not message.flags & (dns.flags.AA | dns.flags.RA)):
        return Heard(because="a lame server")  # it does not know, and it does not ask
    return Heard(Finding.NO_DATA, (), aliases, _negative_ttl(message), authentic)


def _follow(answer: list[dns.rrset.RRset], question: Question) -> tuple[tuple[str, ...], tuple[Record, ...], int]:
    """Aliases, records and the lowest TTL on the way from the question's name; stops one alias beyond the most allowed."""
    wanted = dns.rdatatype.from_text(question.kind.TYPE)
    by_owner = {
        (_text(rrset.name), rrset.rdtype): rrset for rrset in answer if rrset.rdclass == dns.rdataclass.IN
    }
    name = question.name
    aliases: list[str] = []
    ttl = MOST_TTL_S
    while len(aliases) <= MOST_ALIASES:
        found = by_owner.get((name, wanted))
        if found is not None:
            return tuple(aliases), tuple(_records(found, question.kind)), min(ttl, found.ttl)
        alias = by_owner.get((name, dns.rdatatype.CNAME))
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        name = cast(Cname, next(iter(_records(alias, Cname)))).target  # an RRset is never empty
        aliases.append(name)
    return tuple(aliases), (), ttl


def clamp(ttl_s: int, most: int = MOST_TTL_S) -> int:
    """How long something may be kept: 5 s to 1 day (or `most`), whatever was said; above 2**31 - 1 it is 0 (RFC 2181 §8)."""
    return max(LEAST_TTL_S, min(most, ttl_s if 0 <= ttl_s < 1 << 31 else 0))


def _negative_ttl(message: dns.message.Message) -> int:
    """RFC 2308 §5: the lower of the SOA's own TTL and its last number; without SOA as short as possible."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return clamp(min(rrset.ttl, cast(_Soa, rrset[0]).minimum), MOST_NEGATIVE_TTL_S)
    return LEAST_TTL_S


def _repeats(packet: bytes, question: Question) -> bool:
    """Whether the one question in the packet is ours; a name in it has nothing to be compressed with, so bytes will do."""
    name = b"".join(bytes((len(label),)) + label.encode("ascii") for label in question.name.split(".")) + b"\0"
    asked = packet[12 : 12 + len(name) + 4]
    kind_and_class = dns.rdatatype.from_text(question.kind.TYPE).to_bytes(2, "big") + b"\0\1"
    return packet[4:6] == b"\0\1" and asked[: len(name)].lower() == name and asked[len(name) :] == kind_and_class


def _has(section: Iterable[dns.rrset.RRset], kind: dns.rdatatype.RdataType) -> bool:
    return any(rrset.rdtype == kind for rrset in section)


class _Soa(Protocol):
    minimum: int


class _Rdata(Protocol):
    """The attributes that dnspython's classes for our record types have."""

    address: str
    preference: int
    exchange: dns.name.Name
    target: dns.name.Name
    strings: tuple[bytes, ...]
    usage: int
    selector: int
    mtype: int
    cert: bytes


def _records(rrset: dns.rrset.RRset, kind: type[Record]) -> Iterable[Record]:
    for rdata in rrset:
        yield _record(cast(_Rdata, rdata), kind)  # the RRset's type was looked up by the record's


def _record(rdata: _Rdata, kind: type[Record]) -> Record:
    if kind is A:
        return A(IPv4Address(rdata.address))
    if kind is Aaaa:
        return Aaaa(IPv6Address(rdata.address))
    if kind is Mx:
        return Mx(rdata.preference, _text(rdata.exchange))
    if kind is Txt:
        return Txt(tuple(rdata.strings))
    if kind is Ptr:
        return Ptr(_text(rdata.target))
    if kind is Cname:
        return Cname(_text(rdata.target))
    if kind is Tlsa:
        return Tlsa(rdata.usage, rdata.selector, rdata.mtype, rdata.cert)
    raise TypeError(f"no form for {kind.__name__}")


def _wire_name(name: str) -> dns.name.Name:
    return dns.name.Name([*(label.encode("ascii") for label in name.split(".")), b""])


def _text(name: dns.name.Name) -> str:
    """A name as records show it: lower case, no dot at the end, octets that cannot be shown as backslash and digits."""
    labels = name.labels[:-1] if name.is_absolute() else name.labels
    plain = b".".join(labels).lower().decode("latin-1")
    if not labels or (plain.count(".") == len(labels) - 1 and is_askable(plain)):
        return plain
    return ".".join("".join(map(_octet, label.lower())) for label in labels)


def _octet(octet: int) -> str:
    return chr(octet) if 0x20 <= octet <= 0x7E and octet not in b".\\" else f"\\{octet:03d}"


def _rcode_text(rcode: int) -> str:
    try:
        return dns.rcode.to_text(dns.rcode.Rcode.make(rcode))
    except ValueError:
        return f"RCODE {rcode}"

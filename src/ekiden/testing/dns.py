"""A DNS that a test writes down: answered from memory, or served on loopback over UDP and TCP.

    zone = FakeZone({
        "one.test": ["MX 10 mx.one.test.", 'TXT "v=spf1 mx -all"'],
        "mx.one.test": ["A 192.0.2.1", "AAAA 2001:db8::1"],
        "www.one.test": ["CNAME one.test."],
        "*.wild.test": ["A 192.0.2.9"],
        "ill.test": ["SERVFAIL"],                 # each question about it fails
        "half.test": ["A 192.0.2.2", "TIMEOUT AAAA"],
    })

    zone.run(ask(Mx, "one.test"))                 # no event loop
    await ZoneResolver(zone).resolve(lookup)      # where a Resolver is wanted; .asked tells what was asked
    async with ServedZone(zone) as server:        # real packets, for our own resolver or a foreign one
        Resolver(servers=[server.address], …)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Self, TypeVar, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from ekiden.base.errors import BadValue
from ekiden.dns.questions import Answer, Broken, Finding, Lookup, Question, answer_from, lower_name, run_lookup
from ekiden.dns.records import RECORDS, A, Aaaa, Cname, Mx, Ptr, Record, Tlsa, Txt

T = TypeVar("T")

_KINDS: dict[str, type[Record]] = {kind.TYPE: kind for kind in RECORDS}
_FAILURES = ("SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "TIMEOUT")


def record_from_text(text: str) -> Record:
    """One record, or one failure, as zones of tests write it: "MX 10 mx.one.test.", "TIMEOUT", "SERVFAIL AAAA".

    TXT takes quoted strings, or one bare text that is kept as it is. Raises BadValue.
    """
    kind, _, data = text.strip().partition(" ")
    data = data.strip()
    if kind in _FAILURES:
        if data and data not in _KINDS:
            raise BadValue("record", text)
        return Broken(kind, _KINDS[data] if data else None)
    try:
        return _record(kind, data)
    except ValueError as error:
        raise BadValue("record", text, str(error)) from error


def _record(kind: str, data: str) -> Record:
    match kind, data.split(" "):
        case "A", [ip]:
            return A(IPv4Address(ip))
        case "AAAA", [ip]:
            return Aaaa(IPv6Address(ip))
        case "MX", [preference, host]:
            return Mx(int(preference), lower_name(host))
        case "PTR", [name]:
            return Ptr(lower_name(name))
        case "CNAME", [name]:
            return Cname(lower_name(name))
        case "TLSA", [usage, selector, matching, hexadecimal]:
            return Tlsa(int(usage), int(selector), int(matching), bytes.fromhex(hexadecimal))
        case "TXT", _:
            quoted = data.startswith('"') and data.endswith('"') and len(data) > 1
            strings = data[1:-1].split('" "') if quoted else [data]
            return Txt(tuple(string.encode() for string in strings))
    raise ValueError("unknown form")


class FakeZone(Mapping[str, Sequence[Record]]):
    """Records by name, which a test may change while it runs.

    zone["one.test"] = ["MX 0 ."] replaces what a name has, del zone["one.test"] makes it NXDOMAIN.
    ttl_s: the time to live of each record, in seconds; ttls: the same for single names.
    """

    def __init__(self, records: Mapping[str, Sequence[Record | str]] | None = None, *, ttl_s: int = 300) -> None:
        self._records: dict[str, tuple[Record, ...]] = {}
        self.ttl_s = ttl_s
        self.ttls: dict[str, int] = {}
        for name, written in (records or {}).items():
            self[name] = written

    def __getitem__(self, name: str) -> Sequence[Record]:
        return self._records[name]

    def __setitem__(self, name: str, records: Sequence[Record | str]) -> None:
        parsed = (record_from_text(record) if isinstance(record, str) else record for record in records)
        self._records[lower_name(name)] = tuple(parsed)

    def __delitem__(self, name: str) -> None:
        del self._records[lower_name(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def answer(self, question: Question) -> Answer:
        """What a perfect resolver would find in this zone."""
        return answer_from(self, question, self.ttls.get(question.name, self.ttl_s))

    def run(self, lookup: Lookup[T]) -> T:
        """Run a lookup to its end, without an event loop.

        Example: assert FakeZone({"one.test": ["TXT hello"]}).run(ask(Txt, "one.test")) == (Txt((b"hello",)),)
        """
        return run_lookup(lookup, self.answer)


class ZoneResolver:
    """A Resolver (ekiden.dns.questions) that answers from a zone at once. asked: all questions so far, in order."""

    def __init__(self, zone: FakeZone) -> None:
        self.zone = zone
        self.asked: list[Question] = []

    async def resolve(self, lookup: Lookup[T]) -> T:
        """Run the lookup; gives the event loop one turn a question, as a real resolver would at least."""
        try:
            question = next(lookup)
            while True:
                self.asked.append(question)
                await asyncio.sleep(0)
                question = lookup.send(self.zone.answer(question))
        except StopIteration as end:
            value: T = end.value
            return value


class Mischief(Enum):
    """What a served zone does wrong with the answers about a name."""

    SILENT = auto()  # never answers, by UDP or TCP
    SILENT_UDP = auto()  # answers by TCP only
    TRUNCATED = auto()  # UDP answers carry the TC bit and no record
    TRUNCATED_THEN_CLOSED = auto()  # and TCP closes without an answer
    GARBAGE_FIRST = auto()  # random bytes, then a lie with another id, with another question, from another port; then the truth
    WRONG_OWNER = auto()  # the records belong to another name
    MALFORMED = auto()  # MX only: a compression pointer that points to itself
    ONE_BYTE_MX = auto()  # MX only: a record whose data is one byte
    DRIP = auto()  # TC, then TCP sends one byte a second
    AUTHENTIC = auto()  # sets the AD bit
    NOT_RECURSIVE = auto()  # gives a CNAME without what it points to
    LAME = auto()  # sends on to other servers, instead of asking them
    NO_EDNS = auto()  # FORMERR to whoever speaks EDNS


class ServedZone:
    """The same zone as a name server on 127.0.0.1, UDP and TCP on one free port.

    mischief: by name, what it does wrong. queries: all questions as they came, with "udp" or "tcp".

    Example:
        async with ServedZone(zone, mischief={"slow.test": Mischief.SILENT}) as server:
            resolver = …(servers=[server.address])
    """

    def __init__(self, zone: FakeZone, *, mischief: Mapping[str, Mischief] | None = None) -> None:
        self.zone = zone
        self.mischief = dict(mischief or {})
        self.queries: list[tuple[str, str, str]] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """host:port, as a resolver is told."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        tcp, udp = _two_sockets()
        self.port = tcp.getsockname()[1]
        self._server = await asyncio.start_server(self._talk, sock=tcp)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            self._transport.close()
        for writer in tuple(self._talks):
            writer.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await asyncio.sleep(0)

    def datagrams(self, packet: bytes) -> list[bytes]:
        """What one UDP query gets, in order."""
        query = _query(packet)
        if query is None:
            return []
        name, mischief = self._note(query, "udp")
        if mischief in (Mischief.SILENT, Mischief.SILENT_UDP):
            return []
        if mischief in (Mischief.TRUNCATED, Mischief.TRUNCATED_THEN_CLOSED, Mischief.DRIP):
            short = dns.message.make_response(query, recursion_available=True)
            short.flags |= dns.flags.TC
            return [short.to_wire()]
        truth = self._response(query, name, mischief)
        if truth is None:
            return []
        if mischief is Mischief.GARBAGE_FIRST:
            return [*_lies(query), truth]
        if len(truth) > max(query.payload, 512):
            short = dns.message.make_response(query, recursion_available=True)
            short.flags |= dns.flags.TC
            return [short.to_wire()]
        return [truth]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(writer)
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                query = _query(await reader.readexactly(length))
                if query is None or not await self._reply(query, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._talks.discard(writer)
            writer.close()

    async def _reply(self, query: dns.message.Message, writer: asyncio.StreamWriter) -> bool:
        name, mischief = self._note(query, "tcp")
        if mischief is Mischief.TRUNCATED_THEN_CLOSED:
            return False
        response = None if mischief is Mischief.SILENT else self._response(query, name, mischief)
        if response is None:
            await writer.drain()
            return True
        framed = struct.pack("!H", len(response)) + response
        if mischief is Mischief.DRIP:
            for byte in framed:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
            return True
        writer.write(framed)
        await writer.drain()
        return True

    def _note(self, query: dns.message.Message, by: str) -> tuple[str, Mischief | None]:
        name = lower_name(query.question[0].name.to_text())
        self.queries.append((name, dns.rdatatype.to_text(query.question[0].rdtype), by))
        return name, self.mischief.get(name)

    def _response(self, query: dns.message.Message, name: str, mischief: Mischief | None) -> bytes | None:
        kind = _KINDS.get(dns.rdatatype.to_text(query.question[0].rdtype))
        response = dns.message.make_response(query, recursion_available=True)
        if mischief is Mischief.AUTHENTIC:
            response.flags |= dns.flags.AD
        if mischief is Mischief.LAME:
            response.flags &= ~dns.flags.RA
            response.authority.append(dns.rrset.from_text("test.", 300, "IN", "NS", "ns.elsewhere.test."))
            return response.to_wire()
        if mischief is Mischief.NO_EDNS and query.edns >= 0:
            return _bare_header(query.id, dns.rcode.FORMERR)
        if kind is None:
            response.set_rcode(dns.rcode.NOTIMP)
            return response.to_wire()
        answer = self.zone.answer(Question(kind, name))
        if mischief is Mischief.NOT_RECURSIVE:
            alias = next((record.target for record in self.zone.get(name, ()) if isinstance(record, Cname)), None)
            answer = answer if alias is None else replace(answer, finding=Finding.NO_DATA, aliases=(alias,))
        if answer.because == "TIMEOUT":
            return None
        if answer.finding is Finding.FAILED:
            response.set_rcode(dns.rcode.from_text(answer.because) if answer.because in _FAILURES else dns.rcode.SERVFAIL)
        else:
            self._fill(response, answer, mischief)
        if mischief is Mischief.MALFORMED:
            return _with_record(query, None)
        if mischief is Mischief.ONE_BYTE_MX:
            return _with_record(query, b"\x0a")
        return response.to_wire(max_size=65_535)

    def _fill(self, response: dns.message.Message, answer: Answer, mischief: Mischief | None) -> None:
        owner = answer.question.name
        for alias in answer.aliases:
            response.answer.append(_rrset(owner, self._ttl(owner), [Cname(alias)]))
            owner = alias
            if mischief is Mischief.NOT_RECURSIVE:
                return
        if answer.finding is Finding.FOUND:
            shown = "victim.test" if mischief is Mischief.WRONG_OWNER else owner
            response.answer.append(_rrset(shown, self._ttl(owner), answer.records))
            return
        if answer.finding is Finding.NO_NAME:
            response.set_rcode(dns.rcode.NXDOMAIN)
        ttl = self._ttl(owner)
        soa = f"ns.test. hostmaster.test. 1 7200 900 1209600 {ttl}"
        response.authority.append(dns.rrset.from_text("test.", ttl, "IN", "SOA", soa))

    def _ttl(self, name: str) -> int:
        return self.zone.ttls.get(name, self.zone.ttl_s)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, served: ServedZone) -> None:
        self._served = served
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # the loop's own class does not say that it is one

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        packets = self._served.datagrams(data)
        if len(packets) > 1:  # the last lie but one comes from another port
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(packets[-2], addr)
            packets = [*packets[:-2], packets[-1]]
        if self._transport is not None:
            for packet in packets:
                self._transport.sendto(packet, addr)


def _two_sockets() -> tuple[socket.socket, socket.socket]:
    """A listening TCP and a UDP socket on one port that both had free."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):
            udp.bind(tcp.getsockname())
            udp.setblocking(False)
            return tcp, udp
        tcp.close()
        udp.close()


def _query(packet: bytes) -> dns.message.Message | None:
    try:
        query = dns.message.from_wire(packet)
    except (dns.exception.DNSException, ValueError):
        return None
    return query if len(query.question) == 1 else None


def _rrset(owner: str, ttl_s: int, records: Sequence[Record]) -> dns.rrset.RRset:
    rrset = dns.rrset.from_text_list(f"{owner}.", min(ttl_s, 2**31 - 1), "IN", records[0].TYPE, [*map(str, records)])
    rrset.ttl = ttl_s  # also what a sane zone would not say
    return rrset


def _lies(query: dns.message.Message) -> list[bytes]:
    """Answers that nobody may believe; the last is to be sent from another port."""
    lie = _rrset(query.question[0].name.to_text(omit_final_dot=True), 300, [A(IPv4Address("203.0.113.66"))])
    kind = dns.rdatatype.to_text(query.question[0].rdtype)
    packets = [b"\x00", b"\xff" * 40]
    for change in ("id", "question", "port"):
        response = dns.message.make_response(query, recursion_available=True)
        if kind == "A":
            response.answer.append(lie)
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if change == "id":
            response.id ^= 0x5555
        if change == "question":
            response.question = [dns.rrset.RRset(dns.name.from_text("other.test."), lie.rdclass, lie.rdtype)]
            response.answer = []
        packets.append(response.to_wire())
    return packets


def _bare_header(id: int, rcode: int) -> bytes:
    """An answer that repeats nothing but the id."""
    return struct.pack("!HBBHHHH", id, 0x80, rcode, 0, 0, 0, 0)


def _with_record(query: dns.message.Message, data: bytes | None) -> bytes:
    """An answer with one MX record of just this data; None: its owner's name is a pointer to that pointer."""
    header = bytearray(dns.message.make_response(query, recursion_available=True).to_wire()[:12])
    header[6:12] = b"\x00\x01" + bytes(4)  # one answer, nothing else
    question = (query.question[0].name.to_wire() or b"\x00") + b"\x00\x0f\x00\x01"
    owner = (0xC000 | (12 if data is not None else 12 + len(question))).to_bytes(2, "big")
    data = data or b""
    return bytes(header) + question + owner + b"\x00\x0f\x00\x01\x00\x00\x01\x2c" + len(data).to_bytes(2, "big") + data

"""The DNS of the tests, in memory and on the wire."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from ekiden.base.errors import BadValue
from ekiden.dns.questions import Broken, Finding, Question, Resolver, ask
from ekiden.dns.records import A, Aaaa, Cname, Mx, Ptr, Record, Tlsa, Txt
from ekiden.testing.dns import FakeZone, Mischief, ServedZone, ZoneResolver, record_from_text


@pytest.mark.parametrize(("text", "record"), [
    ("A 192.0.2.1", A(IPv4Address("192.0.2.1"))),
    ("AAAA 2001:db8::1", Aaaa(IPv6Address("2001:db8::1"))),
    ("MX 10 MX.One.test.", Mx(10, "mx.one.test")),
    ("MX 0 .", Mx(0, "")),
    ("PTR a.test.", Ptr("a.test")),
    ("CNAME a.test", Cname("a.test")),
    ("TXT plain text; with spaces", Txt((b"plain text; with spaces",))),
    ('TXT "v=DKIM1; p=" "abc"', Txt((b"v=DKIM1; p=", b"abc"))),
    ("TLSA 3 1 1 00ff", Tlsa(3, 1, 1, b"\x00\xff")),
    ("SERVFAIL", Broken("SERVFAIL")),
    ("TIMEOUT AAAA", Broken("TIMEOUT", Aaaa)),
])
def test_a_record_is_read_from_text(text: str, record: Record) -> None:
    assert record_from_text(text) == record


@pytest.mark.parametrize("text", ["", "A", "A x", "A 1.2.3.4 5", "MX mx.test.", "LOC 1 2", "SERVFAIL LOC"])
def test_a_record_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        record_from_text(text)


def test_a_zone_can_change_while_a_test_runs() -> None:
    zone = FakeZone({"One.test.": ["TXT hello"]})
    assert zone.run(ask(Txt, "one.TEST")) == (Txt((b"hello",)),)
    zone["one.test"] = ["TXT bye"]
    assert zone.run(ask(Txt, "one.test.")) == (Txt((b"bye",)),)
    del zone["one.test"]
    assert zone.answer(Question(Txt, "one.test")).finding is Finding.NO_NAME
    assert len(zone) == 0
    assert list(zone) == []


def test_a_zone_resolver_notes_what_it_was_asked() -> None:
    resolver = ZoneResolver(FakeZone({"one.test": ["A 192.0.2.1"]}))
    used: Resolver = resolver
    assert asyncio.run(used.resolve(ask(A, "one.test"))) == (A(IPv4Address("192.0.2.1")),)
    assert resolver.asked == [Question(A, "one.test")]


ZONE = FakeZone({
    "one.test": ["MX 10 mx.one.test.", "TXT hello"],
    "www.one.test": ["CNAME one.test."],
    "big.test": [Txt((b"x" * 255,)), Txt((b"y" * 255,)), Txt((b"z" * 255,))],
    "ill.test": ["REFUSED"],
    "mute.test": ["TIMEOUT"],
}, ttl_s=77)


async def _ask(server: ServedZone, name: str, kind: str, *, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=0, payload=512)
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await send(query, "127.0.0.1", port=server.port, timeout=3)


@pytest.mark.parametrize("tcp", [False, True])
def test_a_served_zone_speaks_dns(tcp: bool) -> None:
    async def story() -> None:
        async with ServedZone(ZONE) as server:
            assert server.address == f"127.0.0.1:{server.port}"
            found = await _ask(server, "www.one.test.", "MX", tcp=tcp)
            assert [rrset.to_text() for rrset in found.answer] == [
                "www.one.test. 77 IN CNAME one.test.", "one.test. 77 IN MX 10 mx.one.test."]
            empty = await _ask(server, "one.test.", "A", tcp=tcp)
            assert (empty.rcode(), empty.answer, len(empty.authority)) == (dns.rcode.NOERROR, [], 1)
            assert (await _ask(server, "no.test.", "A", tcp=tcp)).rcode() == dns.rcode.NXDOMAIN
            assert (await _ask(server, "ill.test.", "A", tcp=tcp)).rcode() == dns.rcode.REFUSED
            assert (await _ask(server, "one.test.", "LOC", tcp=tcp)).rcode() == dns.rcode.NOTIMP
            assert server.queries[0] == ("www.one.test", "MX", "tcp" if tcp else "udp")

    asyncio.run(story())


def test_what_does_not_fit_into_a_datagram_is_truncated() -> None:
    async def story() -> None:
        async with ServedZone(ZONE) as server:
            with pytest.raises(dns.message.Truncated):
                await dns.asyncquery.udp(dns.message.make_query("big.test.", "TXT"), "127.0.0.1", port=server.port, timeout=3,
                                         raise_on_truncation=True)
            whole = await _ask(server, "big.test.", "TXT", tcp=True)
            assert len(whole.answer[0]) == 3

    asyncio.run(story())


def test_a_served_zone_can_misbehave() -> None:
    async def story() -> None:
        mischief = {"one.test": Mischief.AUTHENTIC, "www.one.test": Mischief.NOT_RECURSIVE, "big.test": Mischief.LAME}
        async with ServedZone(ZONE, mischief=mischief) as server:
            assert (await _ask(server, "one.test.", "MX")).flags & dns.flags.AD
            assert len((await _ask(server, "www.one.test.", "MX")).answer) == 1
            lame = await _ask(server, "big.test.", "TXT")
            assert (lame.answer, len(lame.authority)) == ([], 1)
            server.mischief["one.test"] = Mischief.WRONG_OWNER
            assert (await _ask(server, "one.test.", "MX")).answer[0].name.to_text() == "victim.test."

    asyncio.run(story())

"""Lists are asked about the server and the domains of a message, in bounds."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from ekiden.base.ids import EnvelopeId
from ekiden.dns.dnsbl import ListHealth, Subject, parse_list
from ekiden.mail.address import parse_mailbox
from ekiden.mail.envelope import Envelope, Peer
from ekiden.mail.headers import parse_headers
from ekiden.policy.rules import Listed, ListRule, Lists
from ekiden.services.listings import MOST_DOMAINS, MessageListings
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver

BAD = ListRule("bad", parse_list("bad.test"), 60)
NAMES = ListRule("names", parse_list("names.test", Subject.DOMAIN), 60)


def _found(
    zone: dict[str, list[str]], *rules: ListRule, ip: str = "192.0.2.1", text: bytes = b"", health: ListHealth | None = None
) -> tuple[tuple[Listed, ...], list[str]]:
    async def work() -> tuple[tuple[Listed, ...], list[str]]:
        clock = FakeClock()
        resolver = ZoneResolver(FakeZone(zone))
        raw = b"From: x@author.test\r\n\r\n" + text
        envelope = Envelope(EnvelopeId(1), parse_mailbox("a@Sender.test"), (), Peer(ip_address(ip), 1, "mx"), clock.now())
        lists = Lists(rules, health or ListHealth(clock))
        listings = MessageListings(lists, envelope, parse_headers(raw), raw, "author.test", resolver)
        found = await listings.found()
        asked = [question.name for question in resolver.asked]
        assert await listings.found() == found
        assert len(resolver.asked) == len(asked)  # once
        return found, asked

    return asyncio.run(work())


def test_the_server_is_looked_up_with_the_lists_own_words() -> None:
    found, _ = _found({"1.2.0.192.bad.test": ["A 127.0.0.2", "TXT a robot"]}, BAD)
    assert found == (Listed(BAD, "192.0.2.1", "a robot"),)


def test_private_addresses_are_not_asked_for() -> None:
    for ip in ("127.0.0.1", "10.1.1.1", "::1", "fd00::1", "::ffff:192.168.0.1"):
        assert _found({}, BAD, ip=ip) == ((), [])


def test_domains_of_author_sender_and_links_are_looked_up_until_one_is_listed() -> None:
    text = b"see https://www.evil.test/x or http://other.test/\r\n"
    found, asked = _found({"evil.test.names.test": ["A 127.0.0.2"]}, NAMES, text=text)
    assert [each.about for each in found] == ["evil.test"]
    assert asked[:4] == ["author.test.names.test", "sender.test.names.test", "www.evil.test.names.test", "evil.test.names.test"]
    assert not any(name.startswith("other.test") for name in asked)


def test_many_links_cost_few_questions() -> None:
    text = b"".join(b"http://host%d.test/\r\n" % number for number in range(2000))
    found, asked = _found({}, NAMES, text=text)
    assert found == ()
    assert len(asked) == MOST_DOMAINS


def test_without_a_list_of_domains_no_text_is_read() -> None:
    assert _found({}, BAD, text=b"http://evil.test/\r\n")[1] == ["1.2.0.192.bad.test"]


def test_a_list_that_lists_everything_or_complains_counts_for_nothing() -> None:  # DN-13
    assert _found({"*.bad.test": ["A 127.0.0.2"]}, BAD)[0] == ()
    found, asked = _found({"author.test.names.test": ["A 127.255.255.254"], "evil.test.names.test": ["A 127.0.0.2"]}, NAMES,
                          text=b"http://evil.test/")  # fmt: skip
    assert found == ()
    assert len(asked) == 1  # it is left alone at once
    health = ListHealth(FakeClock())
    _found({"*.bad.test": ["A 127.0.0.2"]}, BAD, health=health)
    assert _found({"1.2.0.192.bad.test": ["A 127.0.0.2"]}, BAD, health=health) == ((), [])  # for the next messages too


def test_what_is_no_name_is_not_asked_for() -> None:
    text = "http://例え.test/ http://a_b.test/ http://1234/ http://xn--zzzzzzz--.test/\r\n".encode()
    _, asked = _found({}, NAMES, text=text)
    assert asked == ["author.test.names.test", "sender.test.names.test", "xn--r8jz45g.test.names.test"]

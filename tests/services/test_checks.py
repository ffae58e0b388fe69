"""The checks of one message: each once, with one resolver, and only for whom they are meant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import replace
from ipaddress import ip_address
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mailauth.signing import record_of, rsa_key

from ekiden.base.clock import Millis
from ekiden.base.endpoint import Endpoint
from ekiden.base.ids import EnvelopeId
from ekiden.dns.questions import Lookup
from ekiden.mail.address import NULL_PATH, parse_mailbox
from ekiden.mail.envelope import Envelope, Peer
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.arc import NO_CHAIN, seal
from ekiden.mailauth.dkim_key import SigningKey
from ekiden.mailauth.dmarc import Disposition
from ekiden.mailauth.results import Result
from ekiden.net.resolver import DnsResolver, ResolverSettings
from ekiden.policy.authentication import Authentication, Ways
from ekiden.services.checks import Checks, Subject
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, ServedZone, ZoneResolver

ZONE = {
    "good.test": ["TXT v=spf1 ip4:192.0.2.1 -all"],
    "_dmarc.good.test": ['TXT "v=DMARC1; p=reject"'],
    "1.2.0.192.in-addr.arpa": ["PTR out.good.test."],
    "out.good.test": ["A 192.0.2.1"],
}
T = TypeVar("T")
WAYS = Ways("mx.one.test", "one.test")


class OneMessage:
    """A resolver for one message that remembers nothing."""

    def __init__(self, resolver: ZoneResolver) -> None:
        self._resolver = resolver

    @property
    def asked(self) -> int:
        return len(self._resolver.asked)

    async def resolve(self, lookup: Lookup[T]) -> T:
        await asyncio.sleep(0)
        return await self._resolver.resolve(lookup)

    async def recall(self, key: Hashable, make: Callable[[], Lookup[T]], keep: Callable[[T], bool] = lambda outcome: True) -> T:
        return await self.resolve(make())


def checks_of(
    resolver: ZoneResolver, raw: bytes, *, ip: str = "192.0.2.1", sender: str = "bob@good.test", ways: Ways = WAYS
) -> tuple[Authentication, Envelope]:
    """The checks of a message, and its envelope."""
    peer = Peer(ip_address(ip), 4000, "mx", hello="out.good.test")
    envelope = Envelope(EnvelopeId(1), parse_mailbox(sender) if sender else NULL_PATH, (), peer, Millis(1_790_000_000_000))
    return Checks(ways, Subject(envelope, parse_headers(raw), raw, envelope.received_at), OneMessage(resolver)), envelope


def _checks(resolver: ZoneResolver, raw: bytes = b"From: bob@good.test\r\n\r\nhello\r\n", ip: str = "192.0.2.1") -> Authentication:
    return checks_of(resolver, raw, ip=ip)[0]


def test_spf_of_the_name_in_helo_is_stated_where_it_is_wanted() -> None:
    async def story() -> None:
        zone = FakeZone({**ZONE, "out.good.test": ["A 192.0.2.1", "TXT v=spf1 -all"]})
        raw = b"From: bob@good.test\r\n\r\nhello\r\n"
        for wanted, sender, stated in [
            (False, "bob@good.test", [("pass", {"smtp.mailfrom": "good.test"})]),
            (True, "bob@good.test", [("pass", {"smtp.mailfrom": "good.test"}), ("fail", {"smtp.helo": "out.good.test"})]),
            (True, "", [("fail", {"smtp.helo": "out.good.test"})]),  # the null path: once, not twice
        ]:
            checks, _ = checks_of(ZoneResolver(zone), raw, sender=sender, ways=replace(WAYS, helo=wanted))
            said = [(each.result.value, dict(each.about)) for each in await checks.evidence() if each.method == "spf"]
            assert said == stated, (wanted, sender)
            dmarc = await checks.dmarc()
            assert dmarc is not None
            assert (dmarc.result is Result.PASS) is bool(sender)  # HELO has no say beside MAIL FROM

    asyncio.run(story())


def test_all_evidence_and_each_question_once() -> None:
    async def story() -> None:
        resolver = ZoneResolver(FakeZone(ZONE))
        checks = _checks(resolver)
        assert checks.made() == ()
        found = {each.method: each.result for each in await checks.evidence()}
        assert found["iprev"] is found["spf"] is found["dmarc"] is Result.PASS
        asked = list(resolver.asked)
        again = await checks.evidence()
        assert again == await checks.evidence()
        assert {each.method for each in checks.made()} == {each.method for each in again}
        assert list(resolver.asked) == asked

    asyncio.run(story())


def test_two_who_ask_at_once_get_one_check() -> None:
    async def story() -> None:
        resolver = ZoneResolver(FakeZone(ZONE))
        checks = _checks(resolver)
        first, second = await asyncio.gather(checks.spf(), checks.spf())
        assert first is second
        assert len(resolver.asked) == len(set(resolver.asked))

    asyncio.run(story())


def test_who_gives_up_leaves_the_check_to_the_others() -> None:
    async def story() -> None:
        checks = _checks(ZoneResolver(FakeZone(ZONE)))
        impatient = asyncio.ensure_future(checks.dmarc())
        patient = asyncio.ensure_future(checks.dmarc())
        await asyncio.sleep(0)
        impatient.cancel()
        outcome = await patient
        assert outcome is not None
        assert outcome.result is Result.PASS

    asyncio.run(story())


def test_a_peer_without_a_name_fails_iprev_and_a_silent_dns_tells_nothing() -> None:
    async def story() -> None:
        assert (stranger := await _checks(ZoneResolver(FakeZone(ZONE)), ip="192.0.2.9").iprev()) is not None
        assert stranger.result is Result.PERMERROR  # no name at all (RFC 8601 §2.7.3)
        silent = FakeZone({"1.2.0.192.in-addr.arpa": ["SERVFAIL"]})
        assert (unknown := await _checks(ZoneResolver(silent)).iprev()) is not None
        assert unknown.result is Result.TEMPERROR

    asyncio.run(story())


def test_without_one_author_there_is_no_dmarc() -> None:
    async def story() -> None:
        checks = _checks(ZoneResolver(FakeZone(ZONE)), b"From: a@good.test, b@x.test\r\n\r\n")
        assert await checks.dmarc() is None
        assert checks.author.must_be_refused

    asyncio.run(story())


def _forwarded(sealer: str, seen: bytes) -> bytes:
    """A message of bank.test that a list has changed and sealed; seen: what its results say."""
    changed = b"From: ceo@bank.test\r\nSubject: [list] plan\r\n\r\nhello\r\n"
    headers = parse_headers(changed)
    key = SigningKey(sealer, "sel", rsa_key().key)
    return seal(changed, headers, b"lists.test; " + seen, NO_CHAIN, key, Millis(1_790_000_000_000)) + changed


@pytest.mark.parametrize(("sealer", "seen", "disposition"), [
    ("lists.test", b"dmarc=pass header.from=bank.test", Disposition.NONE),
    ("lists.test", b"dmarc=fail header.from=bank.test", Disposition.REJECT),
    ("evil.test", b"dmarc=pass header.from=bank.test", Disposition.REJECT),
])
def test_a_trusted_forwarder_vouches_for_what_it_saw(sealer: str, seen: bytes, disposition: Disposition) -> None:
    async def story() -> None:
        key = f'TXT "{record_of(rsa_key()).decode()[:200]}" "{record_of(rsa_key()).decode()[200:]}"'
        zone = FakeZone({
            "bank.test": ["TXT v=spf1 -all"], "_dmarc.bank.test": ['TXT "v=DMARC1; p=reject"'],
            "sel._domainkey.lists.test": [key], "sel._domainkey.evil.test": [key],
        })  # fmt: skip
        ways = replace(WAYS, trusted_sealers=frozenset(["lists.test"]))
        checks, _ = checks_of(ZoneResolver(zone), _forwarded(sealer, seen), sender="list@lists.test", ways=ways)
        arc = await checks.arc()
        assert arc is not None
        assert arc.result is Result.PASS, arc.because
        outcome = await checks.dmarc()
        assert outcome is not None
        assert (outcome.result, outcome.disposition) == (Result.FAIL, disposition)
        assert "arc" in {each.method for each in await checks.evidence()}

    asyncio.run(story())


REMEMBERED = {
    "plain.test": ["TXT v=spf1 ip4:192.0.2.1 include:also.test -all"],
    "also.test": ["TXT v=spf1 a:no.test exists:%{ir}.%{v}.list.test -all"],
    "9.2.0.192.in-addr.list.test": ["A 127.0.0.2"],
    "told.test": ["TXT v=spf1 ip4:192.0.2.1 -all exp=why.test"],
    "why.test": ["TXT %{c} at %{t} for %{l}"],
    "local.test": ["TXT v=spf1 exists:%{l}.users.test exists:%{h}.hosts.test -all"],
    "bob.users.test": ["A 127.0.0.2"], "a.good.test.hosts.test": ["A 127.0.0.2"],
    "ill.test": ["TXT v=spf1 include:broken.test -all"], "broken.test": ["SERVFAIL"],
    "_dmarc.plain.test": ['TXT "v=DMARC1; p=reject; pct=40"'], "_dmarc.told.test": ['TXT "v=DMARC1; p=quarantine"'],
    "1.2.0.192.in-addr.arpa": ["PTR a.good.test."], "a.good.test": ["A 192.0.2.1", "TXT v=spf1 a -all"],
    "9.2.0.192.in-addr.arpa": ["SERVFAIL"],
}  # fmt: skip
_MESSAGES = st.tuples(
    st.sampled_from(["192.0.2.1", "192.0.2.9", "2001:db8::9"]),
    st.sampled_from(["bob", "eve"]),
    st.sampled_from(["plain.test", "told.test", "local.test", "ill.test", "no.test", ""]),
    st.sampled_from(["a.good.test", "b.good.test", "[192.0.2.1]"]),
    st.sampled_from(["plain.test", "sub.told.test", "ill.test"]),
    st.sampled_from([0, 1, 40]),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(_MESSAGES, min_size=2, max_size=14))
def test_what_is_remembered_is_what_would_be_found_anew(messages: list[tuple[str, str, str, str, str, int]]) -> None:
    """Two resolvers of the same zone; one forgets everything before each message. All that can be told of a message is the same."""

    async def found(resolver: DnsResolver, message: tuple[str, str, str, str, str, int], now: Millis) -> tuple[object, ...]:
        ip, local, domain, hello, author, _ = message
        peer = Peer(ip_address(ip), 4000, "mx", hello=hello)
        sender = parse_mailbox(f"{local}@{domain}") if domain else NULL_PATH
        raw = b"From: x@%s\r\n\r\nhello\r\n" % author.encode()
        dns = resolver.for_message()
        checks = Checks(WAYS, Subject(Envelope(EnvelopeId(1), sender, (), peer, now), parse_headers(raw), raw, now), dns)
        told = await checks.evidence()
        return told, await checks.spf(), await checks.helo(), await checks.dmarc(), sorted(step.words for step in dns.trail)

    async def story() -> None:
        clock = FakeClock()
        async with ServedZone(FakeZone(REMEMBERED, ttl_s=60)) as server:
            setup = ResolverSettings((Endpoint("127.0.0.1", server.port),), question_s=5.0)
            remembers, forgets = DnsResolver(setup, clock), DnsResolver(setup, clock)
            for message in messages:
                clock.advance(seconds=message[-1])
                forgets.forget()
                assert await found(remembers, message, clock.now()) == await found(forgets, message, clock.now())
            await remembers.close()
            await forgets.close()

    asyncio.run(story())


def test_an_outcome_ends_with_its_answers_and_asks_nobody_before() -> None:
    async def story() -> None:
        clock, zone = FakeClock(), FakeZone(ZONE, ttl_s=60)
        async with ServedZone(zone) as server:
            resolver = DnsResolver(ResolverSettings((Endpoint("127.0.0.1", server.port),)), clock)

            async def seen() -> tuple[dict[str, Result], int, int]:
                dns = resolver.for_message()
                _, envelope = checks_of(ZoneResolver(zone), b"")
                raw = b"From: bob@good.test\r\n\r\nhello\r\n"
                checks = Checks(WAYS, Subject(envelope, parse_headers(raw), raw, clock.now()), dns)
                return {each.method: each.result for each in await checks.evidence()}, dns.asked, len(dns.trail)

            before, asked, told = await seen()
            assert before == {"iprev": Result.PASS, "spf": Result.PASS, "dmarc": Result.PASS}
            assert (asked, told) == (4, 4)
            zone["good.test"] = ["TXT v=spf1 -all"]
            clock.advance(seconds=59)
            assert await seen() == (before, 0, 4)
            clock.advance(seconds=2)
            after, asked, _ = await seen()
            assert after == {"iprev": Result.PASS, "spf": Result.FAIL, "dmarc": Result.FAIL}
            assert asked == 4
            await resolver.close()

    asyncio.run(story())

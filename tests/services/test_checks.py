"""The checks of one message: each once, with one resolver, and only for whom they are meant."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.mail.address import parse_mailbox
from ekiden.mail.envelope import Envelope, Peer
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.results import Result
from ekiden.policy.authentication import Authentication, Ways
from ekiden.services.checks import Checks, Subject
from ekiden.testing.dns import FakeZone, ZoneResolver

ZONE = {
    "good.test": ["TXT v=spf1 ip4:192.0.2.1 -all"],
    "_dmarc.good.test": ['TXT "v=DMARC1; p=reject"'],
    "1.2.0.192.in-addr.arpa": ["PTR out.good.test."],
    "out.good.test": ["A 192.0.2.1"],
}
WAYS = Ways("mx.one.test", "one.test")


def checks_of(
    resolver: ZoneResolver, raw: bytes, *, ip: str = "192.0.2.1", sender: str = "bob@good.test", ways: Ways = WAYS
) -> tuple[Authentication, Envelope]:
    """The checks of a message, and its envelope."""
    peer = Peer(ip_address(ip), 4000, "mx", hello="out.good.test")
    envelope = Envelope(EnvelopeId(1), parse_mailbox(sender), (), peer, Millis(1_790_000_000_000))
    return Checks(ways, Subject(envelope, parse_headers(raw), raw, envelope.received_at), resolver), envelope


def _checks(resolver: ZoneResolver, raw: bytes = b"From: bob@good.test\r\n\r\nhello\r\n", ip: str = "192.0.2.1") -> Authentication:
    return checks_of(resolver, raw, ip=ip)[0]


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
        checks.close()

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
        assert stranger.result is Result.FAIL
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

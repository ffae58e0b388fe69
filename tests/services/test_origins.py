"""Checks of origin as a part of arrival."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from ekiden.base.clock import Millis
from ekiden.base.endpoint import Endpoint
from ekiden.base.ids import AccountId, EnvelopeId
from ekiden.dns.questions import Lookup
from ekiden.mail import journey
from ekiden.mail.address import parse_mailbox
from ekiden.mail.envelope import Envelope, Peer
from ekiden.mail.headers import parse_headers
from ekiden.net.resolver import DnsResolver, ResolverSettings
from ekiden.policy.authentication import NOT_ASKED, Ways
from ekiden.services.origins import Origins
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, ServedZone

RAW = b"From: bob@good.test\r\n\r\nhello\r\n"
WAYS = Ways("mx.one.test", "one.test")


class Nobody:
    """Where a resolver would be, if one were asked."""

    trail = ()
    asked = 0

    def for_message(self) -> Nobody:
        return self

    async def resolve(self, lookup: Lookup[object]) -> object:
        raise AssertionError("nobody is to be asked")


def _envelope(peer: Peer) -> Envelope:
    return Envelope(EnvelopeId(1), parse_mailbox("bob@good.test"), (), peer, Millis(1_790_000_000_000))


@pytest.mark.parametrize("peer", [
    Peer(ip_address("192.0.2.1"), 1, "submission", account=AccountId(7)),
    Peer(ip_address("127.0.0.1"), 0, "house"),
])
def test_our_own_are_not_checked(peer: Peer) -> None:
    origin = Origins(Nobody(), WAYS).begin(_envelope(peer), parse_headers(RAW), RAW)  # type: ignore[arg-type]  # it is never asked
    assert origin.checks is NOT_ASKED
    assert origin.steps(Millis(2)) == []


def test_what_was_asked_and_found_are_steps() -> None:
    async def story() -> None:
        zone = FakeZone({"good.test": ["TXT v=spf1 ip4:192.0.2.1 -all"], "_dmarc.good.test": ['TXT "v=DMARC1; p=none"']})
        async with ServedZone(zone) as server:
            resolver = DnsResolver(ResolverSettings((Endpoint("127.0.0.1", server.port),)), FakeClock())
            peer = Peer(ip_address("192.0.2.1"), 4000, "mx", hello="out.good.test")
            origin = Origins(resolver, WAYS).begin(_envelope(peer), parse_headers(RAW), RAW)
            assert origin.steps(Millis(2)) == []
            await origin.checks.dmarc()
            steps = origin.steps(Millis(2))
            questions = [step.question for step in steps if isinstance(step, journey.DnsAnswered)]
            assert "good.test. TXT" in questions
            assert "_dmarc.good.test. TXT" in questions
            told = {step.method: step for step in steps if isinstance(step, journey.Authenticated)}
            assert told["spf"].result == told["dmarc"].result == "pass"
            assert "good.test" in told["spf"].about
            await resolver.close()

    asyncio.run(story())


def test_fields_that_claim_to_be_ours_go_and_the_rest_stays() -> None:
    top = b"Received: from a\r\nauthentication-results: ONE.test;\r\n dmarc=pass\r\n"
    rest = b"Authentication-Results: two.test; spf=pass\r\nFrom: bob@good.test\r\n\r\nAuthentication-Results: one.test; x=y\r\n"
    raw = top + b"Authentication-Results: one.test 1; none\r\n" + rest
    origins = Origins(Nobody(), WAYS)  # type: ignore[arg-type]  # as above
    assert origins.without_forged(parse_headers(raw), raw) == (b"Received: from a\r\n" + rest, {"Authentication-Results": 2})
    assert origins.without_forged(parse_headers(rest), rest) == (rest, {})


def test_a_score_from_outside_goes_whoever_wrote_it() -> None:
    raw = b"A: 1\r\nx-ekiden-SCORE: 0\r\nAuthentication-Results: one.test; none\r\nX-Ekiden-Score: 9\r\n folded\r\n"
    raw += b"\r\nX-Ekiden-Score: 1\r\n"
    origins = Origins(Nobody(), WAYS)  # type: ignore[arg-type]  # as above
    counts = {"Authentication-Results": 1, "X-Ekiden-Score": 2}
    assert origins.without_forged(parse_headers(raw), raw) == (b"A: 1\r\n\r\nX-Ekiden-Score: 1\r\n", counts)

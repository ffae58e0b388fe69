"""The score policy over the real checks of origin."""

from __future__ import annotations

import asyncio
import smtplib
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

from tests.services.houses import SETTINGS, open_house, stored

from ekiden.app.clock import SystemClock
from ekiden.base.ids import AccountId, EnvelopeId
from ekiden.dns.questions import Lookup, Zone
from ekiden.dns.records import A, Ptr
from ekiden.mail.address import parse_mailbox
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.mail.headers import parse_headers
from ekiden.mail.journey import Judged
from ekiden.policy.authentication import Ways
from ekiden.policy.builtin.score import adds_up
from ekiden.policy.stage import MessageContext, World
from ekiden.policy.verdict import Quarantine, Tag, Verdict
from ekiden.services.checks import Checks, Subject
from ekiden.store import journeys
from ekiden.store.columns import integer
from ekiden.testing.dns import FakeZone

T = TypeVar("T")
RAW = b"From: <a@out.test>\r\nSubject: s\r\n\r\nbody\r\n"
IP = IPv4Address("192.0.2.1")
GOOD: Zone = {"1.2.0.192.in-addr.arpa": [Ptr("mail.out.test")], "mail.out.test": [A(IP)]}


class OneMessage:
    """All answers are remembered."""

    asked = 0

    def __init__(self, zone: Zone) -> None:
        self._zone = FakeZone(zone)

    async def resolve(self, lookup: Lookup[T]) -> T:
        return self._zone.run(lookup)


def _judge(hello: str, zone: Zone, account: AccountId | None = None) -> Verdict | None:
    async def count(key: str, per_s: int) -> int:
        return 1

    async def work() -> Verdict | None:
        clock = SystemClock()
        recipient = Recipient(parse_mailbox("alice@here.test"))
        peer = replace(Peer(IP, 5, "mx", hello=hello), account=account)
        envelope = Envelope(EnvelopeId(1), parse_mailbox("a@out.test"), (recipient,), peer, clock.now())
        dns, headers = OneMessage(zone), parse_headers(RAW)
        checks = Checks(Ways("mx.here.test", "mx.here.test"), Subject(envelope, headers, RAW, clock.now()), dns)
        world = World(clock, dns, count, lambda event, **fields: None)
        return await adds_up(MessageContext(peer, world, envelope, (recipient,), headers, len(RAW), authentication=checks))

    return asyncio.run(work())


def test_a_server_in_good_order_is_let_through() -> None:
    assert _judge("mail.out.test", GOOD) is None


def test_oddities_add_up_to_a_mark_and_then_to_junk() -> None:
    marked = _judge("nobody.out.test", {})
    assert marked == Tag(b"X-Ekiden-Score", b"40 helo-unknown=15 iprev-fail=15 nothing-passed=10")
    filed = _judge("mx.here.test", {})
    assert isinstance(filed, Quarantine)
    assert filed.because == "85 points: helo-our-name +60 (mx.here.test), iprev-fail +15, nothing-passed +10"


def test_who_has_signed_in_is_not_judged() -> None:
    assert _judge("mx.here.test", {}, AccountId(7)) is None


def test_by_smtp_it_lies_in_junk_and_the_journey_has_the_reasons(tmp_path: Path) -> None:
    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="mx.ekiden.test", timeout=50) as client:
            client.sendmail("a@out.test", ["alice@local.test"], RAW)

    async def main() -> None:
        settings = SETTINGS.replace("domains =", 'policies = ["builtin:score"]\ndomains =')
        async with open_house(tmp_path, ("mx",), settings) as running:
            await asyncio.to_thread(send, running.port("mx"))
            assert await stored(running, "alice") == []
            assert len(await stored(running, "alice", "Junk")) == 1
            found = await running.house.database.read(lambda tx: tx.all("journey_by_message_id", text="", since=0, count=5))
            message = EnvelopeId(integer(found[0], 0))
            steps = await running.house.database.read(lambda tx: journeys.steps_of(tx, message))
            (judged,) = [step for step in steps if isinstance(step, Judged)]
            assert (judged.policy, judged.verdict) == ("builtin:score", "quarantine")
            assert "helo-our-name +60 (mx.ekiden.test)" in judged.because

    asyncio.run(main())

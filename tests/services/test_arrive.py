"""Arrival: each copy once, quarantine, tags, and nothing kept of what is refused."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from tests.services.houses import SETTINGS, Running, in_house, open_house, stored

from ekiden.base.errors import StoreError
from ekiden.base.ids import AccountId
from ekiden.dns.questions import Finding, ask_anyhow
from ekiden.dns.records import A
from ekiden.mail import journey
from ekiden.mail.address import Domain
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.policy.chain import Chain
from ekiden.policy.stage import Context, Policy, Stage
from ekiden.policy.verdict import Discard, Quarantine, Reject, Tag, Verdict
from ekiden.services.arrive import Incoming, place
from ekiden.services.routing import Refused, Remote
from ekiden.smtp.replies import NOT_ALLOWED, Reply, named
from ekiden.store import journeys
from ekiden.testing.dns import FakeZone, ServedZone

RAW = b"Subject: s\r\n\r\nbody\r\n"
ALICE = MailPath("alice", Domain("local.test"))


async def _arrive(running: Running, *verdicts: Verdict) -> tuple[Reply, Envelope]:
    house = running.house
    routes = await house.router.route(ALICE, relay=False)
    assert not isinstance(routes, Refused)
    envelope = Envelope(
        house.ids.envelope_id(),
        MailPath("a", Domain("remote.test")),
        (Recipient(ALICE), Recipient(ALICE)),
        Peer(IPv4Address("192.0.2.1"), 5, "mx", hello="c.test", extended=True),
        house.clock.now(),
    )

    def policy(verdict: Verdict) -> Policy:
        async def judge(context: Context) -> Verdict | None:
            return verdict

        return Policy("p", Stage.MESSAGE, judge)

    intake = house.intakes.begin()
    await intake.add(RAW)
    incoming = Incoming(envelope, (routes, routes), [])
    chain = Chain([policy(verdict) for verdict in verdicts], asyncio.timeout)
    return await house.arrivals.arrive(incoming, intake, chain), envelope


async def arrive_outside(running: Running) -> None:
    """One message of alice's to another server."""
    house = running.house
    path = MailPath("x", Domain("out.test"))
    envelope = Envelope(
        house.ids.envelope_id(), ALICE, (Recipient(path),), Peer(IPv4Address("192.0.2.1"), 5, "submission"), house.clock.now()
    )
    intake = house.intakes.begin()
    await intake.add(RAW)
    await house.arrivals.arrive(Incoming(envelope, ((Remote(path, "out.test"),),), []), intake, None)


def test_the_same_recipient_twice_is_one_copy(tmp_path: Path) -> None:
    """Row SS-26."""

    async def work(running: Running) -> None:
        reply, _ = await _arrive(running)
        assert reply.code == 250
        assert len(await stored(running, "alice")) == 1

    in_house(tmp_path, work, ())


def test_quarantine_files_elsewhere_and_tags_go_on_top(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        _, envelope = await _arrive(running, Tag(b"X-Mark", b"yes"), Quarantine("odd"))
        assert await stored(running, "alice") == []
        (copy,) = await stored(running, "alice", "Junk")
        assert b"\r\nX-Mark: yes\r\nSubject: s\r\n" in copy
        steps = await running.house.database.read(lambda tx: journeys.steps_of(tx, envelope.id))
        assert [step.verdict for step in steps if isinstance(step, journey.Judged)] == ["tag", "quarantine"]

    in_house(tmp_path, work, ())


def test_of_what_is_refused_only_the_journey_is_kept(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        reply, envelope = await _arrive(running, Reject(NOT_ALLOWED, "no"))
        assert reply == named(NOT_ALLOWED, envelope.id)
        assert await stored(running, "alice") == []
        steps = await running.house.database.read(lambda tx: journeys.steps_of(tx, envelope.id))
        assert [type(step) for step in steps] == [journey.ContentReceived, journey.Judged, journey.Refused]
        assert list((tmp_path / "data" / "blobs").rglob("*.*")) == []

    in_house(tmp_path, work, ())


def test_what_is_discarded_is_accepted_and_kept_nowhere(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        reply, envelope = await _arrive(running, Discard("nobody reads it"))
        assert reply.code == 250
        assert await stored(running, "alice") == []
        assert await running.house.database.read(lambda tx: journeys.steps_of(tx, envelope.id)) == []

    in_house(tmp_path, work, ())


def test_a_discarded_recipient_gets_nothing_and_the_others_their_copy(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        house = running.house
        routes = await house.router.route(ALICE, relay=False)
        assert not isinstance(routes, Refused)
        peer = Peer(IPv4Address("192.0.2.1"), 5, "mx", hello="c.test", extended=True)
        nobody = Recipient(MailPath("nobody", Domain("local.test")))
        for given, copies in (((), ()), 0), (((), routes), 1):
            envelope = Envelope(house.ids.envelope_id(), ALICE, (nobody, Recipient(ALICE)), peer, house.clock.now())
            intake = house.intakes.begin()
            await intake.add(RAW)
            assert (await house.arrivals.arrive(Incoming(envelope, given, []), intake, None)).code == 250
            assert len(await stored(running, "alice")) == copies

    in_house(tmp_path, work, ())


def test_when_the_store_fails_it_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    async def work(running: Running) -> None:
        running.house.database.close()
        try:
            await _arrive(running)
        except StoreError:
            return
        raise AssertionError("a closed store took a message")

    in_house(tmp_path, work, ())


def test_remote_copies_are_one_an_address() -> None:
    path = MailPath("x", Domain("out.test"))
    envelope = Envelope(1, ALICE, (Recipient(ALICE), Recipient(path)), Peer(IPv4Address(1), 1, "mx"), 0)  # type: ignore[arg-type]  # plain numbers as ids
    placed = place(envelope, ((Remote(path, "out.test"),), (Remote(path, "out.test"),)))
    assert [(recipient.path, route.next_hop) for recipient, route in placed.remote] == [(path, "out.test")]


@pytest.mark.parametrize("account", [None, AccountId(7)], ids=["from outside", "from our own people"])
def test_what_policies_ask_of_the_dns_has_one_budget_and_is_told(tmp_path: Path, account: AccountId | None) -> None:
    """Row DN-14: no message asks for more than thirty answers, however its policies ask."""

    async def main() -> None:
        zone = FakeZone({f"n{number}.test": ["A 192.0.2.1"] for number in range(40)})
        async with ServedZone(zone) as served:
            settings = SETTINGS.replace("127.0.0.1:9", served.address)
            async with open_house(tmp_path, (), settings) as running, asyncio.timeout(60):
                found: list[Finding] = []

                async def curious(context: Context) -> Verdict | None:
                    for _ in range(20):
                        found.append((await context.dns.resolve(ask_anyhow(A, f"n{len(found)}.test"))).finding)
                    return Tag(b"X-Asked", b"yes")

                house = running.house
                routes = await house.router.route(ALICE, relay=False)
                assert not isinstance(routes, Refused)
                peer = Peer(IPv4Address("192.0.2.1"), 5, "submission" if account else "mx", hello="c.test", account=account)
                envelope = Envelope(house.ids.envelope_id(), ALICE, (Recipient(ALICE),), peer, house.clock.now())
                intake = house.intakes.begin()
                await intake.add(RAW)
                chain = Chain([Policy(name, Stage.MESSAGE, curious) for name in ("one.py:a", "two.py:b")], asyncio.timeout)
                assert (await house.arrivals.arrive(Incoming(envelope, (routes,), []), intake, chain)).code == 250
                assert (found[:30], found[30:]) == ([Finding.FOUND] * 30, [Finding.FAILED] * 10)
                steps = await house.database.read(lambda tx: journeys.steps_of(tx, envelope.id))
                told = [step for step in steps if isinstance(step, journey.DnsAnswered)]
                assert [step.question for step in told] == [f"n{number}.test. A" for number in range(40)]
                assert "too many questions" in told[-1].answer

    asyncio.run(main())

"""Mail that an alias sends on, and its bounces."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from tests.services.houses import SETTINGS, Running, in_house, open_house, stored
from tests.services.signers import account_of, give_keys
from tests.services.test_signing import LETTER, World
from tests.store.stores import NOW, with_store

from ekiden.base.clock import Millis
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import BadValue
from ekiden.base.ids import EnvelopeId
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, parse_mailbox
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.results import Result
from ekiden.mailauth.spf import check_host
from ekiden.services.forwarding import Forward, Forwarding, Loop
from ekiden.services.keys import FILE, KeysUnusable, Vault
from ekiden.services.routing import Refused, Remote
from ekiden.store import accounts, journeys, srs
from ekiden.store.database import Database
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, ServedZone
from ekiden.testing.peers import ScriptedHost

ALIAS = parse_mailbox("info@two.test")
SENDER = parse_mailbox("Alice@one.test")


class Place:
    """Forwarding at two.test, with a clock of its own; others() is another process of the same server."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.clock = FakeClock(NOW)
        self.here = self.another()

    def another(self, domain: str = "", *, rewrites: bool = True) -> Forwarding:
        vault = Vault(self.folder / FILE, made_here=True)
        return Forwarding(self.database, vault, self.clock, "mx.two.test", ["two.test"], rewrites=rewrites, domain=domain)

    async def ahead(
        self, sender: MailPath = SENDER, headers: bytes = b"", *by: MailPath, place: Forwarding | None = None, stays: bool = False
    ) -> Forward:
        """A message that info@two.test sends on, its transaction done."""
        peer = Peer(IPv4Address("192.0.2.1"), 5, "mx")
        envelope = Envelope(EnvelopeId(1), sender, tuple(Recipient(each) for each in by or (ALIAS,)), peer, self.clock.now())
        forward = await (place or self.here).ahead(envelope, by or (ALIAS,), parse_headers(headers + b"\r\n"), stays=stays)
        if forward.keep is not None:
            await self.database.write(forward.keep)
        return forward


def at_two(folder: Path, work: Callable[[Place], Awaitable[None]]) -> None:
    with_store(folder, lambda database: work(Place(database, folder)))


@pytest.mark.parametrize("sender", ["a@one.test", f"{'l' * 60}@one.test", '"a b"@one.test', "SRS0=x=y=z.test=a@first.test", "ö@one.test"])
def test_a_sender_is_rewritten_and_its_bounce_finds_it(tmp_path: Path, sender: str) -> None:
    async def work(place: Place) -> None:
        path = parse_mailbox(sender)
        forward = await place.ahead(path)
        written = forward.envelope.sender
        assert str(written.host) == "Domain(ascii='two.test')"
        assert await place.here.behind(written) == path
        assert await place.another().behind(written) == path, "every process of the server knows it"
        assert [type(step) for step in forward.steps] == [journey.SenderRewritten]
        assert forward.prefix == b"Delivered-To: info@two.test\r\n"

    at_two(tmp_path, work)


def test_who_needs_no_other_sender_keeps_his(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        await place.database.write(lambda tx: accounts.add_domain(tx, "added.test", NOW))
        for path in (NULL_PATH, parse_mailbox("a@two.test"), parse_mailbox("a@added.test")):
            assert (await place.ahead(path)).envelope.sender == path
        assert (await place.ahead(place=place.another(rewrites=False))).envelope.sender == SENDER
        assert not (tmp_path / FILE).exists(), "no secret before it is needed"
        named = await place.ahead(place=place.another("srs.test"))
        assert str(named.envelope.sender.host) == "Domain(ascii='srs.test')"

    at_two(tmp_path, work)


def test_no_recipient_is_told_of_another(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        assert (await place.ahead(SENDER, b"", ALIAS, parse_mailbox("secret@two.test"))).prefix == b""
        assert (await place.ahead(stays=True)).prefix == b""

    at_two(tmp_path, work)


def test_a_new_secret_comes_each_month_and_the_former_one_is_believed_as_long_as_need_be(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        other, first = place.another(), (await place.ahead()).envelope.sender
        assert await other.behind(first) == SENDER
        place.clock.advance(days=25)
        late = (await place.ahead()).envelope.sender
        place.clock.advance(days=8)
        newest = (await place.ahead()).envelope.sender
        assert len(await place.database.read(srs.secrets)) == 2
        for each in (place.here, other):
            assert await each.behind(late) == await each.behind(newest) == SENDER
            with pytest.raises(BadValue, match="too old"):
                await each.behind(first)
        place.clock.advance(days=31)
        await place.ahead()
        assert len(await place.database.read(srs.secrets)) == 2, "the first one is of no more use"

    at_two(tmp_path, work)


def test_two_processes_make_one_secret(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        places = [place.another() for _ in range(5)]
        forwards = await asyncio.gather(*(place.ahead(place=each) for each in places))
        assert len(await place.database.read(lambda tx: tx.all("srs_secrets"))) == 1
        for forward in forwards:
            assert await place.here.behind(forward.envelope.sender) == SENDER

    at_two(tmp_path, work)


def test_a_lost_master_key_is_no_reason_for_a_new_one(tmp_path: Path) -> None:
    async def work(place: Place) -> None:
        await place.ahead()
        (tmp_path / FILE).unlink()
        with pytest.raises(KeysUnusable, match="cannot be read"):
            await place.ahead(place=place.another())
        assert not (tmp_path / FILE).exists()

    at_two(tmp_path, work)


OURS = b"Received: from x by mx.two.test with ESMTP id 1;\r\n\tTue, 24 Nov 2026 10:00:00 +0000\r\n"


@pytest.mark.parametrize(("headers", "loops"), [
    (b"Delivered-To: INFO@two.test\r\n", True),  # RL-21
    (b"Delivered-To: other@two.test\r\n", False),
    (OURS * 9, False),
    (OURS * 10, True),
    (OURS.replace(b"mx.two.test", b"mx.three.test") * 50, False),
])
def test_a_message_that_has_been_here_does_not_go_round_rl_20_rl_21(tmp_path: Path, headers: bytes, loops: bool) -> None:
    async def work(place: Place) -> None:
        if loops:
            with pytest.raises(Loop):
                await place.ahead(SENDER, headers)
        else:
            await place.ahead(SENDER, headers)

    at_two(tmp_path, work)


# ---- at our doors ----------------------------------------------------------------------------------


def test_only_bounces_to_what_we_have_written_go_on(tmp_path: Path) -> None:
    """No open relay by an address that somebody makes up, or keeps."""

    async def work(running: Running) -> None:
        router, forwarding = running.house.router, running.house.forwarding
        await running.house.database.write(lambda tx: accounts.set_catch_all(tx, "local.test", "bob@local.test", NOW))
        alias = parse_mailbox("team@local.test")
        peer = Peer(IPv4Address("192.0.2.1"), 5, "mx")
        envelope = Envelope(running.house.ids.envelope_id(), SENDER, (Recipient(alias),), peer, running.house.clock.now())
        path = (await forwarding.ahead(envelope, [alias], parse_headers(b"\r\n"), stays=False)).envelope.sender
        for relay in (False, True):
            assert await router.route(path, relay=relay, bounce=True) == (Remote(SENDER, "one.test", back=True),)
            refused = await router.route(path, relay=relay)
            assert isinstance(refused, Refused)
            assert refused.reply.code == 550
        for local in ("SRS0=aaaaaaaa=aa=victim.test=a", "SRS1=aaaaaaaaaa=victim.test==a", path.local[:-1], "srs0=x"):
            forged = await router.route(MailPath(local, alias.host), relay=False, bounce=True)
            assert isinstance(forged, Refused), "not even to the catch-all"
            assert forged.reply.code == 550
        (tmp_path / "data" / FILE).rename(tmp_path / "away")
        forwarding._read_at = float("-inf")
        later = await router.route(path, relay=False, bounce=True)
        assert isinstance(later, Refused)
        assert later.reply.code == 451, "who comes back later is not told a lie"

    in_house(tmp_path, work, ())


@dataclass
class Chain:
    """one: local.test, where alice writes. two: two.test, where info@ is an alias. host: remote.test, where it leads."""

    one: Running
    two: Running
    host: ScriptedHost
    zone: FakeZone
    at_one: World
    alias: MailPath = ALIAS


@asynccontextmanager
async def chain(folder: Path, forwarding: str = "", policies: str = "", **says: str) -> AsyncIterator[Chain]:
    """Three hosts at three addresses of loopback, all at one port."""
    zone = FakeZone(
        {
            "local.test": ["MX 10 mx.local.test.", "TXT v=spf1 ip4:127.0.0.2 -all"],
            "mx.local.test": ["A 127.0.0.2"],
            "two.test": ["MX 10 mx.two.test.", "TXT v=spf1 mx -all"],
            "mx.two.test": ["A 127.0.0.3"],
            "remote.test": ["MX 10 mx.remote.test."],
            "mx.remote.test": ["A 127.0.0.4"],
        }
    )
    for name in ("one", "two"):
        (folder / name).mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        host = stack.enter_context(ScriptedHost(says=says, ip=IPv4Address("127.0.0.4")))
        dns = await stack.enter_async_context(ServedZone(zone))

        def settings(ip: str) -> str:
            outbound = f'[outbound]\nport = {host.port}\nsource_addresses = ["{ip}"]\n'
            return SETTINGS.replace("127.0.0.1:9", dns.address) + outbound

        second = settings("127.0.0.3").replace('"mx.ekiden.test"', '"mx.two.test"').replace('["local.test"]', '["two.test"]')
        second = f"{policies}\n{second}[forwarding]\n{forwarding}\n"
        first = settings("127.0.0.2").replace('"mx.ekiden.test"', '"mx.local.test"')
        at_one, at_two = Endpoint("127.0.0.2", host.port), Endpoint("127.0.0.3", host.port)
        one = await stack.enter_async_context(open_house(folder / "one", ("mx", "submission"), first, endpoint=at_one))
        two = await stack.enter_async_context(open_house(folder / "two", ("mx",), second, endpoint=at_two))
        await two.house.database.write(lambda tx: accounts.add_alias(tx, "info@two.test", ["final@remote.test"]))
        await give_keys(one.house, "local.test", "e1", "r1", zone=zone)
        async with asyncio.timeout(60):
            yield Chain(one, two, host, zone, World(one, host, zone))


async def _reports(running: Running) -> list[bytes]:
    """What has come to alice, once there is something."""
    account = await account_of(running.house, "alice")
    while not (found := await stored(running, "alice")):
        await running.house.changes.wait(account, 0.5)
    return found


def test_a_forwarded_letter_keeps_its_signatures_and_passes_spf(tmp_path: Path) -> None:
    async def work() -> None:
        async with chain(tmp_path) as there:
            await there.at_one.submit(LETTER, to=["info@two.test"])
            (raw,) = await there.at_one.received()
            assert [result for *_, result in there.at_one.verdicts(raw)] == [Result.PASS, Result.PASS]
            assert there.at_one.by_dkimpy(raw) == [True, True]
            assert raw.endswith(LETTER)
            (letter,) = there.host.messages
            sender = parse_mailbox(letter.sender)
            assert sender.local.startswith("SRS0=")

            def spf(path: MailPath) -> Result:
                lookup = check_host(ip_address("127.0.0.3"), "mx.two.test", path, receiver="mx.remote.test", now=Millis(NOW))
                return there.zone.run(lookup).result

            assert spf(sender) is Result.PASS
            assert spf(parse_mailbox("alice@local.test")) is Result.FAIL, "without another sender it would not have passed"
            steps = await there.two.house.database.read(
                lambda tx: [step for found in journeys.find(tx, "1@local.test") for step in journeys.steps_of(tx, found)]
            )
            assert [step.sender for step in steps if isinstance(step, journey.SenderRewritten)] == ["alice@local.test"]

    asyncio.run(work())


def test_a_bounce_of_the_last_host_comes_back_to_the_sender(tmp_path: Path) -> None:
    async def work() -> None:
        async with chain(tmp_path) as there:
            await there.at_one.submit(LETTER, to=["info@two.test"])
            await there.at_one.received()
            sender = there.host.messages[0].sender

            def bounce(mail_from: str) -> None:
                with smtplib.SMTP("127.0.0.3", there.host.port, "mx.remote.test", timeout=20) as client:
                    client.sendmail(mail_from, [sender], b"From: <>\r\nSubject: returned\r\n\r\nsorry\r\n")

            with pytest.raises(smtplib.SMTPRecipientsRefused):
                await asyncio.to_thread(bounce, "stranger@remote.test")
            await asyncio.to_thread(bounce, "")
            (report,) = await _reports(there.one)
            assert report.startswith(b"Return-Path: <>\r\n")
            assert b"Subject: returned" in report
            assert b"Delivered-To: alice@local.test\r\n" in report

    asyncio.run(work())


def test_our_own_report_about_a_forwarded_letter_finds_its_sender(tmp_path: Path) -> None:
    async def work() -> None:
        async with chain(tmp_path, RCPT="550 5.1.1 nobody") as there:
            await there.at_one.submit(LETTER, to=["info@two.test"])
            (report,) = await _reports(there.one)
            assert report.startswith(b"Return-Path: <>\r\n")
            assert b"\r\nTo: <alice@local.test>\r\n" in report or b"\r\nTo: alice@local.test\r\n" in report
            assert b"SRS0=" not in report.partition(b"\r\n\r\n")[0]

    asyncio.run(work())

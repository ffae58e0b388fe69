"""Refused mail keeps its journey, and a flood of it stays small."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path

from tests.store.stores import NOW

from ekiden.base.ids import IdMaker, id_text
from ekiden.mail import journey
from ekiden.mail.address import Domain
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.services.refusals import MOST_BYTES, Refusals, bounded
from ekiden.smtp.replies import NOT_ALLOWED, NOT_NOW
from ekiden.store import journeys, refused
from ekiden.store.database import Database, open_database
from ekiden.testing.clock import FakeClock

ALICE = Recipient(MailPath("alice", Domain("local.test")))


class _World:
    def __init__(self, database: Database, a_minute: int) -> None:
        self.database = database
        self.clock = FakeClock(NOW)
        self.ids = IdMaker(self.clock)
        self.noted: list[str] = []
        self.refusals = Refusals(database, self.clock, lambda event, **_: self.noted.append(event), a_minute)

    def envelope(self, recipients: tuple[Recipient, ...] = (ALICE,)) -> Envelope:
        sender = MailPath("eve", Domain("evil.test"))
        return Envelope(self.ids.envelope_id(), sender, recipients, Peer(IPv4Address("192.0.2.1"), 5, "mx"), self.clock.now())


def _in(folder: Path, work: Callable[[_World], Awaitable[None]], a_minute: int = 60) -> None:
    async def main() -> None:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        try:
            await work(_World(database, a_minute))
        finally:
            database.close()

    asyncio.run(main())


def test_the_reply_names_what_is_kept_and_the_journey_ends_with_it(tmp_path: Path) -> None:
    async def work(world: _World) -> None:
        envelope = world.envelope((ALICE,) * 7)
        steps: list[journey.Step] = [journey.ContentReceived(NOW, 100, "m@evil.test"), journey.Judged(NOW, "p", "message", "reject", "no")]
        told = await world.refusals.keep(envelope, steps, NOT_ALLOWED)
        assert told.encode().split(b"\r\n")[:2] == [
            b"550-5.7.1 Refused by the policy of this server", f"550 5.7.1 Refused as {id_text(envelope.id)}".encode(),
        ]  # fmt: skip
        found = await world.database.read(lambda tx: journeys.steps_of(tx, envelope.id))
        assert found == [*steps, journey.Refused(world.clock.now(), NOT_ALLOWED.text)]
        (listed,) = await world.database.read(refused.latest)
        assert (listed.sender, listed.message_id, listed.reply) == ("eve@evil.test", "m@evil.test", NOT_ALLOWED.text)
        assert listed.recipients == ", ".join(["alice@local.test"] * 5) + ", …"

    _in(tmp_path, work)


def test_what_is_put_off_is_told_so(tmp_path: Path) -> None:
    async def work(world: _World) -> None:
        envelope = world.envelope()
        told = await world.refusals.keep(envelope, [], NOT_NOW)
        assert told.lines[-1] == f"Put off as {id_text(envelope.id)}"
        assert told.code == 451

    _in(tmp_path, work)


def test_a_flood_is_kept_to_so_many_a_minute(tmp_path: Path) -> None:
    async def work(world: _World) -> None:
        told = [await world.refusals.keep(world.envelope(), [], NOT_ALLOWED) for _ in range(10)]
        assert [reply is NOT_ALLOWED for reply in told] == [False] * 3 + [True] * 7
        assert world.noted == ["refusals-not-kept"]
        assert len(await world.database.read(refused.latest)) == 3
        world.clock.advance(minutes=1)
        assert await world.refusals.keep(world.envelope(), [], NOT_ALLOWED) is not NOT_ALLOWED
        assert len(await world.database.read(refused.latest)) == 4

    _in(tmp_path, work, a_minute=3)


def test_a_broken_store_changes_no_refusal(tmp_path: Path) -> None:
    async def work(world: _World) -> None:
        world.database.close()
        assert await world.refusals.keep(world.envelope(), [], NOT_ALLOWED) is NOT_ALLOWED
        assert world.noted == ["refusal-not-kept"]

    _in(tmp_path, work)


def test_one_that_is_there_already_changes_no_refusal_either(tmp_path: Path) -> None:
    async def work(world: _World) -> None:
        envelope = world.envelope()
        assert await world.refusals.keep(envelope, [], NOT_ALLOWED) is not NOT_ALLOWED
        assert await world.refusals.keep(envelope, [], NOT_ALLOWED) is NOT_ALLOWED
        assert world.noted == ["refusal-not-kept"]

    _in(tmp_path, work)


def test_a_journey_of_any_length_is_stored_small() -> None:
    end = journey.Refused(NOW, "550 no")
    said = journey.Judged(NOW, "p", "message", "reject", "no")
    many = [journey.RecipientGiven(NOW, f"r{number}@local.test", "250 OK") for number in range(1000)]
    answers = [journey.DnsAnswered(NOW, "q", "x" * 500)] * 100
    assert journey.decode_steps(bounded([*many, said], end)) == [*many[:20], said, end]
    assert journey.decode_steps(bounded([*many, *answers[:10], said], end)) == [*many[:20], *answers[:10], said, end]
    assert journey.decode_steps(bounded([*many, *answers, said], end)) == [*many[:20], said, end]
    huge = journey.Judged(NOW, "p", "message", "reject", "x" * MOST_BYTES)
    assert journey.decode_steps(bounded([*many, huge], end)) == [many[0], end]
    assert len(bounded([*many, *answers, said] * 3, end)) <= MOST_BYTES

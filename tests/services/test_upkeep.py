"""What upkeep takes away, and what it must never touch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from tests.store.stores import NOW, a_message

from ekiden.base.clock import Millis
from ekiden.base.errors import StoreError
from ekiden.base.ids import EnvelopeId
from ekiden.mail import journey
from ekiden.mail.address import parse_mailbox
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.mailauth.dmarc_report import AggregateReport, Published, Record
from ekiden.services.upkeep import Retention, Upkeep
from ekiden.store import accounts, dmarc, entries, journeys, mailboxes, messages, queue, refused
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.database import Database, Tx, open_database
from ekiden.store.dmarc import Detail, PolicyFound
from ekiden.testing.clock import FakeClock

DAY_MS = 86_400_000


@dataclass
class World:
    database: Database
    blobs: FileBlobs
    clock: FakeClock
    upkeep: Upkeep
    inbox: mailboxes.Mailbox
    noted: list[str]

    async def box(self) -> mailboxes.Mailbox:
        found = await self.database.read(lambda tx: mailboxes.by_id(tx, self.inbox.id))
        assert found is not None
        return found

    async def content_of(self, message: int) -> messages.Sendable | None:
        return await self.database.read(lambda tx: messages.sendable(tx, EnvelopeId(message)))


def in_world(folder: Path, work: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = FakeClock(NOW)
        noted: list[str] = []
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        blobs = FileBlobs(folder / "blobs")

        def log(event: str, **_fields: object) -> None:
            noted.append(event)

        def make(tx: Tx) -> mailboxes.Mailbox:
            account = accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW).id
            for number in range(1, 4):
                messages.insert(tx, a_message(number))
                journeys.add_steps(tx, EnvelopeId(number), [journey.Committed(NOW, "250 OK")])
            inbox = mailboxes.named(tx, account, "INBOX")
            assert inbox is not None
            for number in range(1, 4):
                messages.deposit(tx, inbox.id, EnvelopeId(number), internal_date=NOW, size=10)
            return inbox

        try:
            inbox = await database.write(make)
            keep = Retention(journeys_ms=30 * DAY_MS, finished_ms=DAY_MS, orphans_s=3600, every_ms=600_000)
            upkeep = Upkeep(database, blobs, clock, log, owner="one", keep=keep)
            await work(World(database, blobs, clock, upkeep, inbox, noted))
        finally:
            database.close()

    asyncio.run(main())


def test_content_goes_when_the_last_copy_has_gone(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        archive = await world.database.write(lambda tx: mailboxes.create(tx, world.inbox.account, "kept", now=NOW))
        await world.database.write(lambda tx: entries.copy(tx, world.inbox.id, [(1, 1)], archive))
        box = await world.box()
        await world.database.write(lambda tx: entries.remove(tx, box, [1, 2]))
        swept = await world.upkeep.round()
        assert swept is not None
        assert swept.contents == 1
        assert await world.content_of(1) is not None
        assert await world.content_of(2) is None
        assert await world.content_of(3) is not None
        assert await world.database.read(lambda tx: journeys.find(tx, "m2@one.test")) == [2]

    in_world(tmp_path, work)


def test_a_deleted_folder_is_emptied(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.database.write(lambda tx: mailboxes.remove(tx, world.inbox.id))
        swept = await world.upkeep.round()
        assert swept is not None
        assert (swept.copies, swept.contents) == (3, 3)
        assert list(await world.database.read(lambda tx: entries.all_uids(tx, world.inbox.id))) == []
        again = await world.upkeep.round()
        assert again is not None
        assert (again.copies, again.contents) == (0, 0)

    in_world(tmp_path, work)


def test_finished_copies_keep_their_content_for_a_day(tmp_path: Path) -> None:
    recipient = Recipient(parse_mailbox("bob@two.test"))
    envelope = Envelope(EnvelopeId(2), parse_mailbox("a@one.test"), (recipient,), Peer(ip_address("192.0.2.1"), 1, "mx"), NOW)

    async def work(world: World) -> None:
        def send(tx: Tx) -> None:
            queue.enqueue(tx, envelope, recipient, "two.test", now=NOW)
            (batch,) = queue.lease_due(tx, owner="c", now=NOW, until=Millis(NOW + 1), count=1)
            queue.finish(tx, batch, batch.deliveries[0].id, queue.Status.DONE, "250 OK", NOW)

        await world.database.write(send)
        box = await world.box()
        await world.database.write(lambda tx: entries.remove(tx, box, [2]))
        await world.upkeep.round()
        assert await world.content_of(2) is not None
        world.clock.advance(days=1, minutes=1)
        swept = await world.upkeep.round()
        assert swept is not None
        assert (swept.envelopes, swept.contents) == (1, 1)
        assert await world.content_of(2) is None

    in_world(tmp_path, work)


def test_a_copy_that_waits_in_the_queue_keeps_its_content(tmp_path: Path) -> None:
    recipients = tuple(Recipient(parse_mailbox(f"{name}@two.test")) for name in ("bob", "carol"))
    envelope = Envelope(EnvelopeId(2), parse_mailbox("a@one.test"), recipients, Peer(ip_address("192.0.2.1"), 1, "mx"), NOW)

    async def work(world: World) -> None:
        def send(tx: Tx) -> None:
            for recipient in recipients:
                queue.enqueue(tx, envelope, recipient, "two.test", now=NOW)
            (batch,) = queue.lease_due(tx, owner="c", now=NOW, until=Millis(NOW + 1), count=1)
            queue.finish(tx, batch, batch.deliveries[0].id, queue.Status.DONE, "250 OK", NOW)

        await world.database.write(send)
        box = await world.box()
        await world.database.write(lambda tx: entries.remove(tx, box, [2]))
        world.clock.advance(days=9)
        await world.upkeep.round()
        assert await world.content_of(2) is not None

    in_world(tmp_path, work)


def test_a_journey_outlives_its_message_by_a_month(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        box = await world.box()
        await world.database.write(lambda tx: entries.remove(tx, box, [2]))
        await world.upkeep.round()
        world.clock.advance(days=29)
        await world.upkeep.round()
        assert len(await world.database.read(lambda tx: journeys.steps_of(tx, EnvelopeId(2)))) == 1
        world.clock.advance(days=2)
        swept = await world.upkeep.round()
        assert swept is not None
        assert swept.journeys == 1
        assert await world.database.read(lambda tx: journeys.steps_of(tx, EnvelopeId(2))) == []
        assert len(await world.database.read(lambda tx: journeys.steps_of(tx, EnvelopeId(1)))) == 1

    in_world(tmp_path, work)


def test_files_that_no_row_names_go_after_an_hour_and_no_others(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        named, orphan, young = (_blob(world.blobs) for _ in range(3))
        message = a_message(9)
        large = message._replace(inline=None, blob=named)

        def keep(tx: Tx) -> None:
            messages.insert(tx, large)
            messages.deposit(tx, world.inbox.id, large.id, internal_date=NOW, size=1)

        await world.database.write(keep)
        unfinished = world.blobs.create()
        unfinished.write(b"half")
        unfinished.close()
        leftover = next((tmp_path / "blobs" / "tmp").iterdir())
        for file in (world.blobs.path(named.id), world.blobs.path(orphan.id), leftover):
            os.utime(file, (1, 1))
        swept = await world.upkeep.round()
        assert swept is not None
        assert swept.blobs == 1
        assert [world.blobs.path(blob.id).exists() for blob in (named, orphan, young)] == [True, False, True]
        assert not leftover.exists()

    in_world(tmp_path, work)


def test_one_process_keeps_at_a_time(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        other = Upkeep(world.database, world.blobs, world.clock, lambda event, **_: None, owner="two")
        assert await world.upkeep.round() is not None
        assert await other.round() is None
        await world.upkeep.close()
        assert await other.round() is not None
        world.clock.advance(hours=1)
        assert await world.upkeep.round() is not None  # the other one has not been seen for long

    in_world(tmp_path, work)


def test_a_store_that_fails_is_noted_and_tried_again(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        class Broken(FileBlobs):
            def older_than(self, seconds: float):  # type: ignore[no-untyped-def]  # always raises
                raise StoreError("broken")

        noted: asyncio.Queue[str] = asyncio.Queue()
        upkeep = Upkeep(world.database, Broken(tmp_path / "blobs"), world.clock, lambda event, **_: noted.put_nowait(event), owner="one")
        task = asyncio.create_task(upkeep.run())
        assert await noted.get() == "upkeep-failed"
        await world.clock.until_asleep()
        world.clock.advance(minutes=11)
        assert await noted.get() == "upkeep-failed"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    in_world(tmp_path, work)


def test_nothing_to_do_is_not_noted(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        task = asyncio.create_task(world.upkeep.run())
        await world.clock.until_asleep()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert world.noted == []

    in_world(tmp_path, work)


def _blob(blobs: FileBlobs):  # type: ignore[no-untyped-def]  # a Blob
    writer = blobs.create()
    writer.write(b"content")
    blob = writer.commit()
    writer.close()
    return blob


def test_reports_of_others_and_counts_that_nobody_reports_go_when_they_are_old(tmp_path: Path) -> None:
    record = Record("192.0.2.1", 1, "none", "pass", "pass", "one.test")
    report = AggregateReport("Two", "a@two.test", "r1", 1, 2, Published("one.test"), (record,))
    policy = PolicyFound("v=DMARC1; p=none", "one.test", "psl")
    mail = Detail("192.0.2.1", "one.test", "", "", "none", True, True)

    async def work(world: World) -> None:
        def make(tx: Tx) -> None:
            dmarc.keep(tx, report, EnvelopeId(1), NOW)
            for day in (NOW // DAY_MS, NOW // DAY_MS - 30):
                dmarc.add(tx, day, "one.test", policy, {mail: 1})

        await world.database.write(make)
        await world.upkeep.round()
        assert await world.database.read(lambda tx: dmarc.due(tx, 100_000)) == [(NOW // DAY_MS, "one.test")]
        assert (await world.database.read(lambda tx: dmarc.totals(tx, "", 0))).reports == 1
        world.clock.advance(days=401)
        await world.upkeep.round()
        assert (await world.database.read(lambda tx: dmarc.totals(tx, "", 0))).reports == 0

    in_world(tmp_path, work)


def test_journeys_of_refused_mail_go_when_they_are_old_or_many(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        def make(tx: Tx) -> None:
            for number in range(1, 21):
                at = Millis(NOW - 8 * DAY_MS if number <= 3 else NOW + number)
                refused.keep(tx, refused.Refusal(EnvelopeId(number), at, "", "a@b.test", "alice@example.test", "550 no"), b"[]")

        async def kept() -> int:
            return len(await world.database.read(refused.latest))

        await world.database.write(make)
        await world.upkeep.round()
        assert await kept() == 17
        few = Upkeep(world.database, world.blobs, world.clock, lambda event, **_: None, owner="one", keep=Retention(refused=5))
        await few.round()
        assert await kept() == 5

    in_world(tmp_path, work)

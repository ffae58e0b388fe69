"""Reports to senders: what they say, to whom they go, to whom not. Rows OU-12, OU-18, OU-31, OU-32."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from tests.services.relay import ALICE, CONTENT, a_batch

from ekiden.base.clock import Millis
from ekiden.base.ids import IdMaker, id_from_text
from ekiden.mail.address import NULL_PATH, Domain
from ekiden.mail.address import Path as MailPath
from ekiden.mail.dsn import parse_dsn
from ekiden.mail.envelope import Notify
from ekiden.policy.stage import World
from ekiden.services.arrive import Arrivals
from ekiden.services.attempt import Outcome
from ekiden.services.bounce import Reports, Telling
from ekiden.services.routing import Router
from ekiden.smtp.replies import Reply
from ekiden.store import accounts, messages, queue
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx, open_database
from ekiden.testing.clock import START, FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver

T = TypeVar("T")
NO_SUCH = Reply(550, (5, 1, 1), ("No such <mailbox>\\x1b[2J",))
LATER = Reply(451, (4, 4, 1), ("mx.remote.test: Connection refused",))


async def _count(key: str, per_s: int) -> int:
    return 0


def with_reports(folder: Path, work: Callable[[Reports, Database, list[str]], Awaitable[T]], domains: tuple[str, ...] = ("one.test",)) -> T:
    """A store with alice@one.test, and what writes reports into it. The list gathers what was logged."""

    async def main() -> T:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        clock = FakeClock()
        logged: list[str] = []

        def log(event: str, **_: object) -> None:
            logged.append(event)

        try:
            await database.write(lambda tx: accounts.create_account(tx, "alice", ["alice@one.test"], "no password", START))
            changes = Changes()
            world = World(clock, ZoneResolver(FakeZone({})), _count, log)
            arrivals = Arrivals(database, changes, clock, world, "mx.one.test")
            router = Router(database, clock, "mx.one.test", domains)
            return await work(Reports(arrivals, router, IdMaker(clock), clock, "mx.one.test", log), database, logged)
        finally:
            database.close()

    return asyncio.run(main())


def tell(reply: Reply = NO_SUCH, *, is_remote: bool = True, **more: bool) -> Telling:
    [delivery] = a_batch("bob@remote.test").deliveries
    return Telling(Outcome(delivery, reply, "mx.remote.test", is_remote), **more)


def content_of(tx: Tx, text: str) -> bytes:
    found = messages.sendable(tx, id_from_text(text))
    assert found is not None
    assert found.content is not None
    return found.prefix + found.content


def test_a_failure_is_reported_into_the_senders_mailbox(tmp_path: Path) -> None:
    async def work(reports: Reports, database: Database, logged: list[str]) -> bytes:
        [report] = await reports.failed(a_batch().envelope, [tell()], CONTENT)
        assert (await database.write(report.store), report.is_remote) == ((1,), False)
        assert report.step.kind == "failed"
        return await database.read(lambda tx: content_of(tx, report.step.report))

    raw = with_reports(tmp_path, work)
    assert raw.startswith(b"From: Mail Delivery System <postmaster@mx.one.test>\r\nTo: alice@one.test\r\n")
    dsn = parse_dsn(raw)
    assert dsn is not None
    [recipient] = dsn.recipients
    assert (recipient.recipient, recipient.action, recipient.status) == ("bob@remote.test", "failed", "5.1.1")
    assert (recipient.remote_mta, recipient.diagnostic) == ("mx.remote.test", "550 5.1.1 No such <mailbox>\\x1b[2J")
    assert dsn.message_id == "1@one.test"
    for word in ("bob@remote.test", "550 5.1.1", "a letter", "The mailbox", "配信できませんでした"):
        assert word in dsn.text
    assert b"\x1b" not in raw
    assert raw.count(b"\n") == raw.count(b"\r\n")


def test_a_sender_elsewhere_gets_the_report_through_the_queue(tmp_path: Path) -> None:
    async def work(reports: Reports, database: Database, logged: list[str]) -> list[queue.Batch]:
        envelope = replace(a_batch().envelope, sender=MailPath("carol", Domain("three.test")))
        [report] = await reports.failed(envelope, [tell()], CONTENT)
        assert report.is_remote
        await database.write(report.store)
        return await database.write(lambda tx: queue.lease_due(tx, owner="me", now=START, until=Millis(START + 1), count=5))

    [batch] = with_reports(tmp_path, work)
    assert (batch.envelope.sender, batch.next_hop) == (NULL_PATH, "three.test")
    assert batch.deliveries[0].recipient.notify == Notify(0)


@pytest.mark.parametrize(
    ("sender", "notify"),
    [(NULL_PATH, Notify.FAILURE), (ALICE, Notify(0)), (ALICE, Notify.DELAY), (MailPath("nobody", Domain("one.test")), Notify.FAILURE)],
)
def test_who_hears_nothing(tmp_path: Path, sender: MailPath, notify: Notify) -> None:
    """Row OU-31, NOTIFY=NEVER, and a sender that does not exist."""

    async def work(reports: Reports, database: Database, logged: list[str]) -> int:
        envelope = replace(a_batch().envelope, sender=sender)
        telling = tell()
        delivery = replace(telling.outcome.delivery, recipient=replace(telling.outcome.delivery.recipient, notify=notify))
        return len(await reports.failed(envelope, [Telling(replace(telling.outcome, delivery=delivery))], CONTENT)) + 10 * len(logged)

    assert with_reports(tmp_path, work) == (10 if sender.local == "nobody" else 0)


def test_a_delay_says_until_when(tmp_path: Path) -> None:
    async def work(reports: Reports, database: Database, logged: list[str]) -> bytes:
        until = Millis(START + 86_400_000)
        [report] = await reports.delayed(a_batch().envelope, [tell(LATER, is_remote=False)], CONTENT, until)
        await database.write(report.store)
        return await database.read(lambda tx: content_of(tx, report.step.report))

    dsn = parse_dsn(with_reports(tmp_path, work))
    assert dsn is not None
    [recipient] = dsn.recipients
    assert (recipient.action, recipient.status, recipient.diagnostic) == ("delayed", "4.4.1", "")
    assert recipient.will_retry_until == START + 86_400_000
    assert "mx.remote.test: Connection refused" in dsn.text


def test_what_waited_too_long_has_a_status_of_its_own(tmp_path: Path) -> None:
    async def work(reports: Reports, database: Database, logged: list[str]) -> bytes:
        [report] = await reports.failed(a_batch().envelope, [tell(LATER, is_remote=False, expired=True)], CONTENT)
        await database.write(report.store)
        return await database.read(lambda tx: content_of(tx, report.step.report))

    dsn = parse_dsn(with_reports(tmp_path, work))
    assert dsn is not None
    assert (dsn.recipients[0].action, dsn.recipients[0].status) == ("failed", "5.4.7")
    assert "too long" in dsn.text


def test_many_recipients_and_a_big_message_stay_small(tmp_path: Path) -> None:
    """Row OU-32."""

    async def work(reports: Reports, database: Database, logged: list[str]) -> list[bytes]:
        found = await reports.failed(a_batch().envelope, [tell()] * 250, CONTENT + b"x" * 2_000_000)
        for report in found:
            await database.write(report.store)
        return [await database.read(lambda tx, r=report: content_of(tx, r.step.report)) for report in found]  # type: ignore[misc]

    raws = with_reports(tmp_path, work)
    read = [parse_dsn(raw) for raw in raws]
    assert [len(dsn.recipients) for dsn in read if dsn is not None] == [100, 100, 50]
    assert all(len(raw) < 250_000 for raw in raws)

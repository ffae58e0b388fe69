"""Clocks that jump: nothing is given up, nothing freezes, ids stay unique.

Source: reliability.md §1.3 (C7), F-60 … F-63.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from imaplib import Internaldate2tuple
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.services.test_courier import Post, with_courier

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId, IdMaker
from ekiden.mail import journey
from ekiden.mail.trace import date_time
from ekiden.services import timeline
from ekiden.services.schedule import Schedule, longest_wait_ms
from ekiden.store import queue
from ekiden.store.database import Tx
from ekiden.testing.clock import START, FakeClock
from ekiden.testing.peers import HANG, ScriptedHost

JUMPS_DAYS = (1, 365, -1, -365, -20_833, 4023)
"""A day, a year, both ways, near 1970, to January 2038."""
ID = 7 << 50
"""Of the message that waits: none that is made near 1970 gets this one."""


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_a_jump_while_mail_waits_neither_gives_up_nor_freezes(tmp_path: Path, days: int) -> None:
    async def work(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        (before,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(ID)))
        assert (before.status, before.attempts) == ("due", 1)
        post.clock.jump(days=days)
        await post.settle()
        await post.clock.run_for(hours=5, sleepers=1)
        (after,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(ID)))
        assert after.status == "due"
        assert after.attempts >= 2
        assert after.attempts <= 9
        assert {report.recipients[0].action for report in await post.reports()} <= {"delayed"}, "it has waited for five hours"

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, work)


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_after_the_jump_the_lifetime_is_as_long_as_ever(tmp_path: Path, days: int) -> None:
    """Neither shorter, nor for ever: what waits is given up after five days of real time, and its sender hears of the delay in time.

    Where the wall clock comes through the same days a second time, what waits is as young as it can be by that.
    """

    async def work(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        post.clock.jump(days=days)
        await post.clock.run_for(hours=4 * 24, sleepers=1)
        assert await post.statuses(ID) == ["due"]
        assert [report.recipients[0].action for report in await post.reports()] == ["delayed"]
        await post.clock.run_for(hours=60 if days == -1 else 36, sleepers=1)
        assert await post.statuses(ID) == ["expired"]

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, work)


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_a_jump_while_the_server_is_stopped_gives_nothing_up(tmp_path: Path, days: int) -> None:
    async def before(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        await post.clock.run_for(hours=5, sleepers=1)

    async def after(post: Post) -> None:
        await post.settle()
        await post.clock.run_for(hours=4 * 24 - 5 - 24, sleepers=1)  # a day may have passed meanwhile
        assert await post.statuses(ID) == ["due"]
        await post.clock.run_for(hours=84 if days == -1 else 60, sleepers=1)
        assert await post.statuses(ID) == ["expired"]

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, before)
    with_courier(tmp_path, port, after, now=START + 5 * 3_600_000 + days * 86_400_000)


def test_what_was_reckoned_before_the_clock_was_set_back_and_written_after_it_waits_no_year(tmp_path: Path) -> None:
    """An attempt that ends just then says when to try again by the clock as it was."""

    async def work(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        before = post.clock.now()
        post.clock.jump(days=-365)
        post.courier.wake()
        await post.settle()
        await _put_off(post, before + 300_000)
        post.courier.wake()
        await post.settle()
        assert await _waits_ms(post) <= longest_wait_ms(Schedule())

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, work)


def test_a_courier_that_sleeps_hears_within_minutes_that_the_clock_was_set_back(tmp_path: Path) -> None:
    """Though it fell asleep just when that happened, with the next try a year ahead."""

    async def work(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        beating = asyncio.create_task(post.courier.beat())
        await _put_off(post, post.clock.now() + 365 * 86_400_000)
        post.courier.wake()
        await post.settle()
        await post.clock.until_asleep(2)
        post.clock.jump(days=-1)
        await post.clock.run_for(seconds=125, sleepers=2)
        assert await _waits_ms(post) <= longest_wait_ms(Schedule())
        beating.cancel()

    with ScriptedHost() as host:
        port = host.port
    with_courier(tmp_path, port, work)


async def _put_off(post: Post, until: int) -> None:
    """As an attempt does that does not know better."""

    def work(tx: Tx) -> None:
        (batch,) = queue.lease_due(tx, owner="me", now=Millis(2**62), until=Millis(1), count=1)
        assert queue.again(tx, batch, batch.deliveries[0].id, Millis(until), "later")

    await post.database.write(work)


async def _waits_ms(post: Post) -> int:
    (copy,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(ID)))
    assert copy.status == "due"
    return copy.due_at - post.clock.now()


@pytest.mark.parametrize("days", [1, 365])
def test_a_jump_ahead_does_not_take_the_lease_of_a_running_attempt(tmp_path: Path, days: int) -> None:
    """What is being handed over must not be handed over a second time at the same moment."""

    async def work(post: Post) -> None:
        await post.post("x@remote.test", id=ID)
        async with asyncio.timeout(5):
            while not host.connections:  # noqa: ASYNC110  # a host lives in threads
                await asyncio.sleep(0.001)
        post.clock.jump(days=days)
        for _ in range(20):
            post.courier.wake()
            await asyncio.sleep(0.005)
        assert host.connections == 1
        (copy,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(ID)))
        assert copy.leased_until
        await post.settle()

    with ScriptedHost(says={"banner": HANG}) as host:
        with_courier(tmp_path, host.port, work, patience_s=1.0)
        assert host.connections == 1


def test_mail_that_a_person_dropped_during_an_attempt_stays_dropped(tmp_path: Path) -> None:
    async def work(post: Post) -> None:
        await post.courier.stop()
        await post.post("x@remote.test")
        now = post.clock.now()
        until = Millis(now + 60_000)
        (batch,) = await post.database.write(lambda tx: queue.lease_due(tx, owner="me", now=now, until=until, count=9))
        number = batch.deliveries[0].id
        await post.database.write(lambda tx: queue.drop(tx, EnvelopeId(1), now, "by hand"))
        assert not await post.database.write(lambda tx: queue.again(tx, batch, number, until, "later"))
        assert not await post.database.write(lambda tx: queue.finish(tx, batch, number, queue.Status.DONE, "250", now))
        (after,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(1)))
        assert (after.status, after.reply) == ("failed", "by hand")

    with_courier(tmp_path, 9, work)


def test_a_clock_that_is_set_back_makes_no_wait_longer() -> None:
    async def main() -> None:
        clock = FakeClock()
        sleeping = asyncio.create_task(clock.sleep_until(Millis(clock.now() + 60_000)))
        await clock.until_asleep()
        clock.jump(days=-365)
        clock.advance(seconds=60)
        async with asyncio.timeout(5):
            await sleeping

    asyncio.run(main())


@pytest.mark.parametrize("days", JUMPS_DAYS)
def test_ids_are_unique_and_grow_over_a_jump(days: int) -> None:
    clock = FakeClock()
    maker = IdMaker(clock)
    made = [maker.envelope_id() for _ in range(100)]
    clock.jump(days=days)
    made += [maker.envelope_id() for _ in range(100)]
    assert made == sorted(set(made))


def test_the_longest_wait_has_its_jitter() -> None:
    assert longest_wait_ms(Schedule(waits_s=(60, 100), jitter=0.1)) == 110_000


# ---- F-62: summer time, leap seconds, another time zone -----------------------------------------------

_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Apia", "right/UTC", "XXX-14:59", "")
_MOMENTS = {
    "the hour that is not there in Berlin": (1_774_746_000_000, "Sun, 29 Mar 2026 01:00:00 +0000"),
    "the hour that is there twice in Berlin": (1_792_889_999_999, "Sun, 25 Oct 2026 00:59:59 +0000"),
    "once more": (1_792_890_000_000, "Sun, 25 Oct 2026 01:00:00 +0000"),
    "before the leap second of 2016": (1_483_228_799_000, "Sat, 31 Dec 2016 23:59:59 +0000"),
    "after it": (1_483_228_800_000, "Sun, 01 Jan 2017 00:00:00 +0000"),
    "the day that Samoa left out": (1_325_239_200_000, "Fri, 30 Dec 2011 10:00:00 +0000"),
    "the last second of 32 bits": (2_147_483_647_000, "Tue, 19 Jan 2038 03:14:07 +0000"),
    "a leap day": (1_709_164_800_000, "Thu, 29 Feb 2024 00:00:00 +0000"),
}


@pytest.fixture(params=_ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A time zone of the process."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("moment", _MOMENTS)
def test_dates_are_right_in_every_zone(zone: str, moment: str) -> None:
    at, shown = _MOMENTS[moment]
    assert parsedate_to_datetime(date_time(Millis(at))) == parsedate_to_datetime(shown)
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    steps = [journey.Deferred(Millis(at), "x@remote.test", "later", Millis(at))]
    told = timeline.render(steps, "en", 200)
    assert day.strftime("%Y-%m-%d %H:%M:%S UTC") in told
    assert day.strftime("%Y-%m-%d") in told


def test_a_process_that_changes_its_zone_keeps_to_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries, and the dates of a report, over a change of the zone and the end of summer time."""

    async def work(post: Post) -> list[str]:
        await post.post("x@remote.test", id=ID)
        await post.settle()
        for name in ("Europe/Berlin", "Pacific/Apia"):
            monkeypatch.setenv("TZ", name)
            time.tzset()
            await post.clock.run_for(hours=3, sleepers=1)
        (report,) = await post.reports()
        assert report.recipients[0].will_retry_until == post.clock.now() - 6 * 3_600_000 + 5 * 86_400_000
        return [step.because for step in await post.steps(ID) if isinstance(step, journey.Deferred)]

    with ScriptedHost() as host:
        port = host.port
    try:
        tries = with_courier(tmp_path, port, work, now=1_792_882_800_000)  # 25 October 2026, 01:00 in Berlin
    finally:
        monkeypatch.undo()
        time.tzset()
    assert len(tries) == 7, "at once, and after 5, 15, 35, 75, 135 and 255 minutes"


def test_the_dates_of_a_server_are_utc_wherever_it_runs(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    class Elsewhere(Ekiden):
        def _environment(self) -> dict[str, str]:
            return {**super()._environment(), "TZ": "XXX-13:07:11"}

    server = Elsewhere(tmp_path / "ekiden", certificate, Settings(doors=("mx", "submissions", "imaps"), accounts=("alice",)))
    before = datetime.now(UTC).replace(microsecond=0)
    with server.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", ["alice@one.test"], b"Subject: x\r\n\r\nhello\r\n")  # submission adds the Date
    (raw,) = server.wait_inbox("alice", 1)
    after = datetime.now(UTC)
    message = message_from_bytes(raw)
    dates = [message["date"], message["received"].rpartition(";")[2].strip()]
    with server.imap("alice") as reader:
        reader.select("INBOX", readonly=True)
        (fetched,) = reader.fetch("1", "(INTERNALDATE)")[1]
    assert isinstance(fetched, bytes)
    internal = Internaldate2tuple(fetched)
    trace = server.command("message", "trace", message["message-id"])
    log = server.log()
    server.stop()
    assert all(before <= parsedate_to_datetime(each) <= after for each in dates), dates
    assert internal is not None
    assert before.timestamp() <= time.mktime(internal) <= after.timestamp()
    hours = {before.strftime("%Y-%m-%d"), after.strftime("%Y-%m-%d")}
    assert any(hour in trace for hour in hours), trace
    assert any(hour in log for hour in hours), log

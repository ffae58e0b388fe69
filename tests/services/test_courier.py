"""The courier: five days of retries in less than a second, fairness, and nothing recorded twice.

Rows OU-11, OU-26 … OU-28, OU-31, OU-38.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

import pytest
from tests.services.relay import ALICE, CONTENT, settings

from ekiden.base.clock import Millis
from ekiden.base.ids import BlobId, EnvelopeId, IdMaker
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, Domain, parse_mailbox
from ekiden.mail.address import Path as MailPath
from ekiden.mail.dsn import Dsn, parse_dsn
from ekiden.mail.envelope import Blob, Envelope, Peer, Recipient
from ekiden.net.tls import client_context
from ekiden.policy.stage import World
from ekiden.services.arrive import Arrivals
from ekiden.services.attempt import Attempts
from ekiden.services.bounce import Reports
from ekiden.services.conversation import DEADLINES
from ekiden.services.courier import Courier, CourierSettings
from ekiden.services.deposit import analyse, new_message
from ekiden.services.routing import Router
from ekiden.store import accounts, journeys, messages, queue
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.changes import QUEUE, Changes
from ekiden.store.database import Database, Tx, open_database
from ekiden.testing.clock import START, FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver
from ekiden.testing.peers import CLOSE, HANG, Action, Drip, ScriptedHost

T = TypeVar("T")
HOUR = 3_600_000
HERE = Peer(IPv4Address("192.0.2.1"), 99, "submission")


async def _until_there(found: Sequence[object]) -> None:
    """Until a host, which lives in threads, has something."""
    async with asyncio.timeout(5):
        while not found:  # noqa: ASYNC110  # threads set no event of ours
            await asyncio.sleep(0.001)


async def _count(key: str, per_s: int) -> int:
    return 0


@dataclass
class Post:
    """A store, a clock, a zone and a courier."""

    database: Database
    clock: FakeClock
    zone: FakeZone
    courier: Courier
    changes: Changes
    logged: list[str]

    async def post(self, *recipients: str, sender: MailPath = ALICE, content: bytes = CONTENT, id: int = 1) -> None:
        """Put a message into the queue and wake the courier."""

        def work(tx: Tx) -> None:
            blob = Blob(BlobId(""), len(content), sha256(content).digest())
            number, now = EnvelopeId(id), self.clock.now()
            messages.insert(tx, new_message(number, analyse(content), blob, content, sender="x", prefix=b"", received_at=now))
            envelope = Envelope(number, sender, (), HERE, now)
            for recipient in recipients:
                path = parse_mailbox(recipient)
                assert isinstance(path.host, Domain)
                queue.enqueue(tx, envelope, Recipient(path), path.host.ascii, now=now)

        await self.database.write(work)
        self.courier.wake()

    async def settle(self) -> None:
        """Until the courier has nothing left to do now."""
        for _ in range(10):
            await asyncio.sleep(0)  # a courier that has been woken just now is still asleep by the clock
        await self.clock.until_asleep()

    async def statuses(self, id: int = 1) -> list[str]:
        """Of all copies of a message."""
        return [each.status for each in await self.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(id)))]

    async def steps(self, id: int = 1) -> list[journey.AnyStep]:
        """Its journey."""
        return await self.database.read(lambda tx: journeys.steps_of(tx, EnvelopeId(id)))

    async def reports(self) -> list[Dsn]:
        """What lies in alice's mailbox."""

        def work(tx: Tx) -> list[Dsn]:
            rows = tx.all("contents_between", mailbox=1, first=1, last=1000, count=1000)
            read = [parse_dsn(bytes(row[19])) for row in rows if isinstance(row[19], bytes)]
            return [dsn for dsn in read if dsn is not None]

        return await self.database.read(work)


def with_courier(
    folder: Path,
    port: int,
    work: Callable[[Post], Awaitable[T]],
    *,
    zone: FakeZone | None = None,
    lanes: int = 100,
    patience_s: float = 0.3,
    now: int = START,
) -> T:
    """Run work beside a courier that dials port; remote.test is at 127.0.0.1."""

    async def main() -> T:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        clock, logged = FakeClock(now), list[str]()

        def log(event: str, **fields: object) -> None:
            logged.append(f"{event} {fields}")

        known = zone or FakeZone({"remote.test": ["MX 10 mx.remote.test."], "mx.remote.test": ["A 127.0.0.1"]})
        resolver, changes, blobs = ZoneResolver(known), Changes(), FileBlobs(folder / "blobs")
        world = World(clock, resolver, _count, log)

        def made() -> None:
            courier.wake()

        arrivals = Arrivals(database, changes, clock, world, "mx.one.test", on_queued=made)
        router = Router(database, clock, "mx.one.test", ["one.test"])
        reports = Reports(arrivals, router, IdMaker(clock), clock, "mx.one.test", log)
        rules = replace(settings(port, deadlines=dict.fromkeys(DEADLINES, patience_s)), may_dial=lambda ip: True)
        context = client_context(verify=False)
        attempts = Attempts(rules, resolver, clock, blobs, lambda verify: context, shuffle=lambda hosts: None)
        chosen = CourierSettings("me", lanes=lanes)
        courier = Courier(chosen, database, blobs, attempts, reports, clock, changes, log, chance=lambda: 0.5)
        try:
            await database.write(_make_alice)
            task = asyncio.create_task(courier.run())
            result = await work(Post(database, clock, known, courier, changes, logged))
            await courier.stop(2.0)
            await task
            assert not [line for line in logged if "failed" in line or "not-recorded" in line], logged
            return result
        finally:
            database.close()

    return asyncio.run(main())


def _make_alice(tx: Tx) -> None:
    if accounts.credentials_of(tx, "alice") is None:
        accounts.create_account(tx, "alice", ["alice@one.test"], "no password", START)


def test_a_message_is_delivered_and_its_journey_told(tmp_path: Path) -> None:
    async def work(post: Post) -> list[journey.AnyStep]:
        await post.post("bob@remote.test", "carol@remote.test")
        await post.settle()
        assert await post.statuses() == ["done", "done"]
        return await post.steps()

    with ScriptedHost() as host:
        steps = with_courier(tmp_path, host.port, work)
    assert [letter.recipients for letter in host.messages] == [("bob@remote.test", "carol@remote.test")]
    assert [step.recipient for step in steps if isinstance(step, journey.Delivered)] == ["bob@remote.test", "carol@remote.test"]
    assert isinstance(steps[0], journey.Leased)


def test_five_days_of_retries_and_the_final_report(tmp_path: Path) -> None:
    """Row OU-38: no attempt before its time; and all of it in less than a second of ours, journeys and reports included."""

    async def work(post: Post) -> tuple[list[Dsn], list[int], float]:
        began = time.process_time()
        await post.post("bob@remote.test")
        await post.settle()
        await post.clock.run_for(days=6, sleepers=1)
        assert await post.statuses() == ["expired"]
        spent = time.process_time() - began
        steps = await post.steps()
        return await post.reports(), [(step.at - START) // 60_000 for step in steps if isinstance(step, journey.Leased)], spent

    with ScriptedHost(says={"RCPT": "451 4.3.0 not today"}) as host:
        reports, times, spent = with_courier(tmp_path, host.port, work)
    assert [dsn.recipients[0].action for dsn in reports] == ["delayed", "failed"]
    assert times[:8] == [0, 5, 15, 35, 75, 135, 255, 435]
    assert times[-1] == 5 * 24 * 60
    assert host.connections == len(times) == 37
    final = reports[1].recipients[0]
    assert (final.recipient, final.status, final.diagnostic) == ("bob@remote.test", "5.4.7", "451 4.3.0 not today")
    assert spent < 1.0


def test_three_delays_and_then_a_refusal(tmp_path: Path) -> None:
    """Row OU-11."""

    async def work(post: Post) -> list[Dsn]:
        await post.post("bob@remote.test")
        await post.settle()
        await post.clock.run_for(hours=3, sleepers=1)
        assert await post.statuses() == ["failed"]
        return await post.reports()

    with ScriptedHost(says={"MAIL": ["451 a", "452 b", "450 c", "550 5.7.1 never"]}) as host:
        [dsn] = with_courier(tmp_path, host.port, work)
    assert (dsn.recipients[0].action, dsn.recipients[0].status) == ("failed", "5.7.1")
    assert host.connections == 4


def test_the_report_names_only_those_that_failed(tmp_path: Path) -> None:
    """Row OU-12."""

    async def work(post: Post) -> list[Dsn]:
        await post.post("a@remote.test", "b@remote.test", "c@remote.test", "d@remote.test")
        await post.settle()
        assert await post.statuses() == ["done", "failed", "due", "failed"]
        return await post.reports()

    refusals = {"b@remote.test": "550 5.1.1 no b", "c@remote.test": "450 4.2.1 busy", "d@remote.test": "550 5.1.1 no d"}
    with ScriptedHost(recipients=refusals) as host:
        [dsn] = with_courier(tmp_path, host.port, work)
    assert [each.recipient for each in dsn.recipients] == ["b@remote.test", "d@remote.test"]


def test_a_report_is_never_reported(tmp_path: Path) -> None:
    """Row OU-31."""

    async def work(post: Post) -> list[Dsn]:
        await post.post("bob@remote.test", sender=NULL_PATH)
        await post.settle()
        assert await post.statuses() == ["failed"]
        return await post.reports()

    with ScriptedHost(says={"MAIL": "550 5.7.1 never"}) as host:
        assert with_courier(tmp_path, host.port, work) == []


def test_a_report_to_another_server_goes_through_the_queue(tmp_path: Path) -> None:
    async def work(post: Post) -> None:
        await post.post("bob@remote.test", sender=MailPath("carol", Domain("remote.test")))
        await post.settle()

    with ScriptedHost(recipients={"bob@remote.test": "550 5.1.1 no"}) as host:
        with_courier(tmp_path, host.port, work)
    [letter] = host.messages
    assert (letter.sender, letter.recipients) == ("", ("carol@remote.test",))


def test_several_messages_go_over_one_connection(tmp_path: Path) -> None:
    async def work(post: Post) -> None:
        for number in range(1, 5):
            await post.post("bob@remote.test", id=number)
        await post.settle()

    with ScriptedHost(says={"banner": ["220 slow", "220 x"]}) as host:
        with_courier(tmp_path, host.port, work)
    assert len(host.messages) == 4
    assert host.connections <= 2


def test_messages_for_one_domain_use_a_few_connections(tmp_path: Path) -> None:
    async def work(post: Post) -> list[str]:
        for number in range(1, 61):
            await post.post("bob@remote.test", id=number)
        await post.settle()
        return [status for number in range(1, 61) for status in await post.statuses(number)]

    with ScriptedHost() as host:
        assert with_courier(tmp_path, host.port, work) == ["done"] * 60
    assert len(host.messages) == 60
    assert host.connections <= 20


def test_slow_domains_do_not_hold_up_the_others(tmp_path: Path) -> None:
    """Row OU-27, with deadlines of 1.5 s where there are 300 s in life."""
    names = [f"slow{n}.test" for n in range(20)]
    with ScriptedHost(says={"banner": HANG}) as slow, ScriptedHost(ip=IPv4Address("127.0.0.2"), port=slow.port) as good:
        zone = FakeZone({"good.test": ["A 127.0.0.2"], **{name: ["A 127.0.0.1"] for name in names}})

        async def work(post: Post) -> float:
            for number, name in enumerate(names, 2):
                await post.post(f"bob@{name}", id=number)
            began = asyncio.get_running_loop().time()
            await post.post("bob@good.test", id=1)
            await _until_there(good.messages)
            return asyncio.get_running_loop().time() - began

        assert with_courier(tmp_path, slow.port, work, zone=zone, patience_s=1.5) < 1.0


def test_a_dead_domain_with_many_messages_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """Row OU-28: most of them share the answer of one attempt."""
    with ScriptedHost(ip=IPv4Address("127.0.0.2")) as good:
        zone = FakeZone({"dead.test": ["A 127.0.0.1"], "good.test": ["A 127.0.0.2"]})

        async def work(post: Post) -> tuple[list[str], list[str], int]:
            for number in range(2, 152):
                await post.post("bob@dead.test", id=number)
            await post.post("bob@good.test", id=1)
            await post.settle()
            dead = [status for number in range(2, 152) for status in await post.statuses(number)]
            steps = [step for number in range(2, 152) for step in await post.steps(number)]
            return await post.statuses(1), dead, sum(isinstance(step, journey.Dialled) for step in steps)

        status, dead, calls = with_courier(tmp_path, good.port, work, zone=zone)
    assert (status, dead) == (["done"], ["due"] * 150)
    assert calls < 100


def test_held_mail_is_left_alone(tmp_path: Path) -> None:
    async def work(post: Post) -> None:
        await post.post("bob@remote.test")
        await post.database.write(lambda tx: queue.hold(tx, EnvelopeId(1), post.clock.now()))
        await post.clock.run_for(days=1, sleepers=1)

    with ScriptedHost() as host:
        zone = FakeZone({})  # the first try, before it is held, finds nothing: it must not end in a failure
        zone["remote.test"] = ["SERVFAIL"]
        with_courier(tmp_path, host.port, work, zone=zone)
    assert host.connections == 0


def test_a_poke_from_another_process_wakes_the_courier(tmp_path: Path) -> None:
    async def work(post: Post) -> list[str]:
        await post.settle()
        post.courier.wake = lambda: None  # type: ignore[method-assign]  # so that only the poke can do it
        await post.post("bob@remote.test")
        del post.courier.wake
        post.changes.poke(QUEUE)
        await post.settle()
        return await post.statuses()

    with ScriptedHost() as host:
        assert with_courier(tmp_path, host.port, work) == ["done"]


def test_a_lease_that_was_lost_records_nothing(tmp_path: Path) -> None:
    async def work(post: Post) -> tuple[list[str], int]:
        await post.post("bob@remote.test")
        await _until_there(host.messages)
        await post.database.write(lambda tx: queue.forget_leases(tx, "me"))
        hold.clear()
        await post.settle()
        return await post.statuses(), len([line for line in post.logged if line.startswith("lease-lost")])

    hold = ["x"]
    with ScriptedHost(says={"content": _Patient(hold)}) as host:
        statuses, lost = with_courier(tmp_path, host.port, work)
    assert (statuses, lost) == (["done"], 1)
    assert len(host.messages) == 2  # RFC 1047: the second copy cannot be helped, and the store has one outcome


class _Patient(str):
    """A reply that is given once a list is empty."""

    def __new__(cls, waits: Sequence[str]) -> _Patient:
        made = super().__new__(cls, "250 2.0.0 taken")
        made.waits = waits
        return made

    waits: Sequence[str]

    def __format__(self, spec: str) -> str:
        while self.waits:
            time.sleep(0.002)
        return str(self)


def test_leases_of_a_former_life_are_taken_up_at_the_start(tmp_path: Path) -> None:
    async def first(post: Post) -> None:
        await post.settle()
        await post.courier.stop()
        await post.post("bob@remote.test")
        until = Millis(START + HOUR)
        await post.database.write(lambda tx: queue.lease_due(tx, owner="me", now=START, until=until, count=5))

    async def second(post: Post) -> tuple[list[str], list[journey.AnyStep]]:
        await post.settle()
        return await post.statuses(), await post.steps()

    with ScriptedHost() as host:
        with_courier(tmp_path, host.port, first)
        statuses, steps = with_courier(tmp_path, host.port, second)
    assert statuses == ["done"]
    # RFC 1047: the host may have had it from the former life, so what looks like a second copy there has its reason in the journey
    assert [(step.recipient, "ambiguous" in step.because) for step in steps if isinstance(step, journey.Deferred)] == [
        ("bob@remote.test", True)
    ]


def test_what_was_not_tried_is_given_back_at_the_end(tmp_path: Path) -> None:
    async def work(post: Post) -> list[int]:
        for number in range(1, 31):
            await post.post("bob@remote.test", id=number)
        await _until_there(host.heard)
        await post.courier.stop(2.0)
        copies = [each for number in range(1, 31) for each in await post.database.read(_copies_of(number))]
        return [each.leased_until for each in copies if each.status == "due"]

    with ScriptedHost(says={"MAIL": Drip(b"250 ok\r\n", 0.01)}) as host:
        leases = with_courier(tmp_path, host.port, work, lanes=1)
    assert len(leases) > 10
    assert set(leases) == {0}


def _copies_of(number: int) -> Callable[[Tx], list[queue.Waiting]]:
    return lambda tx: queue.of_envelope(tx, EnvelopeId(number))


@pytest.mark.parametrize("action", [CLOSE, HANG])
def test_an_ambiguous_end_is_told(tmp_path: Path, action: Action) -> None:
    """Row OU-08; RFC 1047."""

    async def work(post: Post) -> list[journey.AnyStep]:
        await post.post("bob@remote.test")
        await post.settle()
        await post.clock.run_for(minutes=6, sleepers=1)
        assert await post.statuses() == ["done"]
        return await post.steps()

    with ScriptedHost(says={"content": [action, "250 2.0.0 taken"]}) as host:
        steps = with_courier(tmp_path, host.port, work)
    [deferred] = [step for step in steps if isinstance(step, journey.Deferred)]
    assert "ambiguous" in deferred.because

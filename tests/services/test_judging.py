"""What ends processes while it is judged is counted, judged alone, and put off from the third time on.

Source: reliability.md F-54.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from email import message_from_bytes
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypeVar

import pytest
from tests.services.test_bounce import with_reports

from ekiden.base.ids import EnvelopeId
from ekiden.mail.address import Domain, parse_mailbox
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.mail.headers import parse_headers
from ekiden.policy.chain import Chain
from ekiden.policy.stage import Context, MessageContext, Policy, RecipientContext, SenderContext, Stage, World
from ekiden.policy.verdict import Verdict
from ekiden.services.bounce import Reports
from ekiden.services.judging import Judging, _named
from ekiden.services.ward import TIMES, Notes
from ekiden.smtp import replies
from ekiden.store import poison
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx
from ekiden.store.inwork import InWork
from ekiden.testing.clock import START, FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver

T = TypeVar("T")
ALICE = MailPath("alice", Domain("two.test"))
_DIES = """
import os, signal, sys
from pathlib import Path
from ekiden.store.inwork import InWork
InWork(Path(sys.argv[1]), "judged", 1).begin(bytes.fromhex(sys.argv[2]), "what was judged")
os.kill(os.getpid(), signal.SIGKILL)
"""


async def _count(key: str, per_s: int) -> int:
    return 0


def _world(clock: FakeClock) -> World:
    return World(clock, ZoneResolver(FakeZone({})), _count, lambda event, **_: None)


def _message(header: bytes = b"Subject: x\r\n\r\n", ip: str = "192.0.2.1") -> MessageContext:
    peer = Peer(IPv4Address(ip), 1234, "mx", hello="client.test")
    recipients = (Recipient(parse_mailbox("bob@one.test")),)
    envelope = Envelope(EnvelopeId(1), ALICE, recipients, peer, START)
    return MessageContext(peer, _world(FakeClock()), envelope, recipients, parse_headers(header), 100)


def _dies_while_judging(folder: Path, context: Context) -> None:
    key, _ = _named(Stage.MESSAGE, context)
    subprocess.run([sys.executable, "-c", _DIES, str(folder), key.hex()], timeout=60, check=False)


def _with_judging(folder: Path, work: Callable[[Callable[[], Judging], Chain, list[str], Database], Awaitable[T]]) -> T:
    """Work with: what makes the Judging of one more process, a chain that uses the first one, what was logged."""

    async def main(reports: Reports, database: Database, logged: list[str]) -> T:
        changes = Changes()
        with ExitStack() as held:

            def another() -> Judging:
                notes = Notes(folder / "run", InWork(folder / "run", poison.JUDGED, len(made)))
                held.callback(notes.mine.close)
                made.append(Judging(database, reports, FakeClock(), changes, lambda event, **_: logged.append(event), notes))
                return made[-1]

            made: list[Judging] = []
            chain = Chain([Policy("mine.py:judge", Stage.MESSAGE, _pleased)], asyncio.timeout, another())
            return await work(another, chain, logged, database)

    return with_reports(folder, main)


async def _pleased(context: Context) -> Verdict | None:
    return None


def test_from_the_third_death_on_it_is_put_off_here_and_in_the_other_processes(tmp_path: Path) -> None:
    async def work(another: Callable[[], Judging], chain: Chain, logged: list[str], database: Database) -> None:
        for times in range(1, TIMES + 1):
            if times > 1:
                (known,) = await database.read(lambda tx: poison.known(tx, poison.JUDGED))
                assert (known.times, known.about) == (times - 1, "what was judged")
            await asyncio.to_thread(_dies_while_judging, tmp_path / "run", _message())
            await another().look_back(fresh=False)
        refusal = (await chain.ask(Stage.MESSAGE, _message(ip="192.0.2.77"))).refusal
        assert refusal is not None
        assert refusal.reply == replies.BREAKS_US
        assert (await chain.ask(Stage.MESSAGE, _message(b"Subject: another\r\n\r\n"))).refusal is None
        assert logged.count("judging-suspect") == TIMES
        told = await database.read(_contents)
        assert len(told) == 1
        assert b"what was judged" in message_from_bytes(told[0]).get_payload(decode=True)
        await asyncio.to_thread(_dies_while_judging, tmp_path / "run", _message())
        await another().look_back(fresh=True)
        assert (await chain.ask(Stage.MESSAGE, _message())).refusal is not None, "that a server starts after a death changes nothing"
        successor = another()
        await successor.look_back(fresh=True)
        assert successor._times == {}, "after an orderly end it is tried again"

    _with_judging(tmp_path, work)


def _contents(tx: Tx) -> list[bytes]:
    rows = tx.all("contents_between", mailbox=1, first=1, last=9, count=9)
    return [bytes(row[19]) for row in rows if isinstance(row[19], bytes)]


def test_a_suspect_that_is_judged_to_the_end_is_none_any_more(tmp_path: Path) -> None:
    async def work(another: Callable[[], Judging], chain: Chain, logged: list[str], database: Database) -> None:
        await asyncio.to_thread(_dies_while_judging, tmp_path / "run", _message())
        await another().look_back(fresh=False)
        assert (await chain.ask(Stage.MESSAGE, _message())).refusal is None
        await database.write(lambda tx: None)  # and with it what was to be done later
        assert await database.read(lambda tx: poison.known(tx, poison.JUDGED)) == []

    _with_judging(tmp_path, work)


def test_suspects_are_judged_one_at_a_time_and_others_meanwhile(tmp_path: Path) -> None:
    async def work(another: Callable[[], Judging], chain: Chain, logged: list[str], database: Database) -> None:
        one, two, other = (_message(b"Subject: %s\r\n\r\n" % name) for name in (b"1", b"2", b"3"))
        for suspect in (one, two):
            await asyncio.to_thread(_dies_while_judging, tmp_path / "run", suspect)
        judging = another()
        await judging.look_back(fresh=False)
        inside: list[str] = []
        release, entered = asyncio.Event(), asyncio.Event()

        async def ask(name: str, context: MessageContext) -> None:
            async with judging(Stage.MESSAGE, context):
                inside.append(name)
                entered.set()
                await release.wait()

        async with asyncio.TaskGroup() as group:
            for name, context in (("1", one), ("2", two), ("3", other)):
                group.create_task(ask(name, context))
            await entered.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            assert inside == ["1", "3"]
            release.set()
        assert inside == ["1", "3", "2"]

    _with_judging(tmp_path, work)


def test_old_accusations_are_forgotten_whatever_the_clock_did(tmp_path: Path) -> None:
    async def work(another: Callable[[], Judging], chain: Chain, logged: list[str], database: Database) -> None:
        for days, key in ((-8, b"a" * 16), (8, b"b" * 16), (-6, b"c" * 16)):
            at = FakeClock(START + days * 86_400_000).now()
            await database.write(lambda tx, at=at, key=key: poison.count(tx, poison.JUDGED, key, at, ""))  # type: ignore[misc]
        judging = another()
        await judging.look_back(fresh=False)
        assert judging._times == {b"c" * 16: 1}

    _with_judging(tmp_path, work)


@pytest.mark.parametrize("names", ["builtin:sender", "mine.py:judge"])
def test_only_the_policies_of_an_operator_are_guarded(tmp_path: Path, names: str) -> None:
    async def work(another: Callable[[], Judging], chain: Chain, logged: list[str], database: Database) -> None:
        judging, asked = another(), list[Stage]()

        def guard(stage: Stage, context: Context) -> object:
            asked.append(stage)
            return judging(stage, context)

        peer = Peer(IPv4Address("192.0.2.1"), 1234, "mx")
        for stage, context in (
            (Stage.CONNECT, Context(peer, _world(FakeClock()))),
            (Stage.SENDER, SenderContext(peer, _world(FakeClock()), ALICE)),
            (Stage.RECIPIENT, RecipientContext(peer, _world(FakeClock()), ALICE, ALICE)),
        ):
            guarded = Chain([Policy(names, stage, _pleased)], asyncio.timeout, guard)  # type: ignore[arg-type]  # as Guard, with a list
            assert (await guarded.ask(stage, context)).refusal is None
        assert asked == ([] if names.startswith("builtin:") else [Stage.SENDER, Stage.RECIPIENT])

    _with_judging(tmp_path, work)

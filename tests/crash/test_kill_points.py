"""kill -9 with several processes: at each named point the worker, its supervisor, or all of them die, and the server comes back by itself.

Who is at the point stands still there until it is decided who dies. Where the supervisor dies, the worker goes on as an orphan
beside the start of the next server.
Source: reliability.md §3.2 (F-01 … F-15, F-17), §1.3 (C1 … C3).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import smtplib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.alice import (
    ALICE,
    INWARDS,
    MAY_COME_TWICE,
    OTHERS,
    OUTWARDS,
    append,
    held_what_was_promised,
    judged,
    nothing_half_done,
    reading,
    size_for,
    submit,
)
from tests.crash.faults import Failing, send
from tests.crash.ledger import Heard, Ledger, Verdict, collect, id_of
from tests.crash.ledger.clients import BROKEN
from tests.doors.server import Settings
from tests.peers.process import until

from ekiden.app.data_dir import who_serves
from ekiden.base import failpoints
from ekiden.testing.peers import Action, ScriptedHost

WHO = ("worker", "supervisor", "all")
IMAP = ("K21", "K21-after")
IN_EVERY_RUN = frozenset({("K4", "worker"), ("K8", "all"), ("K11", "worker"), ("K14", "supervisor"), ("K16", "worker"), ("K21", "worker")})
"""The others are tried nightly."""


def _pairs(names: tuple[str, ...]) -> list[object]:
    pairs = [(name, who) for name in names for who in WHO]
    return [pair if pair in IN_EVERY_RUN else pytest.param(*pair, marks=pytest.mark.nightly) for pair in pairs]


def _server(tmp_path: Path, certificate: tuple[Path, Path, Path], outbound: int = 2525) -> Failing:
    more = {
        "": ["processes = 2"],
        "queue": ["retry = ['1s', '1s', '1s', '1s']", "jitter_percent = 0"],
        "limits": ["connections_per_address = 500", 'free_space = "0"', "free_percent = 0"],
        "outbound": ["private_addresses = true"],
    }
    return Failing(tmp_path / "ekiden", certificate, Settings(doors=("mx", "submissions", "imaps"), outbound_port=outbound, more=more))


class _Client(threading.Thread):
    """Does one thing after another, each on a connection of its own, until it is told to stop; broken connections do not count."""

    def __init__(self, talk: Callable[[Callable[[], bool]], None]) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.failure: BaseException | None = None
        self._talk = talk

    def run(self) -> None:
        try:
            for _ in range(200):
                if self.over.is_set():
                    return
                with contextlib.suppress(*BROKEN):
                    self._talk(self.over.is_set)
        except BaseException as error:  # shown by the test
            self.failure = error

    def end(self) -> None:
        self.join(60)
        assert not self.is_alive(), "a client still talks"
        assert self.failure is None, self.failure


def _die_there(server: Failing, name: str, nth: int, who: str, talk: Callable[[Callable[[], bool]], None] | None = None) -> None:
    """Arm, talk until somebody stands at the point, kill, come back."""
    server.arm(f"{name}:{nth}:stop")
    server.serving(3)
    client = _Client(talk) if talk is not None else None
    if client is not None:
        client.start()
    until(lambda: server.standing() is not None, f"somebody comes to {name}", 30)
    standing = server.standing()
    assert standing is not None
    if client is not None:
        client.over.set()
    server.die(who, standing)
    if client is not None:
        client.end()
    assert nothing_half_done(server)


def _submit(server: Failing, ledger: Ledger, size: int, recipients: tuple[str, ...]) -> Callable[[Callable[[], bool]], None]:
    def talk(over: Callable[[], bool]) -> None:
        client = smtplib.SMTP_SSL("localhost", server.ports["submissions"], timeout=20, context=server.trusted())
        try:
            client.login(ALICE, server.settings.password)
            for _ in range(3):
                if over():
                    return
                submit(client, ledger, size, recipients)
        finally:
            client.close()

    return talk


def _judged(server: Failing, ledger: Ledger) -> Verdict:
    """Once the server has taken one more message, and nothing bad was said in any of its lives."""
    assert send(server, "bob@one.test", "x")[0] == 250
    assert len(server.inbox("bob")) == 1
    verdict = judged(server, ledger, but="bob@one.test")
    server.said_nothing_bad()
    return verdict


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "who"), _pairs(INWARDS))
def test_on_the_way_in_nothing_is_lost_doubled_or_made_up(
    tmp_path: Path, certificate: tuple[Path, Path, Path], name: str, who: str
) -> None:
    server = _server(tmp_path, certificate)
    ledger = Ledger("one", random.Random(name + who), author=ALICE)
    nth = 5 if name == "K1" else 2  # the start itself connects
    _die_there(server, name, nth, who, _submit(server, ledger, size_for(name), OTHERS))
    verdict = _judged(server, ledger)
    if who == "supervisor":  # the orphan has said 250 or not, as it found the time
        assert verdict.is_clean, verdict
    else:
        held_what_was_promised(name, verdict)


# ---- IMAP ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "who"), _pairs(IMAP))
def test_an_append_is_there_whole_or_not_at_all(tmp_path: Path, certificate: tuple[Path, Path, Path], name: str, who: str) -> None:
    server = _server(tmp_path, certificate)
    ledger = Ledger("one", random.Random(name + who), author=ALICE)

    def talk(over: Callable[[], bool]) -> None:
        with reading(server) as client:
            for _ in range(3):
                if not over():
                    append(client, ledger)

    _die_there(server, name, 2, who, talk)
    verdict = _judged(server, ledger)
    assert verdict.is_clean, verdict
    if who != "supervisor":
        assert (verdict.open, verdict.open_arrived) == (1, int(name == "K21-after"))


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", ["COPY", "MOVE"])
@pytest.mark.parametrize(("name", "who"), [(name, who) for name in IMAP for who in WHO])
def test_a_copy_and_a_move_are_done_whole_or_not_at_all(
    tmp_path: Path, certificate: tuple[Path, Path, Path], command: str, name: str, who: str
) -> None:
    server = _server(tmp_path, certificate)
    ledger = Ledger("one", random.Random(name), author=ALICE)
    boxes = ["Sent", *(f"Box{number}" for number in range(60))]
    with server.imap("alice") as client:
        for _ in range(3):
            append(client, ledger)
        for box in boxes[1:]:
            client.create(box)
    before = sorted(map(id_of, server.inbox("alice", "Sent")))
    tried = 0

    def talk(over: Callable[[], bool]) -> None:
        """From one box to the next, until it comes to the door that is armed."""
        nonlocal tried
        with reading(server) as client:
            if not over():
                tried += 1
                client.select(boxes[tried - 1])
                if client.uid(command, "1:*", boxes[tried])[0] != "OK":
                    raise AssertionError("refused")

    _die_there(server, name, 1, who, talk)
    here, there = (sorted(map(id_of, server.inbox("alice", box))) for box in (boxes[tried - 1], boxes[tried]))
    assert there in ([], before)
    assert here == ([] if there and command == "MOVE" else before)
    if who != "supervisor":
        assert bool(there) == (name == "K21-after")
    server.stop()


# ---- outwards --------------------------------------------------------------------------------------


def _queue_is_empty(server: Failing) -> bool:
    return server.command("queue", "list").count("@[") == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "who"), _pairs(OUTWARDS))
def test_on_the_way_out_each_message_is_handed_over_once_unless_the_host_may_have_it(
    tmp_path: Path, certificate: tuple[Path, Path, Path], name: str, who: str
) -> None:
    with ScriptedHost() as host:
        server = _server(tmp_path, certificate, host.port)
        ledger = Ledger("one", random.Random(name + who), author=ALICE)
        recipients = (f"x@[{host.ip}]", f"y@[{host.ip}]")

        def talk(over: Callable[[], bool]) -> None:
            if not over() and not ledger.lines:
                _submit(server, ledger, 4_096, recipients)(lambda: bool(ledger.lines))

        _die_there(server, name, 1, who, talk)
        (line,) = ledger.lines
        assert line.heard is Heard.ACKNOWLEDGED
        until(lambda: _queue_is_empty(server), "the queue is empty", 30)
        ids = [id_of(letter.content) for letter in host.messages]
        assert set(ids) == {line.id}
        assert len(ids) <= (2 if name in MAY_COME_TWICE else 1)
        unknown = collect.unknown_outcomes(server.folder / "data" / "ekiden.db")
        unexplained = [recipient for recipient in recipients if unknown[line.id, recipient] < len(ids) - 1]
        assert unexplained == [], "a second copy, and the journey says nothing of it"
        server.stop()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_who_starts_waits_for_the_orphans_of_a_killed_supervisor(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    """Else the new courier would hand over what the former one, which lives for a moment longer, is handing over."""
    with ScriptedHost() as host:
        server = _server(tmp_path, certificate, host.port)
        ledger = Ledger("one", random.Random(7), author=ALICE)
        server.arm("K14:1:stop")
        server.serving(3)
        _submit(server, ledger, 4_096, (f"x@[{host.ip}]",))(lambda: bool(ledger.lines))
        until(lambda: server.standing() is not None, "the delivery stands still", 30)
        orphan, former = server.standing(), server._daemon
        assert orphan is not None
        os.kill(server.pid, signal.SIGKILL)
        former.process.wait(10)
        server.failpoint = ""
        starting = threading.Thread(target=server.start)
        starting.start()
        until(lambda: who_serves(server.folder / "data") not in (None, former.process.pid), "the next one has begun", 20)
        with contextlib.suppress(AssertionError):  # it must not come to that, however long we look
            until(lambda: len(host.messages) > 0, "the next one hands over", 3.5)
        os.kill(orphan, signal.SIGCONT)
        starting.join(30)
        server.serving(3)
        former.stop(signal.SIGKILL)
        until(lambda: _queue_is_empty(server), "the queue is empty", 30)
        assert [id_of(letter.content) for letter in host.messages] == [ledger.lines[0].id]
        server.stop()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [pytest.param("K9", marks=pytest.mark.nightly), "K11"])
def test_what_a_door_has_queued_and_told_nobody_is_carried_out_all_the_same(
    tmp_path: Path, certificate: tuple[Path, Path, Path], name: str
) -> None:
    """The delivery lives and sleeps; the door that would have woken it is dead."""
    with ScriptedHost() as host:
        server = _server(tmp_path, certificate, host.port)
        ledger = Ledger("one", random.Random(name), author=ALICE)
        _die_there(server, name, 1, "worker", _submit(server, ledger, 4_096, (f"x@[{host.ip}]",)))
        sent = {line.id for line in ledger.lines if line.heard in (Heard.SENT, Heard.ACKNOWLEDGED)}
        until(lambda: len(host.messages) >= len(sent), "all are handed over", 5)
        assert sorted(id_of(letter.content) for letter in host.messages) == sorted(sent)
        server.stop()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("who", [pytest.param(who, marks=pytest.mark.nightly) for who in WHO])
def test_a_report_comes_once_whoever_dies_while_it_is_written(
    tmp_path: Path, certificate: tuple[Path, Path, Path], who: str
) -> None:
    refused: dict[str, Action | list[Action]] = {"RCPT": "550 5.1.1 nobody of that name"}
    with ScriptedHost(says=refused) as host:
        server = _server(tmp_path, certificate, host.port)
        ledger = Ledger("one", random.Random(who), author=ALICE)

        def talk(over: Callable[[], bool]) -> None:
            if not over() and not ledger.lines:
                _submit(server, ledger, 4_096, (f"x@[{host.ip}]",))(lambda: bool(ledger.lines))

        _die_there(server, "K18", 1, who, talk)
        until(lambda: _queue_is_empty(server), "the queue is empty", 30)
        assert [b"nobody of that name" in report for report in server.inbox("alice")] == [True]
        server.stop()


def test_every_point_but_that_of_upkeep_is_tried_here() -> None:
    assert set(failpoints.POINTS) - {*INWARDS, *OUTWARDS, *IMAP, "K18"} == {"K22", "K23", "K24"}

"""A disk that is slow, and a program that holds the database: senders wait a while, nobody else does.

Source: reliability.md F-27, F-37.
"""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

import apsw
import pytest
from tests.crash.faults import send, subjects, tampered
from tests.doors.server import Ekiden, Settings

LIMITS = {"limits": ['free_space = "0"', "free_percent = 0", "connections_per_address = 500"]}


def _server(folder: Path, certificate: tuple[Path, Path, Path]) -> Ekiden:
    return Ekiden(folder / "ekiden", certificate, Settings(doors=("mx", "imaps", "pop3s"), more=LIMITS))


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]


class _Reader(threading.Thread):
    """An IMAP client that asks for NOOP again and again, and sometimes reads; how long each took."""

    def __init__(self, server: Ekiden) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self.failure: BaseException | None = None
        self._server = server
        self._over = threading.Event()

    def run(self) -> None:
        try:
            with self._server.imap("bob") as client:
                client.select("INBOX", readonly=True)
                while not self._over.wait(0.01):
                    began = time.monotonic()
                    assert client.noop()[0] == "OK"
                    self.times.append(time.monotonic() - began)
        except BaseException as error:  # shown by the test
            self.failure = error

    def end(self) -> list[float]:
        self._over.set()
        self.join(30)
        assert self.failure is None, self.failure
        return self.times


@pytest.mark.peer("strace")
def test_with_a_slow_sync_senders_wait_a_little_and_readers_not_at_all(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    server = _server(tmp_path, certificate)
    taken: list[float] = []
    wrong: list[int] = []

    def sender(name: str) -> None:
        for number in range(4):
            began = time.monotonic()
            code, _ = send(server, "alice@one.test", f"{name}-{number}")
            taken.append(time.monotonic() - began)
            if code != 250:
                wrong.append(code)

    with tampered(server, tmp_path / "strace", "fsync,fdatasync:delay_enter=500000") as tracer:
        reader = _Reader(server)
        reader.start()
        senders = [threading.Thread(target=sender, args=(f"s{number}",)) for number in range(8)]
        for thread in senders:
            thread.start()
        for thread in senders:
            thread.join(60)
        noops = reader.end()
        assert "fdatasync" in tracer.log
    assert wrong == []
    assert max(taken) >= 0.5, "the disk was not slow"
    assert len(noops) > 100
    assert _p99(taken) < 3.0
    assert _p99(noops) < 0.2
    server.stop()


def test_a_foreign_program_that_holds_the_database_delays_mail_and_nothing_else(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    server = _server(tmp_path, certificate)
    assert send(server, "alice@one.test", "before")[0] == 250
    foreign = apsw.Connection(str(server.folder / "data" / "ekiden.db"))
    foreign.set_busy_timeout(10_000)  # the server may be writing something of its own just now
    answers: list[tuple[int, float]] = []

    def timed(subject: str) -> None:
        began = time.monotonic()
        code, _ = send(server, "alice@one.test", subject)
        answers.append((code, time.monotonic() - began))

    foreign.execute("BEGIN EXCLUSIVE")
    threading.Timer(1.0, foreign.execute, ["ROLLBACK"]).start()
    timed("waits a second")
    assert answers[0][0] == 250
    assert 0.8 < answers[0][1] < 3.0

    foreign.execute("BEGIN EXCLUSIVE")
    reader = _Reader(server)
    reader.start()
    first = threading.Thread(target=timed, args=("refused",))
    first.start()
    time.sleep(1.0)  # the others come while the first one waits already
    others = [threading.Thread(target=timed, args=(f"refused{number}",)) for number in range(5)]
    for thread in others:
        thread.start()
    began = time.monotonic()
    assert subjects(server, "alice") == ["before", "waits a second"]
    assert time.monotonic() - began < 1.0
    for thread in [first, *others]:
        thread.join(60)
    noops = reader.end()
    assert {code for code, _ in answers[1:]} == {451}
    assert max(took for _, took in answers[1:]) < 11.0
    assert max(noops) < 1.0
    timed("refused at once")
    assert answers[-1][0] == 451
    assert answers[-1][1] < 2.0
    foreign.execute("ROLLBACK")
    foreign.close()
    assert send(server, "alice@one.test", "after")[0] == 250
    assert subjects(server, "alice") == ["before", "waits a second", "after"]
    server.stop()

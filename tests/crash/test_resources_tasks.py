"""No more processes and threads: what is there serves on, and who cannot be started is started later.

Source: reliability.md §3.5, F-59.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from tests.crash.faults import processes, send, subjects
from tests.crash.limited import Limited
from tests.doors.server import Settings
from tests.peers.cgroups import group
from tests.peers.process import until

DOORS = ("mx", "submissions", "imaps", "pop3s")


def _use_all(server: Limited, mark: str) -> None:
    """A small and a large message, a sign-in at every door, reading."""
    assert send(server, "alice@one.test", f"{mark}-small")[0] == 250
    assert send(server, "alice@one.test", f"{mark}-large", 3_000_000)[0] == 250
    with server.smtp("submissions", "bob") as client:
        client.sendmail("bob@one.test", ["alice@one.test"], f"Subject: {mark}-own\r\n\r\nx\r\n".encode())
    with server.pop3("alice") as client:
        assert client.stat()[0] >= 3
    assert {f"{mark}-small", f"{mark}-large", f"{mark}-own"} <= set(subjects(server, "alice"))


def _serving(server: Limited, number: int) -> None:
    until(lambda: server.log().count("event='serving'") >= number, f"{number} processes serve", 40)


@pytest.mark.peer("cgroups")
def test_a_server_that_gets_no_thread_any_more_serves_on(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    with group("pids") as made:
        server = Limited(tmp_path / "ekiden", certificate, Settings(doors=DOORS), made.entering)
        try:
            _serving(server, 1)
            made.limit_tasks(made.tasks)
            _use_all(server, "none")
            made.limit_tasks(1)
            _use_all(server, "fewer")
            server.stop()
        finally:
            server.kill()


@pytest.mark.peer("cgroups")
@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.nightly)])
def test_a_process_that_cannot_be_replaced_yet_is_replaced_later(
    tmp_path: Path, certificate: tuple[Path, Path, Path], times: int
) -> None:
    settings = Settings(doors=DOORS, more={"": ["processes = 2"]})
    with group("pids") as made:
        server = Limited(tmp_path / "ekiden", certificate, settings, made.entering)
        try:
            _serving(server, 3)
            before = set(processes(server))
            victim = max(before - {server.pid})
            made.limit_tasks(1)
            os.kill(victim, signal.SIGKILL)
            until(lambda: server.log().count("event='worker-not-started'") >= times, "it cannot be started, and that is said")
            pauses = [float(pause) for pause in re.findall(r"again_in_s=([0-9.]+)", server.log())]
            assert pauses == [2.0, 5.0, 10.0][:times], "ever more slowly"
            assert os.path.exists(f"/proc/{server.pid}")
            made.limit_tasks(None)
            until(lambda: len(set(processes(server)) - {victim}) == len(before), "it is started", 30)
            _serving(server, 4)
            _use_all(server, "after")
            server.stop()
        finally:
            server.kill()


@pytest.mark.peer("cgroups")
def test_a_process_that_gets_no_thread_at_its_start_says_so_and_is_tried_again(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    settings = Settings(doors=DOORS, more={"": ["processes = 2"]})
    with group("pids") as made:
        server = Limited(tmp_path / "ekiden", certificate, settings, made.entering)
        try:
            _serving(server, 3)
            before = set(processes(server))
            made.limit_tasks(made.tasks)
            victim = max(before - {server.pid})
            os.kill(victim, signal.SIGKILL)
            until(lambda: made.tasks <= 1000 and not os.path.exists(f"/proc/{victim}/task/{victim}/comm"), "it is gone")
            made.limit_tasks(made.tasks + 1)
            until(lambda: "the system gives no thread" in server.log(), "it says why it does not start", 40)
            made.limit_tasks(None)
            until(lambda: len(set(processes(server)) - {victim}) == len(before), "it is started", 40)
            _serving(server, 4)
            _use_all(server, "after")
            server.stop()
        finally:
            server.kill()

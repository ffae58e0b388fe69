"""What systemd hears."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from ekiden.app.notify import Notifier


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_all_states_are_told_and_the_variables_are_taken_away(tmp_path: Path, kind: str) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@ekiden-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0") if kind == "abstract" else name)
        manager.settimeout(5)
        environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "OTHER": "x"}
        notifier = Notifier(environ)
        assert environ == {"OTHER": "x"}
        notifier.ready("Serving")
        assert manager.recv(4096) == f"READY=1\nSTATUS=Serving\nMAINPID={os.getpid()}".encode()
        before = time.monotonic_ns() // 1000
        notifier.reloading()
        lines = dict(line.split("=", 1) for line in manager.recv(4096).decode().split("\n"))
        assert lines["RELOADING"] == "1"
        assert before <= int(lines["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        notifier.stopping()
        assert manager.recv(4096).startswith(b"STOPPING=1\n")
        assert notifier.watchdog_s == 3.0
        for _ in range(3):
            notifier.alive()  # said at once, and then not before it must be said again
        assert manager.recv(4096) == b"WATCHDOG=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


def test_without_a_manager_nothing_is_said() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "3000000"})
    assert notifier.watchdog_s is None
    notifier.ready("Serving")
    notifier.alive()


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).watchdog_s is None


def test_a_manager_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("Serving")

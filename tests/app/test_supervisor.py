"""Several processes: they share the load, a killed one is replaced, the end is orderly."""

from __future__ import annotations

import os
import signal
import smtplib
import subprocess
import time
from pathlib import Path

from tests.app.serving import serving
from tests.store.stores import in_one

from ekiden.store import mailboxes
from ekiden.store.accounts import account_named
from ekiden.store.database import Tx


def _workers(parent: int) -> set[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False).stdout
    return {int(line) for line in found.split("\n") if line.strip()}


def _send(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")


def _messages(tx: Tx) -> int:
    alice = account_named(tx, "alice")
    found = mailboxes.named(tx, alice.id, "INBOX") if alice is not None else None
    return found.messages if found is not None else -1


def test_several_processes_serve_and_killed_ones_are_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, "processes = 2") as server:
        assert server.process is not None
        before = _workers(server.process.pid)
        assert len(before) == 3  # two for the doors, one for the queue
        for _ in range(20):
            _send(server.port)
        for pid in sorted(before)[:2]:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while len(now := _workers(server.process.pid)) < 3 or len(now & before) > 1:
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.05)
        for _ in range(20):
            _send(server.port)
        assert server.stop() == 0, server.log()
    assert in_one(tmp_path / "data", _messages) == 40
    assert "Traceback" not in server.log()


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, "processes = 2") as server:
        assert server.process is not None
        workers = _workers(server.process.pid)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        deadline = time.monotonic() + 2.0
        while any(Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text() for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)

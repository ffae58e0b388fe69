"""Faults of processes: reloads under load, a worker that hangs, signals under load, a service manager that listens.

Rows F-54, F-56, F-57, F-58 of reliability.md.
"""

from __future__ import annotations

import imaplib
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.app.serving import Serving
from tests.crash.hammer import Hammer
from tests.peers.process import free_port
from tests.store.stores import in_one

from ekiden.store import mailboxes
from ekiden.store.accounts import account_named
from ekiden.store.database import Tx

SHORT = "[timeouts]\nshutdown = 2\nhang = 2\n"


def _until(true: Callable[[], bool], server: Serving, what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}\n{server.log()}"
        time.sleep(0.02)


def _children(pid: int) -> set[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return {int(line) for line in found.split("\n") if line.strip()}


def _messages(tx: Tx) -> int:
    alice = account_named(tx, "alice")
    found = mailboxes.named(tx, alice.id, "INBOX") if alice is not None else None
    return found.messages if found is not None else -1


def _rewrite(server: Serving, old: str, new: str) -> None:
    file = server.folder / "ekiden.toml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


class _Load(Hammer):
    """SMTP clients that hammer on one port, a new connection every three messages; they count what a client must never see."""

    def __init__(self, port: int, clients: int = 4) -> None:
        super().__init__(clients)
        self.accepted = 0
        self.goodbyes = 0
        self.broken: list[str] = []
        self._port = port
        self._lock = threading.Lock()

    def once(self) -> None:
        try:
            with smtplib.SMTP("127.0.0.1", self._port, timeout=30) as client:
                for _ in range(3):
                    client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")
                    with self._lock:
                        self.accepted += 1
        except (smtplib.SMTPResponseException, smtplib.SMTPServerDisconnected) as error:
            code = getattr(error, "smtp_code", 421)
            with self._lock:
                self.goodbyes += 1
                if code != 421 or isinstance(error.__cause__ or error.__context__, ConnectionResetError):
                    self.broken.append(repr(error))
        except (smtplib.SMTPException, OSError) as error:
            with self._lock:
                self.broken.append(repr(error))


def _serves_imap(port: int) -> None:
    with imaplib.IMAP4("127.0.0.1", port, timeout=30) as client:
        client.noop()


class _WithImap(Serving):
    """The same with one more door."""

    imap: int = 0


@contextmanager
def _served(folder: Path, more: str) -> Iterator[_WithImap]:
    server = _WithImap(folder, more)
    server.imap = free_port()
    _rewrite(server, "[listeners]\n", f'{SHORT}[listeners]\nimap = ["127.0.0.1:{server.imap}"]\n')
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


@pytest.mark.parametrize(("processes", "times"), [(1, 20), (2, 4), pytest.param(2, 20, marks=pytest.mark.nightly)])
def test_reloads_under_load_turn_nobody_away_and_lose_nothing(tmp_path: Path, processes: int, times: int) -> None:
    with _served(tmp_path, f"processes = {processes}") as server:
        assert server.process is not None
        imap = server.imap
        with _Load(server.port, 3) as load:
            for number in range(1, times + 1):
                server.process.send_signal(signal.SIGHUP)
                _until(lambda number=number: server.log().count("event='reloaded'") == number, server, f"reload {number}")  # type: ignore[misc]
                _serves_imap(imap)
        assert load.broken == []
        assert load.accepted > 20
        assert server.stop() == 0, server.log()
    assert in_one(tmp_path / "data", _messages) == load.accepted
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_broken_configuration_changes_nothing_and_is_named_with_its_line(tmp_path: Path, processes: int) -> None:
    with _served(tmp_path, f"processes = {processes}") as server:
        assert server.process is not None
        _rewrite(server, "shutdown = 2", 'shutdown = "soon"')
        server.process.send_signal(signal.SIGHUP)
        _until(lambda: "reload-failed" in server.log(), server, "it says no")
        line = (tmp_path / "ekiden.toml").read_text().split("\n").index('shutdown = "soon"') + 1
        assert f"ekiden.toml:{line}" in server.log()
        _rewrite(server, 'shutdown = "soon"', "shutdown = 2")
        (tmp_path / "broken.py").write_text("1 / 0\n")
        _rewrite(server, "policies = []", 'policies = ["broken.py:judge"]')
        server.process.send_signal(signal.SIGHUP)
        _until(lambda: server.log().count("reload-failed") == 2, server, "it says no again")
        assert "ZeroDivisionError" in server.log()
        with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
            client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")
        _rewrite(server, 'policies = ["broken.py:judge"]', "policies = []")
        new = free_port()
        _rewrite(server, f':{server.port}"', f':{new}"')
        server.process.send_signal(signal.SIGHUP)
        _until(lambda: "event='reloaded'" in server.log(), server, "a good one is taken")
        with smtplib.SMTP("127.0.0.1", new, timeout=20) as client:
            client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")
        _until(lambda: _refused(server.port), server, "the former address is given back")
        assert server.stop() == 0, server.log()
    assert in_one(tmp_path / "data", _messages) == 2


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("role", ["door-1", "delivery"])
def test_a_worker_that_hangs_is_killed_and_replaced(tmp_path: Path, role: str) -> None:
    with _served(tmp_path, "processes = 2") as server:
        assert server.process is not None
        _until(lambda: server.log().count("event='serving'") == 3, server, "all serve")
        before = _children(server.process.pid)
        hung = next(pid for pid in before if f'"name": "{role}"' in Path(f"/proc/{pid}/environ").read_text("utf-8", "replace"))
        os.kill(hung, signal.SIGSTOP)
        _until(lambda: "event='worker-hangs'" in server.log(), server, "it is noticed")
        _until(lambda: hung not in (now := _children(server.process.pid)) and len(now) == 3, server, "it is replaced")  # type: ignore[union-attr]
        _until(lambda: server.log().count("event='serving'") == 4, server, "its successor serves")
        for _ in range(8):
            with smtplib.SMTP("127.0.0.1", server.port, timeout=20) as client:
                client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")
        assert server.stop() == 0, server.log()
    assert in_one(tmp_path / "data", _messages) == 8


def _mail(port: int, sender: str) -> None:
    """MAIL FROM, and whatever comes after it, as long as the connection lasts."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo()
        client.mail(sender)
        client.noop()


_SPINS = """import re

from ekiden.policy.stage import SenderContext, sender
from ekiden.policy.verdict import Verdict


@sender
async def evil(ctx: SenderContext) -> Verdict | None:
    if "spin" in str(ctx):
        re.match(r"(a+)+$", "a" * 64 + "!")
    return None
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_policy_that_spins_ends_its_process_and_no_other(tmp_path: Path, processes: int) -> None:
    (tmp_path / "spin.py").write_text(_SPINS)
    with _served(tmp_path, f'processes = {processes}\npolicies = ["spin.py:evil"]') as server:
        assert server.process is not None
        with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
            client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: before\r\n\r\nx\r\n")
        with pytest.raises((smtplib.SMTPException, OSError)):
            _mail(server.port, "spin@remote.test")
        if processes == 1:
            assert server.process.wait(30) == -signal.SIGALRM  # for who restarts it; alone, nobody else could end it
            server.start()
        else:
            _until(lambda: "event='worker-hangs'" in server.log(), server, "it is noticed")
            _until(lambda: server.log().count("event='serving'") == 4, server, "its successor serves")
        assert "spin.py" in server.log(), "the log does not say where it hung"
        for _ in range(4):
            with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
                client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: after\r\n\r\nx\r\n")
        assert server.stop() == 0, server.log()
    assert in_one(tmp_path / "data", _messages) == 5


@pytest.mark.parametrize("processes", [1, 2])
def test_the_end_under_load_is_orderly_and_nothing_is_lost(tmp_path: Path, processes: int) -> None:
    with _served(tmp_path, f"processes = {processes}") as server:
        assert server.process is not None
        with _Load(server.port, 3) as load:
            _until(lambda: load.accepted > 30, server, "there is load")
            server.process.terminate()
            asked_at = time.monotonic()
            _until(lambda: _refused(server.port), server, "it accepts no more", 2.0)
            stopped_after = time.monotonic() - asked_at
            assert server.process.wait(30) == 0, server.log()
            load._ended.set()
        assert stopped_after < 0.5, stopped_after  # 0.1 s, and what a busy machine of two cores adds
    assert in_one(tmp_path / "data", _messages) == load.accepted
    assert "Traceback" not in server.log()


def test_when_the_supervisor_is_killed_its_address_and_directory_are_free_at_once(tmp_path: Path) -> None:
    with _served(tmp_path, "processes = 2") as server:
        assert server.process is not None
        workers = _children(server.process.pid)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        _until(lambda: not any(_lives(pid) for pid in workers), server, "the workers are gone", 2.0)
        server.start()
        assert server.stop() == 0, server.log()


def _lives(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    return False


_ACTIVATE = """
import os, sys
for place, number in enumerate(map(int, sys.argv[1].split(","))):
    os.dup2(number, 100 + place)
for place in range(len(sys.argv[1].split(","))):
    os.dup2(100 + place, 3 + place)
os.environ["LISTEN_PID"] = os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "ekiden", "serve", "--config", sys.argv[2]])
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_systemd_hands_sockets_over_and_hears_of_every_state(tmp_path: Path, processes: int) -> None:
    server = Serving(tmp_path, f"processes = {processes}")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(30)
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    numbers = [door.fileno() for door in doors]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EKIDEN_")}
    names = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _ACTIVATE, ",".join(map(str, numbers)), str(tmp_path / "ekiden.toml")],
            pass_fds=numbers,
            stderr=log,
            start_new_session=True,
            env={**kept, **names, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "mx:imap"},
        )
    server.process = process
    heard: list[str] = []

    def hear(wanted: str) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            heard.append(manager.recv(4096).decode())
            if wanted in heard[-1].split("\n"):
                return heard[-1]
        raise AssertionError(f"{wanted} was not said: {heard}\n{server.log()}")

    try:
        hear("READY=1")
        with smtplib.SMTP("127.0.0.1", doors[0].getsockname()[1], timeout=20) as client:
            client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")
        _serves_imap(doors[1].getsockname()[1])
        assert _refused(server.port), "the socket of systemd stands for the listener of the configuration"
        hear("WATCHDOG=1")
        hear("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in hear("RELOADING=1")
        hear("READY=1")
        process.terminate()
        hear("STOPPING=1")
        assert process.wait(30) == 0, server.log()
        socket.create_connection(doors[0].getsockname(), timeout=5).close()  # still open: who connects now waits for the next start
    finally:
        if process.poll() is None:
            server.kill()
        manager.close()
        for door in doors:
            door.close()


@pytest.mark.peer("systemd-analyze")
def test_the_unit_for_systemd_is_tight(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    assert tool is not None
    units = Path(__file__).parents[2] / "packaging" / "systemd"
    for unit in units.iterdir():
        shutil.copy(unit, tmp_path)
    done = subprocess.run(
        [tool, "security", "--offline=true", "--threshold=20", "--no-pager", str(tmp_path / "ekiden.service")],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "Overall exposure level" in done.stdout

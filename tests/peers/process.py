"""Programs that run beside a test: free ports, start, wait until they answer, stop with all their children, keep their log."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

RUNNING: list[Daemon] = []  # whose logs are shown beside a failed test

_PARTS, _PART = 20, 1_000
_given: set[int] = set()


def free_port() -> int:
    """A loopback port, free for TCP and UDP just now and not given out before by this process.

    Below the range that the kernel takes for outgoing connections, and from a part of it that belongs to this
    test process alone, so that two of them never race for one: not while a server is down between two starts either.
    """
    lowest = _own_part()
    while True:
        port = random.randrange(lowest, lowest + _PART)
        if port in _given:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        _given.add(port)
        return port


@cache
def _own_part() -> int:
    """The first port of a part that no other test process of this machine has: its lock file is locked as long as we live."""
    for part in range(_PARTS):
        try:
            fd = os.open(Path(tempfile.gettempdir()) / f"ekiden-test-ports-{part}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:  # somebody else's
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            continue
        return 10_000 + _PART * part
    raise AssertionError(f"{_PARTS} test processes run on this machine already, and there are no ports for another one")


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Does something listen there?"""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def until(true: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for a state that nothing announces (a file written by another program). Raises AssertionError naming `what`."""
    end = time.monotonic() + seconds
    pause = 0.005
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


class Daemon:
    """A server of another project, running in a process group of its own, its output in `log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._file = log.open("ab")
        self.process = subprocess.Popen(
            [os.fspath(c) for c in command],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
        )
        RUNNING.append(self)

    def wait_for(self, ready: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        """Wait until it is ready; AssertionError with its log if it ends or stays silent."""
        end = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode} before {what}\n{self.tail()}")
            if time.monotonic() > end:
                log = self.tail()
                self.stop()
                raise AssertionError(f"{self.name}: not within {seconds:g} s: {what}\n{log}")
            time.sleep(0.02)

    def wait_port(self, port: int, seconds: float = 20.0) -> None:
        """Wait until it accepts connections on 127.0.0.1:port."""
        self.wait_for(lambda: answers(port), f"it answers on port {port}", seconds)

    def tail(self, lines: int = 60) -> str:
        """The end of its log."""
        try:
            text = self.log.read_bytes().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, first: signal.Signals = signal.SIGTERM, seconds: float = 10.0) -> int:
        """End it and its children: politely, then for good. Its exit status."""
        if self in RUNNING:
            RUNNING.remove(self)
        if self.process.poll() is None:
            self.process.send_signal(first)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # its session: whatever it left behind
        except (ProcessLookupError, PermissionError):
            pass
        status = self.process.wait()
        self._file.close()
        return status


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",
    cwd: Path | None = None,
    seconds: float = 60.0,
    status: int | None = 0,
) -> subprocess.CompletedProcess[bytes]:
    """Run a client to its end. AssertionError with all it said if it does not end with `status` (None: any) in time."""
    words = [os.fspath(c) for c in command]
    try:
        done = subprocess.run(
            words,
            env=dict(env) if env is not None else None,
            input=input,
            capture_output=True,
            cwd=cwd,
            timeout=seconds,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as late:
        said = ((late.stdout or b"") + (late.stderr or b"")).decode("utf-8", "replace")
        raise AssertionError(f"{words[0]} did not end within {seconds:g} s\n{said[-6000:]}") from None
    if status is not None and done.returncode != status:
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        raise AssertionError(f"{' '.join(words)}\nended with {done.returncode}, not {status}\n{said[-6000:]}")
    return done

"""`ekiden serve` as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.process import free_port
from tests.store.stores import NOW, in_one

from ekiden.sasl.passwords import Passwords
from ekiden.store import accounts
from ekiden.testing.certificates import make_certificate

WAIT_S = 30.0


class Serving:
    """One configuration, one process at a time."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        asked = "" if "policies" in more else "policies = []\n"  # no test asks the world who sent its mail
        self.port = free_port()
        (folder / "data").mkdir(mode=0o700)
        make_certificate(folder / "certificate.pem", folder / "key.pem")
        (folder / "ekiden.toml").write_text(
            f'hostname = "mx.test"\ndomains = ["local.test"]\ndata_dir = "data"\n{asked}{more}\n'
            f'[listeners]\nmx = ["127.0.0.1:{self.port}"]\nmetrics = ["127.0.0.1:0"]\n'
            '[tls]\ncertificate = "certificate.pem"\nkey = "key.pem"\n[dns]\nservers = ["127.0.0.1:9"]\n'
            "[limits]\nconnections_per_address = 500\nmessages_per_connection = 100000\n",
            "utf-8",
        )
        stored = Passwords(memory_kib=64, passes=1).hash(b"secret")
        in_one(folder / "data", lambda tx: accounts.create_account(tx, "alice", ["alice@local.test"], stored, NOW))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when it says its banner."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ekiden", "serve", "--config", str(self.folder / "ekiden.toml")],
                stderr=log,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("EKIDEN_")},
            )
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
                    if sock.recv(3) == b"220":
                        return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"no banner: {self.log()}")

    def kill(self) -> None:
        """kill -9 of every process."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(WAIT_S)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(WAIT_S)

    def log(self) -> str:
        """All that was logged."""
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""


@contextmanager
def serving(folder: Path, more: str = "") -> Iterator[Serving]:
    """A server that runs; killed in the end if it still does."""
    server = Serving(folder, more)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()

"""The servers that are measured, each started for the purpose, its mail on the disk below bench/out.

Ekiden runs as `ekiden serve --config bench/ekiden.toml`; Postfix and Dovecot come from tests/peers with the settings
that their authors ship, into Maildirs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.peers.certificates import make_certificate
from tests.peers.postfix import Postfix
from tests.peers.process import Daemon, free_port

BENCH = Path(__file__).resolve().parent
OUT = BENCH / "out"
PASSWORD = "correct horse"
RECIPIENT = "inbox@bench.test"


class Server(Protocol):
    """What the load needs to know of a server."""

    label: str
    port: int
    pid: int

    def count(self) -> int:
        """Messages that have arrived in the mailbox of RECIPIENT."""

    def stop(self) -> None:
        """End it."""


def fresh(name: str) -> Path:
    """An empty folder of this process below bench/out."""
    folder = OUT / f"{name}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of bench/out: two measurements at once would measure each other."""
    OUT.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that the servers are ended, too
    with (OUT / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class EkidenServer:
    """Ekiden with bench/ekiden.toml and one account.

    processes: how many serve. settings: further ones, as the environment names them. prepare: called with the file of the
    database when the account is there and nothing runs yet.
    """

    def __init__(
        self,
        name: str = "ekiden",
        *,
        processes: int = 1,
        config: Path | None = None,
        settings: Mapping[str, str] | None = None,
        prepare: Callable[[Path], None] | None = None,
    ) -> None:
        folder = fresh(name)
        self.folder = folder
        self.certificate, key, _ = make_certificate(folder / "tls", "localhost", "mx.bench.test")
        self.port, self.imaps, self.pop3s = free_port(), free_port(), free_port()
        self.config = config or BENCH / "ekiden.toml"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("EKIDEN_")},
            "EKIDEN_DATA_DIR": str(folder / "data"),
            "EKIDEN_LISTENERS__MX": f"127.0.0.1:{self.port}",
            "EKIDEN_LISTENERS__IMAPS": f"127.0.0.1:{self.imaps}",
            "EKIDEN_LISTENERS__POP3S": f"127.0.0.1:{self.pop3s}",
            "EKIDEN_TLS__CERTIFICATE": str(self.certificate),
            "EKIDEN_TLS__KEY": str(key),
            "EKIDEN_DNS__SERVERS": "127.0.0.1:9",
            **({"EKIDEN_PROCESSES": str(processes)} if processes != 1 else {}),
            **(settings or {}),
        }
        self.command("account", "add", RECIPIENT, "--password-stdin", given=PASSWORD + "\n")
        self.database = folder / "data" / "ekiden.db"
        if prepare is not None:
            prepare(self.database)
        self._daemon = Daemon("ekiden", self._ekiden("serve"), log=folder / "ekiden.log", env=self.environment)
        self._daemon.wait_port(self.port)
        self._daemon.wait_port(self.imaps)
        self.pid = self._daemon.process.pid
        self.label = "Ekiden " + self.command("--version").split()[-1] + (f", {processes} processes" if processes != 1 else "")

    def _ekiden(self, *words: str) -> list[str]:
        asks_config = not words[0].startswith("-")
        return [sys.executable, "-m", "ekiden", *words, *(["--config", str(self.config)] if asks_config else [])]

    def command(self, *words: str, given: str = "") -> str:
        """Run `ekiden WORDS`; what it printed."""
        return subprocess.run(
            self._ekiden(*words), input=given, capture_output=True, text=True, check=True, env=self.environment, timeout=60
        ).stdout

    def differences(self) -> list[tuple[str, object, object]]:
        """(key, default, value here) of every setting that is not at its default."""
        # Imported here: everything else of bench/ measures Ekiden from outside.
        from ekiden.app.config import Config, as_table, load

        ours = as_table(load(self.config, self.environment))
        standard = as_table(Config(hostname="(none: has to be given)"))
        found = _different(standard, ours, "")
        return [(key, default, _from_here(value)) for key, default, value in found]

    def count(self) -> int:
        """Messages in INBOX, asked over IMAP."""
        with Imap(self.imaps, self.certificate) as client:
            answer = client.ask(b"STATUS INBOX (MESSAGES)")
        return int(answer.split(b"(MESSAGES ")[1].split(b")")[0])

    def stop(self) -> None:
        """End it and remove its mail."""
        self._daemon.stop(signal.SIGTERM, 30)
        shutil.rmtree(self.folder, ignore_errors=True)


def _from_here(value: object) -> object:
    """A path below the project as it is from there: where the project lies is nobody's business."""
    if isinstance(value, list):
        return [_from_here(each) for each in value]
    return value.replace(f"{BENCH.parent}/", "") if isinstance(value, str) else value


def _different(standard: object, ours: object, place: str) -> list[tuple[str, object, object]]:
    if isinstance(standard, dict) and isinstance(ours, dict):
        return [row for key in ours for row in _different(standard.get(key), ours[key], f"{place}.{key}".lstrip("."))]
    return [] if standard == ours else [(place, standard, ours)]


class PostfixServer:
    """Postfix with its compiled-in defaults (variant "default"), or tuned: no pause for the queue manager, long-lived processes."""

    def __init__(self, variant: str = "default") -> None:
        folder = self._folder = fresh(f"postfix-{variant}")
        _, _, both = make_certificate(folder / "tls", "localhost", "mx.bench.test")
        tuned = {
            "in_flow_delay": "0",
            "max_use": "10000",
            "max_idle": "300s",
            "default_process_limit": "200",
            "smtpd_client_connection_count_limit": "0",
        }
        self._postfix = Postfix(
            folder,
            port=free_port(),
            certificate=both,
            hostname="mx.bench.test",
            domains=["bench.test"],
            boxes=[RECIPIENT],
            settings={} if variant == "default" else tuned,
        )
        self.label = f"Postfix {self._postfix.version.split('-')[0]}" + ("" if variant == "default" else f" ({variant})")
        self.port = self._postfix.port
        self.pid = self._postfix.pid

    def count(self) -> int:
        """Messages in the Maildir."""
        return self._postfix.count(RECIPIENT)

    def stop(self) -> None:
        """End it and remove its mail."""
        self._postfix.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Imap:
    """The cheapest IMAP client that can be: one command at a time, its answer as one piece of bytes."""

    def __init__(self, port: int, certificate: Path, user: str = RECIPIENT, password: str = PASSWORD) -> None:
        plain = socket.create_connection(("localhost", port), timeout=120)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = ssl.create_default_context(cafile=str(certificate)).wrap_socket(plain, server_hostname="localhost")
        self._buffer = bytearray(1 << 18)
        self._number = 0
        self._socket.recv(4096)
        self.ask(f'LOGIN "{user}" "{password}"'.encode())

    def __enter__(self) -> Imap:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, command: bytes) -> bytes:
        """Send one command; all bytes of the answer. Raises RuntimeError if it is not OK."""
        self._number += 1
        tag = b"b%d" % self._number
        self._socket.sendall(tag + b" " + command + b"\r\n")
        pieces: list[bytes] = []
        last = b""
        while True:
            got = self._socket.recv_into(self._buffer)
            if not got:
                raise RuntimeError("the server closed the connection")
            pieces.append(bytes(self._buffer[:got]))
            last = (last + pieces[-1])[-4096:]
            if last.endswith(b"\r\n"):
                line = last[last.rfind(b"\r\n", 0, -2) + 2 :] if b"\r\n" in last[:-2] else last
                if line.startswith(tag + b" "):
                    if not line.startswith(tag + b" OK"):
                        raise RuntimeError(line.decode("utf-8", "replace"))
                    return b"".join(pieces)


def machine() -> dict[str, object]:
    """What a result depends on: processor, cores, memory, kernel, Python, disk."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024 // 1024
    OUT.mkdir(parents=True, exist_ok=True)
    disk = subprocess.run(["df", "--output=source,fstype", str(OUT)], capture_output=True, text=True, check=False).stdout.split("\n")[1:2]
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "disk": " ".join(" ".join(disk).split()),
    }


def save(name: str, result: object) -> None:
    """Append one result as a JSON line to bench/results/NAME.jsonl, kept beside the program that made it."""
    file = BENCH / "results" / f"{name}.jsonl"
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as out:
        out.write(json.dumps(result) + "\n")


def results(name: str) -> list[dict[str, Any]]:
    """All lines of bench/results/NAME.jsonl, the oldest first; what they hold is the business of the program that wrote them."""
    file = BENCH / "results" / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows as a Markdown table, the first one its head."""
    text = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in text) for i in range(len(text[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in text]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])

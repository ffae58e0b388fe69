"""A real Ekiden for tests: `ekiden serve` in a process of its own, with free ports, fresh data, accounts made by the CLI."""

from __future__ import annotations

import imaplib
import os
import poplib
import signal
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.clients import Door, Login
from tests.peers.network import entered, inside
from tests.peers.process import Daemon, answers, free_port

PASSWORD = "correct horse"
DOORS = ("mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s")
SECURED = {"mx": "starttls", "submission": "starttls", "imap": "starttls", "pop3": "starttls"}
BAD_SIGNS = (
    "Traceback (most recent call last)",
    "never retrieved",
    "Unhandled",
    "unhandled",
    "Exception ignored",
    "was never awaited",
    "session-failed",
)


@dataclass(slots=True)
class Settings:
    """What a test decides about its server; the rest are Ekiden's own defaults. `more` are TOML tables: name → lines."""

    domain: str = "one.test"
    hostname: str = "mx.one.test"
    accounts: Sequence[str] = ("alice", "bob")
    doors: Sequence[str] = DOORS
    dns_port: int | None = None  # None: a port where nobody answers, so that no test asks the world
    outbound_port: int = 25
    host: str = "127.0.0.1"
    ports: Mapping[str, int] = field(default_factory=dict)
    password: str = PASSWORD
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)
    network: str | None = None  # the path of a network namespace to run in
    mx_host: str | None = None  # where the MX door listens, if not on `host`
    dns_host: str | None = None  # where the name server is, if not on `host`


class Ekiden:
    """One running server. Stopped by SIGTERM; its log must show no traceback then."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path, Path], settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.folder = folder
        self.certificate = certificate
        self.ports = {door: self.settings.ports.get(door) or free_port() for door in self.settings.doors}
        self.config = folder / "ekiden.toml"
        self.starts = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(self._toml())
        for name in self.settings.accounts:
            self.command("account", "add", self.address(name), "--password-stdin", input=self.settings.password + "\n")
        self.start()

    def _toml(self) -> str:
        chosen = self.settings
        tables: dict[str, list[str]] = {
            "listeners": [
                f'{door} = ["{chosen.mx_host if door == "mx" and chosen.mx_host else chosen.host}:{port}"]'
                for door, port in self.ports.items()
            ],
            "tls": [f'certificate = "{self.certificate[0]}"', f'key = "{self.certificate[1]}"'],
            "dns": [f'servers = ["{chosen.dns_host or chosen.host}:{chosen.dns_port or 9}"]'],
            "outbound": [f"port = {chosen.outbound_port}"],
        }
        for table, lines in chosen.more.items():
            tables.setdefault(table, []).extend(lines)
        text = [f'hostname = "{chosen.hostname}"', f'domains = ["{chosen.domain}"]', f'data_dir = "{self.folder}/data"']
        own = tables.pop("", [])
        if not any(line.startswith("policies") for line in own):
            own.append("policies = []")  # no test asks the world who sent its mail
        text += own
        for table, lines in tables.items():
            text += ["", f"[{table}]", *lines]
        return "\n".join(text) + "\n"

    def start(self) -> None:
        """Start it (again) on the same data."""
        self.starts += 1
        self._daemon = Daemon(
            f"ekiden {self.settings.domain}",
            [*self._inside(), *self._program(), "serve", "--config", self.config],
            log=self.folder / f"ekiden-{self.starts}.log",
            env=self._environment(),
        )
        for door, port in self.ports.items():
            host = (door == "mx" and self.settings.mx_host) or self.settings.host
            self._daemon.wait_for(lambda port=port, host=host: self._answers(port, host), f"{door} answers")  # type: ignore[misc]

    def _program(self) -> list[str]:
        """What serves; the commands of the CLI are always Ekiden's own."""
        return [sys.executable, "-m", "ekiden"]

    def stop(self) -> None:
        """End it as an operator would. AssertionError if it does not obey, fails, or its log shows that something broke."""
        status = self._daemon.stop(signal.SIGTERM, 25)
        text = self.log()
        assert status == 0, f"ekiden ended with {status}\n{self._daemon.tail()}"
        for sign in BAD_SIGNS:
            assert sign not in text, f"{sign!r} in the log of ekiden\n" + text[max(0, text.index(sign) - 2000) :][:6000]

    def kill(self) -> None:
        """End it as a power cut would."""
        self._daemon.stop(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Its process (the supervisor, if there are several)."""
        return self._daemon.process.pid

    def log(self) -> str:
        """What it has logged since its last start."""
        return self._daemon.log.read_text("utf-8", "replace")

    def command(self, *words: str, input: str = "", status: int = 0) -> str:
        """Run `ekiden WORDS` on this server's configuration; what it printed. AssertionError if it ends otherwise."""
        done = subprocess.run(
            [*self._inside(), sys.executable, "-m", "ekiden", *words, "--config", str(self.config)],
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self._environment(),
        )
        assert done.returncode == status, f"ekiden {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EKIDEN_")}
        return {**kept, "PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1"}

    def _inside(self) -> list[str]:
        return entered(self.settings.network)

    def _answers(self, port: int, host: str) -> bool:
        with inside(self.settings.network):
            return answers(port, host)

    # ---- ways in

    def address(self, name: str) -> str:
        """name@domain of this server."""
        return f"{name}@{self.settings.domain}"

    def login(self, name: str) -> Login:
        """The account's name and password."""
        return Login(self.address(name), self.settings.password)

    def door(self, name: str) -> Door:
        """A listening port as foreign clients are told of it."""
        return Door(self.ports[name], SECURED.get(name, "tls"), self.certificate[0])

    def trusted(self) -> ssl.SSLContext:
        """A client's TLS context that trusts this server alone."""
        return ssl.create_default_context(cafile=str(self.certificate[0]))

    @contextmanager
    def smtp(self, door: str = "mx", name: str | None = None) -> Iterator[smtplib.SMTP]:
        """An SMTP client in TLS, signed in if a name is given."""
        with inside(self.settings.network):
            if door == "submissions":
                client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", self.ports[door], timeout=30, context=self.trusted())
            else:
                client = smtplib.SMTP("localhost", self.ports[door], timeout=30)
        if door == "submission":
            client.starttls(context=self.trusted())
        with client:
            if name is not None:
                client.login(self.address(name), self.settings.password)
            yield client

    @contextmanager
    def imap(self, name: str, *, starttls: bool = False) -> Iterator[imaplib.IMAP4]:
        """An IMAP client, signed in."""
        with inside(self.settings.network):
            if starttls:
                client = imaplib.IMAP4("localhost", self.ports["imap"], timeout=30)
            else:
                client = imaplib.IMAP4_SSL("localhost", self.ports["imaps"], ssl_context=self.trusted(), timeout=30)
        if starttls:
            client.starttls(self.trusted())
        with client:
            client.login(self.address(name), self.settings.password)
            yield client

    @contextmanager
    def pop3(self, name: str, *, starttls: bool = False) -> Iterator[poplib.POP3]:
        """A POP3 client, signed in."""
        with inside(self.settings.network):
            if starttls:
                client = poplib.POP3("localhost", self.ports["pop3"], timeout=30)
            else:
                client = poplib.POP3_SSL("localhost", self.ports["pop3s"], timeout=30, context=self.trusted())
        if starttls:
            client.stls(self.trusted())
        client.user(self.address(name))
        client.pass_(self.settings.password)
        try:
            yield client
        finally:
            client.quit()

    def inbox(self, name: str, box: str = "INBOX") -> list[bytes]:
        """All messages of a mailbox over IMAP, byte for byte, in the order of their UIDs."""
        with self.imap(name) as client:
            status, found = client.select(box, readonly=True)
            assert status == "OK", found
            if found == [b"0"]:
                return []
            status, pieces = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
            assert status == "OK", pieces
            return [piece[1] for piece in pieces if isinstance(piece, tuple)]

    def wait_inbox(self, name: str, count: int, seconds: float = 30) -> list[bytes]:
        """The messages of INBOX as soon as there are `count` of them. AssertionError if there are not in time."""
        end = time.monotonic() + seconds
        while len(found := self.inbox(name)) < count:
            assert time.monotonic() < end, f"{name} has {len(found)} of {count} messages after {seconds:g} s\n{self._daemon.tail()}"
            time.sleep(0.05)
        return found


def without_prefix(message: bytes, original: bytes) -> bytes:
    """The message without what we put on top (RFC 5321 §4.4): what is left must be the original."""
    assert message.endswith(original), f"{message[:2000]!r} does not end with {original[:2000]!r}"
    prefix = message[: len(message) - len(original)]
    assert prefix.startswith(b"Return-Path: <"), prefix
    assert prefix.endswith(b"\r\n"), prefix
    assert b"\r\nReceived: " in prefix, prefix
    return prefix

"""Little memory and much mail: what does not fit waits or comes later, nobody is killed, nothing is lost.

Source: reliability.md §3.5, F-53.
"""

from __future__ import annotations

import hashlib
import smtplib
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.crash.limited import Limited
from tests.doors.server import Ekiden, Settings
from tests.peers.cgroups import group
from tests.peers.process import until

MIB = 1 << 20


def _large(number: int, size: int) -> bytes:
    """A message of its own of about so many bytes; each has many parts, so that reading it makes many pieces."""
    head = f"Subject: m{number}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".encode()
    line = hashlib.sha256(b"%d" % number).hexdigest().encode() + b"\r\n"
    part = b"--b\r\nContent-Type: text/plain; name=x\r\n\r\n" + line * (size // 1000 // len(line) + 1)
    return head + part * 1000 + b"--b--\r\n"


class _Senders:
    """So many clients at the same time, each with one large message that it sends until it hears 250."""

    def __init__(self, port: int, number: int, size: int, patience_s: float) -> None:
        self.accepted: list[str] = []
        self.codes: Counter[int] = Counter()
        self._port = port
        self._size = size
        self._end = time.monotonic() + patience_s
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in range(number)]

    def run(self) -> None:
        """All of them, to their ends."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join(max(1.0, self._end + 120 - time.monotonic()))

    def _run(self, number: int) -> None:
        raw = _large(number, self._size)
        while time.monotonic() < self._end:
            code = self._try(raw)
            with self._lock:
                self.codes[code] += 1
                if code == 250:
                    self.accepted.append(f"m{number}")
                    return
            threading.Event().wait(0.5)

    def _try(self, raw: bytes) -> int:
        try:
            with smtplib.SMTP("127.0.0.1", self._port, local_hostname="client.two.test", timeout=180) as client:
                client.sendmail("x@two.test", ["alice@one.test"], raw)
                return 250
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
        except smtplib.SMTPRecipientsRefused as refused:
            return next(iter(refused.recipients.values()))[0]
        except (OSError, smtplib.SMTPException):
            return 0


def _subjects(server: Ekiden) -> list[str]:
    """Of all messages in the INBOX, without their bodies."""
    with server.imap("alice") as client:
        client.select("INBOX", readonly=True)
        found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        return [piece[1].split()[1].decode() for piece in found if isinstance(piece, tuple)]


@pytest.mark.peer("cgroups")
@pytest.mark.parametrize(
    ("memory", "number", "size", "patience_s"),
    [(224 * MIB, 40, 8_000_000, 60.0), pytest.param(512 * MIB, 200, 25_000_000, 600.0, marks=pytest.mark.nightly)],
)
def test_many_large_messages_in_little_memory(
    tmp_path: Path, certificate: tuple[Path, Path, Path], memory: int, number: int, size: int, patience_s: float
) -> None:
    settings = Settings(doors=("mx", "imaps"), more={"limits": ["connections_per_address = 1000", 'free_space = "0"', "free_percent = 0"]})
    with group("memory") as made:
        made.limit_memory(memory)
        server = Limited(tmp_path / "ekiden", certificate, settings, made.entering)
        try:
            senders = _Senders(server.ports["mx"], number, size, patience_s)
            senders.run()
            assert made.killed == 0
            assert set(senders.codes) <= {250, 421, 452}, senders.codes
            assert len(senders.accepted) == number, senders.codes
            assert sorted(_subjects(server)) == sorted(senders.accepted)
            server.command("check", "store")
            server.stop()
        finally:
            server.kill()


def test_above_its_share_new_connections_hear_421(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    settings = Settings(doors=("mx", "imaps"), more={"limits": ['memory = "1MB"']})
    server = Ekiden(tmp_path / "ekiden", certificate, settings)
    until(lambda: "event='memory-short'" in server.log(), "memory is short")
    with pytest.raises(smtplib.SMTPConnectError) as refused, server.smtp("mx"):
        pass
    assert refused.value.smtp_code == 421
    assert b"4.3.2" in (refused.value.smtp_error if isinstance(refused.value.smtp_error, bytes) else b"")
    server.stop()

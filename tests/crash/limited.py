"""A server that may have little of something, and crowds of clients that want much."""

from __future__ import annotations

import os
import selectors
import smtplib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.crash.hammer import Hammer
from tests.doors.server import Ekiden, Settings

_TICKS = os.sysconf("SC_CLK_TCK")


class Limited(Ekiden):
    """Ekiden behind a command that limits it and runs what follows (`sh -c 'ulimit …; exec "$@"' sh`)."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path, Path], settings: Settings, before: Sequence[str]) -> None:
        self._before = list(before)
        super().__init__(folder, certificate, settings)

    def _inside(self) -> list[str]:
        return [*self._before, *super()._inside()]


def few_descriptors(number: int) -> list[str]:
    """Before a command: not more than so many, and no way to get more."""
    return ["sh", "-c", f'ulimit -n {number} && exec "$@"', "sh"]


def processor_share(pid: int, seconds: float) -> float:
    """What part of one processor a process takes during the next seconds."""

    def used() -> float:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICKS

    before, began = used(), time.monotonic()
    threading.Event().wait(seconds)
    return (used() - before) / (time.monotonic() - began)


def own_address(number: int) -> str:
    """One of many addresses of this machine, so that the bound for one address is not the one that is met."""
    return f"127.{100 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"


class Silent:
    """Many clients that connect and say nothing. heard: by the first three bytes of what each of them hears ("": nothing yet)."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._first: dict[socket.socket, bytes] = {}
        self.broken = 0

    def come(self, number: int, *, many_addresses: bool = True) -> None:
        """So many more."""
        for _ in range(number):
            sock = socket.socket()
            sock.setblocking(False)
            if many_addresses:
                sock.bind((own_address(len(self._first)), 0))
            with suppress(BlockingIOError):
                sock.connect(("127.0.0.1", self._port))
            self._first[sock] = b""
            self._selector.register(sock, selectors.EVENT_READ)
            if len(self._first) % 100 == 0:
                self.listen(0.0)

    def listen(self, seconds: float, enough: Callable[[Counter[str]], bool] = lambda heard: False) -> Counter[str]:
        """What they have heard when so many seconds are over or it is enough."""
        end = time.monotonic() + seconds
        while True:
            for key, _ in self._selector.select(min(0.05, max(0.0, end - time.monotonic()))):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                try:
                    said = sock.recv(1000)
                except OSError:
                    self.broken += not self._first[sock]
                    said = b""
                if not said:
                    self._selector.unregister(sock)
                    sock.close()
                self._first[sock] = self._first[sock] or said
            heard = self.heard()
            if time.monotonic() >= end or enough(heard):
                return heard

    def heard(self) -> Counter[str]:
        """By the first three bytes."""
        return Counter(said[:3].decode("ascii", "replace") for said in self._first.values())

    @property
    def connected(self) -> int:
        """How many are still open on their side."""
        return len(self._selector.get_map())

    def go(self) -> None:
        """All of them leave."""
        for sock in self._first:
            sock.close()
        self._selector.close()


@contextmanager
def silent(port: int) -> Iterator[Silent]:
    """Such clients; they leave in the end."""
    clients = Silent(port)
    try:
        yield clients
    finally:
        clients.go()


class ResetStorm(Hammer):
    """Threads that connect and reset at once."""

    def __init__(self, port: int, threads: int = 2) -> None:
        super().__init__(threads)
        self.resets = 0
        self._port = port

    def once(self) -> None:
        with suppress(OSError), socket.socket() as sock:
            sock.settimeout(10)
            sock.bind((own_address(self.resets % 1000), 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.connect(("127.0.0.1", self._port))
            self.resets += 1


class SynFlood(Hammer):
    """A thread that sends bare SYN from addresses where nobody is, so that their handshakes never end. Needs root."""

    def __init__(self, source_network: str, to: str, port: int) -> None:
        super().__init__(1)
        self.sent = 0
        self._sources = [socket.inet_aton(f"{source_network}.{last}") for last in range(10, 250)]
        self._to = to
        self._port = port
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)  # in the namespace of who makes us

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._raw.close()

    def once(self) -> None:
        to = socket.inet_aton(self._to)
        source = self._sources[self.sent % len(self._sources)]
        from_port = 1024 + self.sent // len(self._sources) % 60_000
        head = struct.pack("!HHIIBBHHH", from_port, self._port, self.sent & 0xFFFFFFFF, 0, 5 << 4, 2, 65_535, 0, 0)
        check = _checksum(source + to + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head)) + head)
        tcp = head[:16] + struct.pack("!H", check) + head[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0, source, to)
        with suppress(OSError):  # its queue is full
            self._raw.sendto(ip + tcp, (self._to, 0))
            self.sent += 1


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def one_message(
    port: int, to: str, subject: str, size: int = 100, timeout_s: float = 60.0, host: str = "127.0.0.1"
) -> tuple[float, str]:
    """(seconds, subject) of a whole conversation that ended with 250. Raises what smtplib raises."""
    began = time.monotonic()
    with smtplib.SMTP(host, port, local_hostname="client.two.test", timeout=timeout_s) as client:
        client.sendmail("x@two.test", [to], f"Subject: {subject}\r\n\r\n".encode() + b"some text of a message\r\n" * (size // 24))
    return time.monotonic() - began, subject


def percentile(seconds: Sequence[float], share: float) -> float:
    """The value below which such a share of them lies."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))]

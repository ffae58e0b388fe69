"""How long a server that was killed takes to come back: with a queue of ten thousand copies, five seconds at most to its greeting.

Source: reliability.md §3.1 (recovery), §1.3 (C12).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from ipaddress import IPv4Address
from pathlib import Path

import apsw
import pytest
from tests.crash.faults import Failing, send, subjects
from tests.doors.server import Settings
from tests.peers.process import until
from tests.store.stores import a_message, in_one

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.mail.address import Domain
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.store import journeys, messages, queue
from ekiden.store.database import Tx

QUEUED = 10_000
RECOVERY_S = 5.0
_AT_ONCE = 1_000


def _fill(data: Path) -> None:
    """Copies to a thousand domains, all of them due."""
    now = Millis(int(time.time() * 1000))

    def some(tx: Tx, first: int) -> None:
        numbers = range(first, first + _AT_ONCE)
        messages.insert_all(tx, [a_message(number, b"Subject: %d\r\n\r\nbody\r\n" % number) for number in numbers])
        journeys.begin_all(tx, [(EnvelopeId(number), ()) for number in numbers])
        for number in numbers:
            peer = Peer(IPv4Address("192.0.2.1"), 9, "mx")
            envelope = Envelope(EnvelopeId(number), MailPath("alice", Domain("one.test")), (), peer, now)
            domain = f"d{number % 1_000}.test"
            queue.enqueue(tx, envelope, Recipient(MailPath("x", Domain(domain))), domain, now=now)

    for first in range(1, QUEUED + 1, _AT_ONCE):
        in_one(data, lambda tx, first=first: some(tx, first))  # type: ignore[misc]  # binds first


def _count(data: Path, condition: str) -> int:
    connection = apsw.Connection(str(data / "ekiden.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(10_000)
        ((count,),) = connection.execute(f"SELECT COUNT(*) FROM delivery WHERE {condition}").fetchall()  # noqa: S608  # ours
        return int(str(count))
    finally:
        connection.close()


def _greets(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=RECOVERY_S) as sock:
        return sock.recv(4) == b"220 "
    return False


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("processes", [1, 2])
def test_with_ten_thousand_queued_copies_it_greets_within_five_seconds(
    tmp_path: Path, certificate: tuple[Path, Path, Path], processes: int
) -> None:
    server = Failing(tmp_path / "ekiden", certificate, Settings(doors=("mx", "imaps"), more={"": [f"processes = {processes}"]}))
    data = server.folder / "data"
    server.stop()
    _fill(data)
    server.start()
    until(lambda: _count(data, "lease_until > 0") > 0, "the courier is at work", 30)
    os.killpg(server.pid, signal.SIGKILL)
    began = time.monotonic()
    server.kill()
    server.start()
    until(lambda: _greets(server.ports["mx"]), "it greets", 20)
    took = time.monotonic() - began
    print(f"{processes} process(es): 220 after {took:.2f} s")
    assert took < RECOVERY_S
    assert send(server, "alice@one.test", "after")[0] == 250
    assert subjects(server, "alice") == ["after"]
    assert _count(data, "finished_at IS NULL") == QUEUED
    server.stop()

"""How many messages a second does the courier hand over? Queue, leases, SMTP to a sink on loopback, outcomes and journeys recorded.

The sink is our own server machine in a process of its own that says yes to everything. One process, one event loop, SQLite with
full durability.

    python bench/relay.py [messages] [domains]
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import sys
import tempfile
import time
from hashlib import sha256
from ipaddress import IPv4Address
from pathlib import Path

import uvloop

from ekiden.app.clock import SystemClock
from ekiden.base.ids import BlobId, EnvelopeId, IdMaker
from ekiden.mail.address import Domain
from ekiden.mail.address import Path as MailPath
from ekiden.mail.envelope import Blob, Envelope, Peer, Recipient
from ekiden.net.connection import Connection
from ekiden.net.tls import client_context
from ekiden.policy.stage import World
from ekiden.services.arrive import Arrivals
from ekiden.services.attempt import Attempts, AttemptSettings
from ekiden.services.bounce import Reports
from ekiden.services.conversation import Manner
from ekiden.services.courier import Courier, CourierSettings
from ekiden.services.deposit import analyse, new_message
from ekiden.services.routing import Router
from ekiden.smtp.events import BodyChunk, BodyEnd, Quit, Refused, Reset, ServerEvent
from ekiden.smtp.replies import OK
from ekiden.smtp.server import ServerSettings, SmtpServer
from ekiden.store import messages, queue
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.changes import Changes
from ekiden.store.database import Tx, open_database
from ekiden.testing.dns import FakeZone, ZoneResolver

CONTENT = b"From: a@one.test\r\nTo: b@two.test\r\nSubject: bench\r\n\r\n" + b"The quick brown fox jumps over the lazy dog.\r\n" * 85


def sink(sock: socket.socket) -> None:
    """Say yes for ever."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        tasks = set()

        async def session(connection: Connection[ServerEvent], machine: SmtpServer) -> None:
            await connection.opened
            machine.greet()
            while (event := await connection.next_event()) is not None:
                if isinstance(event, BodyEnd):
                    machine.answer(OK)
                elif not isinstance(event, (BodyChunk, Quit, Refused, Reset)):
                    machine.accept()

        def protocol() -> Connection[ServerEvent]:
            machine = SmtpServer(ServerSettings("sink.test", messages=0))
            connection = Connection[ServerEvent](machine, {}, loop)
            task = loop.create_task(session(connection, machine))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            return connection

        server = await loop.create_server(protocol, sock=sock)
        await server.serve_forever()

    uvloop.run(serve())


async def _count(key: str, per_s: int) -> int:
    return 0


def _log(event: str, **fields: object) -> None:
    print(event, fields, file=sys.stderr)


async def relay(port: int, count: int, domains: int, folder: Path) -> float:
    """Messages a second."""
    database = open_database(f"sqlite://{folder / 'ekiden.db'}")
    clock = SystemClock()
    zone = FakeZone({f"d{n}.test": ["A 127.0.0.1"] for n in range(domains)})
    resolver, changes = ZoneResolver(zone), Changes()
    peer = Peer(IPv4Address("192.0.2.1"), 99, "submission")
    analysis = analyse(CONTENT)
    blob = Blob(BlobId(""), len(CONTENT), sha256(CONTENT).digest())

    def fill(tx: Tx) -> None:
        now = clock.now()
        for n in range(1, count + 1):
            id = EnvelopeId(n)
            message = new_message(id, analysis, blob, CONTENT, sender="a@one.test", prefix=b"Received: x\r\n", received_at=now)
            messages.insert(tx, message)
            domain = f"d{n % domains}.test"
            envelope = Envelope(id, MailPath("a", Domain("one.test")), (), peer, now)
            queue.enqueue(tx, envelope, Recipient(MailPath("b", Domain(domain))), domain, now=now)

    await database.write(fill)
    world = World(clock, resolver, _count, _log)
    arrivals = Arrivals(database, changes, clock, world, "mx.one.test")
    reports = Reports(arrivals, Router(database, clock, "mx.one.test", []), IdMaker(clock), clock, "mx.one.test", _log)
    context = client_context(verify=False)
    settings = AttemptSettings(Manner("mx.one.test"), port=port, may_dial=lambda ip: True)
    attempts = Attempts(settings, resolver, clock, FileBlobs(folder / "blobs"), lambda verify: context)
    courier = Courier(CourierSettings("bench"), database, FileBlobs(folder / "blobs"), attempts, reports, clock, changes, _log)
    began = time.perf_counter()
    task = asyncio.create_task(courier.run())
    while await database.read(queue.counts):  # noqa: ASYNC110  # the store sets no event
        await asyncio.sleep(0.05)
    spent = time.perf_counter() - began
    await courier.stop()
    await task
    database.close()
    return count / spent


def main() -> None:
    """Print one line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    domains = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with socket.create_server(("127.0.0.1", 0), backlog=512) as sock, tempfile.TemporaryDirectory() as folder:
        sock.setblocking(False)
        process = multiprocessing.get_context("fork").Process(target=sink, args=(sock,), daemon=True)
        process.start()
        try:
            rate = uvloop.run(relay(sock.getsockname()[1], count, domains, Path(folder)))
        finally:
            process.terminate()
            process.join()
    print(f"{rate:8.0f} messages a second, {count} messages of {len(CONTENT)} bytes to {domains} domains")


if __name__ == "__main__":
    main()

"""The talks of this folder: against the server machine alone, cut in three ways, and the same through real sockets with real TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.smtp.desk import CUTS, Cut, Desk

from ekiden.net.connection import Connection
from ekiden.smtp.events import ServerEvent, StartTls
from ekiden.smtp.server import ServerSettings, SmtpServer
from ekiden.testing.certificates import make_certificate
from ekiden.testing.transcript import MachineWire, SocketWire, play, read_talk

TALKS = sorted(Path(__file__).parent.glob("*.talk"))


def machine_of(settings: Mapping[str, str]) -> SmtpServer:
    """A server as a talk wants it, patient with errors."""
    return SmtpServer(
        ServerSettings("mx.ekiden.test", settings.get("listener", "mx"), errors_soft=90, errors_hard=100),
        offers_starttls=settings.get("starttls") == "yes",
        offers_auth=tuple(settings.get("auth", "").split()),
    )


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
@pytest.mark.parametrize("path", TALKS, ids=lambda path: path.stem)
def test_talk_with_the_machine_alone(path: Path, cut: Cut) -> None:
    talk = read_talk(path)

    def open_wire(_: str) -> MachineWire:
        machine = machine_of(talk.settings)
        machine.greet()
        return MachineWire(machine, Desk(machine).work, cut)

    play(talk, open_wire)


@pytest.mark.parametrize("path", TALKS, ids=lambda path: path.stem)
def test_talk_through_sockets(path: Path, tmp_path: Path) -> None:
    talk = read_talk(path)
    make_certificate(tmp_path / "chain.pem", tmp_path / "key.pem")
    trust = ssl.create_default_context(cafile=str(tmp_path / "chain.pem"))
    with serving(talk.settings, tmp_path) as port:
        play(talk, lambda _: SocketWire("127.0.0.1", port, context=trust))


@contextmanager
def serving(settings: Mapping[str, str], folder: Path) -> Iterator[int]:
    """A server of one door in a thread of its own; the port where it listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    loop = asyncio.new_event_loop()
    sessions: set[asyncio.Task[None]] = set()

    def protocol() -> Connection[ServerEvent]:
        machine = machine_of(settings)
        connection = Connection[ServerEvent](machine, {}, loop)
        task = loop.create_task(session(connection, machine, context))
        sessions.add(task)
        task.add_done_callback(sessions.discard)
        return connection

    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        server = loop.run_until_complete(loop.create_server(protocol, sock=sock))
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(_end(server, sessions), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


async def _end(server: asyncio.Server, sessions: set[asyncio.Task[None]]) -> None:
    server.close()
    if sessions:
        await asyncio.wait(sessions, timeout=5)
    await asyncio.sleep(0.01)


async def session(connection: Connection[ServerEvent], machine: SmtpServer, context: ssl.SSLContext) -> None:
    """The desk, at a connection."""
    await connection.opened
    desk = Desk(machine)
    machine.greet()
    try:
        while (event := await connection.next_event()) is not None:
            desk.on(event)
            if isinstance(event, StartTls) and not machine.wants_close:
                await connection.start_tls(context, server_side=True)
                machine.secured()
    finally:
        connection.abort()

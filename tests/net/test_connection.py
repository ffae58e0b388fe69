"""The pump over real sockets: events, back pressure, deadlines, TLS and how connections end."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ekiden.base.errors import ProtocolError, Unreachable
from ekiden.net.connection import Connection, DeadlinePassed
from ekiden.net.tls import Certificate, client_context
from ekiden.testing.certificates import make_certificate


class Lines:
    """A machine whose events are lines, and which answers each with what the session says."""

    def __init__(self) -> None:
        self.buffer = b""
        self.output: list[bytes] = []
        self.eof = False
        self.closing = False
        self.state = "command"

    def receive(self, data: bytes) -> None:
        self.buffer += data

    def receive_eof(self) -> None:
        self.eof = True

    def next_event(self) -> bytes | None:
        line, found, rest = self.buffer.partition(b"\r\n")
        if not found:
            return None
        self.buffer = rest
        return line

    def take_output(self) -> bytes:
        output = b"".join(self.output)
        self.output.clear()
        return output

    @property
    def waiting_for(self) -> str:
        return self.state

    @property
    def wants_close(self) -> bool:
        return self.closing


Session = Callable[[Connection[bytes], Lines], Awaitable[None]]
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talk(session: Session, client: Client, deadlines: dict[str, float] | None = None, *, secure_first: bool = False) -> None:
    """One connection on loopback: session on our side, client on the other."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        ended = loop.create_future()

        def protocol() -> Connection[bytes]:
            machine = Lines()
            connection = Connection(machine, deadlines or {}, loop, secure_first=secure_first)

            async def run() -> None:
                await connection.opened
                try:
                    await session(connection, machine)
                    await connection.close()
                except BaseException as error:  # handed to the test
                    connection.abort()
                    if not ended.done():
                        ended.set_exception(error)
                else:
                    ended.set_result(None)

            tasks.append(loop.create_task(run()))
            return connection

        tasks: list[asyncio.Task[None]] = []
        server = await loop.create_server(protocol, sock=sock)
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        try:
            async with asyncio.timeout(20):
                await client(reader, writer)
                await ended
        finally:
            writer.close()
            server.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


async def echo(connection: Connection[bytes], machine: Lines) -> None:
    while (line := await connection.next_event()) is not None:
        machine.output.append(line + b"!\r\n")
        if line == b"QUIT":
            machine.closing = True


def test_lines_are_answered_in_order_however_they_are_cut() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (b"a", b"bc\r", b"\nd", b"\r\ne\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert await reader.readuntil(b"e!\r\n") == b"abc!\r\nd!\r\ne!\r\n"
        writer.write(b"QUIT\r\n")
        assert await reader.read() == b"QUIT!\r\n"

    talk(echo, client)


def test_an_end_of_stream_ends_the_session() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"one\r\n")
        writer.write_eof()
        assert await reader.read() == b"one!\r\n"

    talk(echo, client)


def test_single_bytes_do_not_renew_a_deadline() -> None:
    async def session(connection: Connection[bytes], machine: Lines) -> None:
        with pytest.raises(DeadlinePassed) as caught:
            await connection.next_event()
        assert caught.value.what == "command"

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(200):
            if reader.at_eof() or reader.exception() is not None or writer.is_closing():
                return  # we are hung up on, or reset where a byte was still on its way
            writer.write(b"x")
            await asyncio.sleep(0.01)
        raise AssertionError("the deadline did not pass")

    talk(session, client, {"command": 0.2})


def test_a_session_that_does_not_take_events_stops_the_reading() -> None:
    async def session(connection: Connection[bytes], machine: Lines) -> None:
        await asyncio.sleep(0.3)
        assert len(machine.buffer) < 600_000
        total = 0
        while (line := await connection.next_event()) is not None:
            total += len(line) + 2
        assert total == 4_000_000

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((b"x" * 998 + b"\r\n") * 4000)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    talk(session, client)


def test_a_peer_that_does_not_read_stops_the_session_and_is_dropped_in_the_end() -> None:
    async def session(connection: Connection[bytes], machine: Lines) -> None:
        async def say_more_and_more() -> None:
            for _ in range(1000):
                machine.output.append(b"y" * 100_000)
                await connection.flush()

        with pytest.raises(DeadlinePassed) as caught:
            await say_more_and_more()
        assert caught.value.what == "write"

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)

    talk(session, client, {"write": 0.3})


def _contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    make_certificate(tmp_path / "c.pem", tmp_path / "k.pem")
    return Certificate(tmp_path / "c.pem", tmp_path / "k.pem").context("test"), client_context(verify=False)


def test_tls_starts_in_the_middle_and_carries_large_answers(tmp_path: Path) -> None:
    server, trust = _contexts(tmp_path)

    async def session(connection: Connection[bytes], machine: Lines) -> None:
        assert await connection.next_event() == b"STARTTLS"
        machine.output.append(b"go\r\n")
        tls = await connection.start_tls(server, server_side=True)
        assert tls.version == "TLSv1.3"
        assert await connection.next_event() == b"inside"
        machine.output.append(b"z" * 1_000_000 + b"\r\n")
        assert await connection.next_event() == b"QUIT"

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"STARTTLS\r\n")
        assert await reader.readline() == b"go\r\n"
        await writer.start_tls(trust, server_hostname="mail.example.test")
        writer.write(b"inside\r\n")
        assert len(await reader.readexactly(1_000_002)) == 1_000_002
        writer.write(b"QUIT\r\n")
        assert await reader.read() == b""

    talk(session, client)


def test_clear_text_instead_of_a_handshake_is_no_handshake(tmp_path: Path) -> None:
    server, _ = _contexts(tmp_path)

    async def session(connection: Connection[bytes], machine: Lines) -> None:
        await connection.next_event()
        with pytest.raises(ProtocolError):
            await connection.start_tls(server, server_side=True)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"STARTTLS\r\n")
        writer.write(b"")
        await asyncio.sleep(0.05)
        writer.write(b"EHLO x\r\n")
        assert b"250" not in await reader.read()

    talk(session, client)


def test_a_handshake_has_a_deadline(tmp_path: Path) -> None:
    server, _ = _contexts(tmp_path)

    async def session(connection: Connection[bytes], machine: Lines) -> None:
        await connection.next_event()
        with pytest.raises(DeadlinePassed):
            await connection.start_tls(server, server_side=True)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"STARTTLS\r\n")
        await reader.read()

    talk(session, client, {"handshake": 0.2})


def test_a_peer_that_leaves_during_the_handshake(tmp_path: Path) -> None:
    server, _ = _contexts(tmp_path)

    async def session(connection: Connection[bytes], machine: Lines) -> None:
        await connection.next_event()
        with pytest.raises((Unreachable, ProtocolError)):
            await connection.start_tls(server, server_side=True)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"STARTTLS\r\n")
        await asyncio.sleep(0.05)
        writer.write_eof()

    talk(session, client)


def test_an_end_without_close_notify_is_a_broken_connection(tmp_path: Path) -> None:
    server, trust = _contexts(tmp_path)

    async def session(connection: Connection[bytes], machine: Lines) -> None:
        await connection.start_tls(server, server_side=True)
        assert await connection.next_event() == b"half"
        assert await connection.next_event() is None
        assert "close_notify" in connection.broken or connection.is_over
        assert not machine.eof

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(trust, server_hostname="mail.example.test")
        writer.write(b"half\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    talk(session, client)


def test_a_client_that_speaks_tls_before_the_session_has_begun_is_heard(tmp_path: Path) -> None:
    server, trust = _contexts(tmp_path)

    async def session(connection: Connection[bytes], machine: Lines) -> None:
        while not connection.received_bytes:  # noqa: ASYNC110  # the ClientHello is there before anybody has asked for it
            await asyncio.sleep(0.01)
        await connection.start_tls(server, server_side=True)
        assert await connection.next_event() == b"inside"

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(trust, server_hostname="mail.example.test")
        writer.write(b"inside\r\n")
        await reader.read()

    talk(session, client, secure_first=True)


def test_a_connection_that_is_over_is_kept_by_nobody() -> None:
    gone: list[weakref.ref[Connection[bytes]]] = []

    async def session(connection: Connection[bytes], machine: Lines) -> None:
        gone.append(weakref.ref(connection))
        assert await connection.next_event() == b"bye"
        await connection.close()
        await connection.closed

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        end = asyncio.get_running_loop().time() + 5
        while gone[0]() is not None and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
            gc.collect()
        assert gone[0]() is None, "not before the time in which a peer may linger"

    talk(session, client)

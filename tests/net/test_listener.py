"""Listeners: too many connections are turned away, sessions end with the listener."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from tests.net.test_connection import Lines, echo

from ekiden.base.endpoint import Endpoint
from ekiden.net.binding import bind
from ekiden.net.connection import Connection
from ekiden.net.listener import Crowd, Door, Listener, network_at, network_of


def _door(lines: list[str]) -> Door:
    async def session(connection: Connection[Any]) -> None:
        machine = connection.machine
        if not isinstance(machine, Lines):
            raise TypeError
        await echo(connection, machine)

    return Door("test", Lines, session, {}, b"421 too many\r\n")


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_what_counts_as_one_peer(ip: str, network: str) -> None:
    assert network_of(ip_address(ip)) == network


def test_the_excess_from_one_network_hears_the_refusal_and_a_free_place_is_taken_again() -> None:
    async def main() -> None:
        listener = Listener(bind(Endpoint("127.0.0.1", 0)), _door([]), Crowd(100, 2), lambda event, **fields: None)
        await listener.start()
        where = (listener.endpoint.host, listener.endpoint.port)
        clients = [await asyncio.open_connection(*where) for _ in range(2)]
        for reader, writer in clients:
            writer.write(b"x\r\n")
            assert await reader.readline() == b"x!\r\n"
        reader, writer = await asyncio.open_connection(*where)
        assert await reader.read() == b"421 too many\r\n"
        writer.close()
        clients[0][1].write(b"QUIT\r\n")
        await clients[0][0].read()
        while listener.sessions > 1:  # noqa: ASYNC110  # a listener tells nobody that a session has ended
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"y\r\n")
        assert await reader.readline() == b"y!\r\n"
        writer.close()
        clients[1][1].close()
        clients[0][1].close()
        await listener.close(1.0)
        assert listener.sessions == 0

    asyncio.run(main())


def test_a_peer_between_two_commands_hears_that_the_server_ends_at_once() -> None:
    def farewell(machine: Any) -> None:
        machine.output.append(b"bye\r\n")

    async def main() -> None:
        door = _door([])
        listener = Listener(
            bind(Endpoint("127.0.0.1", 0)), replace(door, farewell=farewell), Crowd(), lambda event, **fields: None
        )
        await listener.start()
        reader, writer = await asyncio.open_connection(listener.endpoint.host, listener.endpoint.port)
        writer.write(b"x\r\n")
        assert await reader.readline() == b"x!\r\n"
        async with asyncio.timeout(5):
            await listener.close(30.0)
        assert await reader.read() == b"bye\r\n"
        writer.close()

    asyncio.run(main())


def test_a_session_that_raises_is_logged_and_the_door_stays_open() -> None:
    seen: list[str] = []

    async def main() -> None:
        async def session(connection: Connection[Any]) -> None:
            if await connection.next_event() == b"bad":
                raise RuntimeError("session trouble")

        door = Door("test", Lines, session, {})
        listener = Listener(bind(Endpoint("127.0.0.1", 0)), door, Crowd(), lambda event, **fields: seen.append(event))
        await listener.start()
        for line in (b"bad\r\n", b"good\r\n"):
            reader, writer = await asyncio.open_connection(listener.endpoint.host, listener.endpoint.port)
            writer.write(line)
            try:
                await reader.read()
            except ConnectionResetError:
                pass
            writer.close()
        await listener.close(1.0)

    asyncio.run(main())
    assert seen == ["session-failed"]


def test_ipv4_in_ipv6_is_ipv4() -> None:
    assert network_at(("::ffff:192.0.2.1", 25, 0, 0)) == "192.0.2.1"
    assert network_at(("2001:db8:1:2::9%eth0", 25, 0, 0)) == "2001:db8:1:2::/64"
    assert network_at(("192.0.2.1", 25)) == "192.0.2.1"
    assert network_at("/run/socket") == "127.0.0.1"


def test_a_full_house_has_words_of_its_own() -> None:
    async def main() -> None:
        door = replace(_door([]), full=b"421 full\r\n")
        crowd = Crowd(1, 5)
        listener = Listener(bind(Endpoint("127.0.0.1", 0)), door, crowd, lambda event, **fields: None)
        await listener.start()
        where = (listener.endpoint.host, listener.endpoint.port)
        first = await asyncio.open_connection(*where)
        first[1].write(b"x\r\n")
        assert await first[0].readline() == b"x!\r\n"
        second = await asyncio.open_connection(*where)
        assert await second[0].read() == b"421 full\r\n"
        crowd.total_limit, crowd.shut = 5, True
        third = await asyncio.open_connection(*where)
        assert await third[0].read() == b"421 full\r\n"
        for _, writer in (first, second, third):
            writer.close()
        await listener.close(1.0)
        assert crowd.total == 0

    asyncio.run(main())


def test_strain_begins_near_the_limit_and_ends_well_below_it() -> None:
    told: list[bool] = []
    crowd = Crowd(20, 50, 90, [told.append])
    for _ in range(18):
        crowd.enter("192.0.2.1")
    assert told == [True]
    for _ in range(3):
        crowd.leave("192.0.2.1")
    assert crowd.strained
    crowd.leave("192.0.2.1")
    assert told == [True, False]
    calm = Crowd(2, 50, 0, [told.append])
    calm.enter("192.0.2.1")
    calm.enter("192.0.2.1")
    assert not calm.strained


def test_under_strain_those_who_wait_already_have_less_time() -> None:
    async def main() -> None:
        deadlines = {"command": 300.0}
        crowd = Crowd(2, 5, 100, [lambda strained: deadlines.update(command=0.05 if strained else 300.0)])
        listener = Listener(bind(Endpoint("127.0.0.1", 0)), replace(_door([]), deadlines=deadlines), crowd, lambda event, **_: None)
        await listener.start()
        where = (listener.endpoint.host, listener.endpoint.port)
        silent = await asyncio.open_connection(*where)
        silent[1].write(b"x\r\n")
        assert await silent[0].readline() == b"x!\r\n"
        other = await asyncio.open_connection(*where)
        async with asyncio.timeout(10):
            assert await silent[0].read() == b""
        silent[1].close()
        other[1].close()
        await listener.close(1.0)

    asyncio.run(main())


class _Poor(socket.socket):
    """A listening socket of a system that has run out of descriptors, so many times."""

    poor = 0
    tried = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.tried += 1
        if self.poor:
            self.poor -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_descriptors_accepting_pauses_and_goes_on_by_itself() -> None:
    seen: list[str] = []

    async def main() -> None:
        bound = bind(Endpoint("127.0.0.1", 0))
        sock = _Poor(bound.family, bound.type, bound.proto, bound.detach())
        sock.poor = 2
        listener = Listener(sock, _door([]), Crowd(), lambda event, **fields: seen.append(event))
        await listener.start()
        reader, writer = await asyncio.open_connection(listener.endpoint.host, listener.endpoint.port)
        writer.write(b"x\r\n")
        async with asyncio.timeout(10):
            assert await reader.readline() == b"x!\r\n"
        assert sock.tried <= 5
        writer.close()
        await listener.close(1.0)

    asyncio.run(main())
    assert seen == ["accepting-paused", "accepting-again"]


def test_a_listener_that_closes_at_once_leaves_no_socket_of_those_who_have_just_come() -> None:
    async def main() -> None:
        crowd = Crowd()
        listener = Listener(bind(Endpoint("127.0.0.1", 0)), _door([]), crowd, lambda event, **fields: None)
        await listener.start()
        comers = [await asyncio.open_connection(listener.endpoint.host, listener.endpoint.port) for _ in range(5)]
        await listener.close(0.0)
        for reader, writer in comers:
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        assert crowd.total == 0

    asyncio.run(main())


def test_connections_that_were_reset_while_they_waited_begin_no_session() -> None:
    sessions: list[str] = []

    async def main() -> None:
        async def session(connection: Connection[Any]) -> None:
            sessions.append(str(await connection.next_event()))

        crowd = Crowd()
        listener = Listener(bind(Endpoint("127.0.0.1", 0)), Door("test", Lines, session, {}), crowd, lambda event, **_: None)
        for _ in range(5):
            with socket.create_connection((listener.endpoint.host, listener.endpoint.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await listener.start()
        _, writer = await asyncio.open_connection(listener.endpoint.host, listener.endpoint.port)
        writer.write(b"x\r\n")
        async with asyncio.timeout(10):
            while not sessions:  # noqa: ASYNC110  # a listener tells nobody that a session has ended
                await asyncio.sleep(0.01)
        writer.close()
        await listener.close(1.0)

    asyncio.run(main())
    assert sessions == ["b'x'"]

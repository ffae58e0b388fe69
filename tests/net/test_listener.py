"""Listeners: too many connections are turned away, sessions end with the listener."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from tests.net.test_connection import Lines, echo

from ekiden.base.endpoint import Endpoint
from ekiden.net.binding import bind
from ekiden.net.connection import Connection
from ekiden.net.listener import Crowd, Door, Listener, network_of


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

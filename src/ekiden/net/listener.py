"""Listening sockets, and the sessions of the connections that come in on them.

A listener owns the tasks of its sessions and ends them when it closes. It counts connections, in all and by network
(IPv4 address, IPv6 /64), and turns the excess away before a session exists.
Source: reliability.md §5.6, rows SI-30, SI-31, SS-32.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from ekiden.base import measures
from ekiden.base.machine import Machine
from ekiden.mail.address import Ip
from ekiden.net.binding import BACKLOG, endpoint_of
from ekiden.net.connection import Connection

Session = Callable[[Connection[Any]], Awaitable[None]]
Log = Callable[..., None]

_FAREWELL_S = 0.1


@dataclass(frozen=True, slots=True)
class Door:
    """What a listener needs to know of its protocol.

    make_machine and session are called for each connection; refusal is what a connection too many hears before it is closed.
    secure_first: the session begins with TLS. farewell: makes the machine say that the server ends.
    """

    name: str
    make_machine: Callable[[], Machine[Any]]
    session: Session
    deadlines: Mapping[str, float]
    refusal: bytes = b""
    secure_first: bool = False
    farewell: Callable[[Machine[Any]], None] = lambda machine: None


@dataclass(slots=True)
class Crowd:
    """How many connections there are in this process, shared by all its listeners."""

    total_limit: int = 5000
    network_limit: int = 50
    total: int = 0
    by_network: Counter[str] | None = None

    def enter(self, network: str) -> bool:
        """Count one more; False (and not counted) if there are too many."""
        if self.by_network is None:
            self.by_network = Counter()
        if self.total >= self.total_limit or self.by_network[network] >= self.network_limit:
            return False
        self.total += 1
        self.by_network[network] += 1
        return True

    def leave(self, network: str) -> None:
        """Count one less."""
        self.total -= 1
        if self.by_network is not None:
            self.by_network[network] -= 1
            if not self.by_network[network]:
                del self.by_network[network]


def network_of(ip: Ip) -> str:
    """What counts as one peer: an IPv4 address, the /64 of an IPv6 address."""
    if isinstance(ip, IPv6Address):
        return str(IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)


class Listener:
    """Accepts on one socket for one door until close()."""

    def __init__(self, sock: socket.socket, door: Door, crowd: Crowd, log: Log) -> None:
        self.endpoint = endpoint_of(sock)
        self._sock = sock
        self._door = door
        self._crowd = crowd
        self._log = log
        self._tasks: dict[asyncio.Task[None], Connection[Any]] = {}
        self._server: asyncio.Server | None = None
        self._came, self._here = measures.CONNECTIONS.of(door.name), measures.CONNECTIONS_OPEN.of(door.name)
        self._turned_away = measures.CONNECTIONS_REFUSED.of(door.name)

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()

        def protocol() -> Connection[Any]:
            connection: Connection[Any] = Connection(
                self._door.make_machine(), self._door.deadlines, loop, secure_first=self._door.secure_first
            )
            task = loop.create_task(self._run(connection))
            self._tasks[task] = connection
            task.add_done_callback(self._tasks.pop)
            return connection

        self._server = await loop.create_server(protocol, sock=self._sock, backlog=BACKLOG)

    def stop_accepting(self) -> None:
        """Take no further connection; those that are open go on. Close() is still to be called."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self, grace_s: float) -> None:
        """Stop accepting; say goodbye to each peer that is between two commands; end in grace_s seconds what goes on till then."""
        self.stop_accepting()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_s
        while self._tasks and loop.time() < deadline:
            for connection in list(self._tasks.values()):
                if connection.is_between_commands:
                    self._door.farewell(connection.machine)
                    connection.hang_up()
            await asyncio.wait(self._tasks, timeout=min(_FAREWELL_S, max(0.0, deadline - loop.time())))
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)

    @property
    def sessions(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    async def _run(self, connection: Connection[Any]) -> None:
        await connection.opened
        network = network_of(connection.peer_ip)
        if not self._crowd.enter(network):
            self._turned_away.value += 1
            connection.refuse(self._door.refusal)
            return
        self._came.value += 1
        self._here.value += 1
        try:
            await self._door.session(connection)
            await connection.close()
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception as error:  # the session's border: one connection ends, the door stays open
            self._log("session-failed", listener=self._door.name, peer=str(connection.peer_ip), error=error)
            connection.abort()
        finally:
            self._here.value -= 1
            self._crowd.leave(network)

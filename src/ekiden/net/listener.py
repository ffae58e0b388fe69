"""Listening sockets, and the sessions of the connections that come in on them.

A listener owns the tasks of its sessions and ends them when it closes. It counts connections, in all and by network
(IPv4 address, IPv6 /64), and turns the excess away before anything is made for it; where the system has no descriptor left it
stops accepting for a while, and who comes waits in the backlog.
Source: reliability.md §5.6, rows SI-30, SI-31, SS-32, F-51, F-52; docs/adr/0008.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from ekiden.base import measures
from ekiden.base.machine import Machine
from ekiden.mail.address import Ip
from ekiden.net.binding import BACKLOG, endpoint_of
from ekiden.net.connection import Connection

Session = Callable[[Connection[Any]], Awaitable[None]]
Log = Callable[..., None]

_FAREWELL_S = 0.1
_AT_ONCE = 64  # connections that are accepted before anything else has its turn again
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_CALM_AT = 0.8  # of the number at which strain begins, so that it does not flutter
# What accept(2) reports of a connection that has broken while it waited; the next one may be sound.
_OF_THE_PEER = frozenset(
    {
        errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EOPNOTSUPP,
        errno.ENETUNREACH, errno.EPERM, errno.EINTR,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Door:
    """What a listener needs to know of its protocol.

    make_machine and session are called for each connection; refusal is what a connection too many from one network hears before it
    is closed, full what it hears when there are too many in all ("": the same). secure_first: the session begins with TLS.
    farewell: makes the machine say that the server ends.
    """

    name: str
    make_machine: Callable[[], Machine[Any]]
    session: Session
    deadlines: Mapping[str, float]
    refusal: bytes = b""
    secure_first: bool = False
    farewell: Callable[[Machine[Any]], None] = lambda machine: None
    full: bytes = b""


class Refused(Enum):
    """Why a connection may not come in."""

    CROWDED = auto()
    """Too many from its network."""
    FULL = auto()
    """Too many in all, or no memory for another one."""


@dataclass(slots=True)
class Crowd:
    """How many connections there are in this process, shared by all its listeners.

    strained_percent: from this share of total_limit on there is strain (0: never); on_strain hears when it begins and when it ends.
    shut: nobody more may come in, whatever the numbers are.
    """

    total_limit: int = 5000
    network_limit: int = 50
    strained_percent: int = 0
    on_strain: list[Callable[[bool], None]] = field(default_factory=list)
    shut: bool = False
    total: int = 0
    strained: bool = False
    by_network: Counter[str] = field(default_factory=Counter)
    _strained_from: int = field(init=False)

    def __post_init__(self) -> None:
        never = self.total_limit + 1
        self._strained_from = max(1, self.total_limit * self.strained_percent // 100) if self.strained_percent else never

    def enter(self, network: str) -> Refused | None:
        """Count one more; or say why it is not counted."""
        if self.total >= self.total_limit or self.shut:
            return Refused.FULL
        if self.by_network[network] >= self.network_limit:
            return Refused.CROWDED
        self.total += 1
        self.by_network[network] += 1
        if self.total >= self._strained_from and not self.strained:
            self._become(strained=True)
        return None

    def leave(self, network: str) -> None:
        """Count one less."""
        self.total -= 1
        self.by_network[network] -= 1
        if not self.by_network[network]:
            del self.by_network[network]
        if self.strained and self.total < self._strained_from * _CALM_AT:
            self._become(strained=False)

    def _become(self, *, strained: bool) -> None:
        self.strained = strained
        for told in self.on_strain:
            told(strained)


def network_of(ip: Ip) -> str:
    """What counts as one peer: an IPv4 address, the /64 of an IPv6 address."""
    if isinstance(ip, IPv6Address):
        return str(IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)


def network_at(address: object) -> str:
    """The same for the address of a socket; IPv4 in IPv6 is IPv4 (row SS-32), a Unix socket counts as 127.0.0.1."""
    host = address[0] if isinstance(address, tuple) and address else "127.0.0.1"
    if ":" not in host:
        return str(host)
    ip = ip_address(host.partition("%")[0])
    return network_of(ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip)


class Listener:
    """Accepts on one socket for one door until close()."""

    def __init__(self, sock: socket.socket, door: Door, crowd: Crowd, log: Log) -> None:
        self.endpoint = endpoint_of(sock)
        self._sock = sock
        self._door = door
        self._crowd = crowd
        self._log = log
        self._tasks: dict[asyncio.Task[None], Connection[Any]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self._pause_s = 0.0
        self._tries = 1
        self._came, self._here = measures.CONNECTIONS.of(door.name), measures.CONNECTIONS_OPEN.of(door.name)
        self._turned_away = measures.CONNECTIONS_REFUSED.of(door.name)

    async def start(self) -> None:
        """Begin to accept."""
        self._loop = asyncio.get_running_loop()
        self._sock.setblocking(False)
        self._sock.listen(BACKLOG)  # again: whoever held it before may have shut it
        self._loop.add_reader(self._sock, self._accept)
        self._crowd.on_strain.append(self._hurry)

    def stop_accepting(self) -> None:
        """Take no further connection; those that are open go on. Close() is still to be called."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.remove_reader(self._sock)
            if self._resuming is not None:
                self._resuming.cancel()
            self._crowd.on_strain.remove(self._hurry)
            self._sock.close()

    async def close(self, grace_s: float) -> None:
        """Stop accepting; say goodbye to each peer that is between two commands; end in grace_s seconds what goes on till then."""
        self.stop_accepting()
        self._sock.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_s
        opening = [connection.opened for connection in self._tasks.values() if not connection.opened.done()]
        if opening:  # a task that is cancelled before its first step could not close its socket
            await asyncio.wait(opening, timeout=1.0)
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

    def _hurry(self, strained: bool) -> None:
        """The deadlines of the door have become shorter: that goes for those who wait already too."""
        if strained:
            for connection in list(self._tasks.values()):
                connection.hurry()

    # ---- accepting ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        """Take what waits in the backlog: one, and more at once the longer it is never empty; the loop calls again while there is more."""
        tries = self._tries
        self._tries = min(2 * tries, _AT_ONCE)
        for _ in range(tries):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                self._tries = 1
                return
            except OSError as error:
                if error.errno in _OF_THE_PEER:
                    continue
                self._pause(error)
                return
            if self._pause_s:
                self._pause_s = 0.0
                self._log("accepting-again", level="warning", listener=self._door.name)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # reset while it waited: a storm of these costs little
                sock.close()
                continue
            network = network_at(address)
            refused = self._crowd.enter(network)
            if refused is None:
                self._begin(sock, network)
            else:
                self._turn_away(sock, refused)

    def _pause(self, error: OSError) -> None:
        """The system gives no descriptor or no memory now. Trying at once again would take a whole processor and free nothing."""
        loop = self._loop
        if loop is None:
            return
        loop.remove_reader(self._sock)
        if not self._pause_s:
            measures.ACCEPT_PAUSES.of(self._door.name).value += 1
            here = self._crowd.total
            self._log("accepting-paused", level="error", listener=self._door.name, because=error.strerror, connections=here)
        self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._resuming = loop.call_later(self._pause_s, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        if self._loop is not None:
            self._loop.add_reader(self._sock, self._accept)

    def _turn_away(self, sock: socket.socket, refused: Refused) -> None:
        self._turned_away.value += 1
        words = self._door.full if refused is Refused.FULL and self._door.full else self._door.refusal
        with suppress(OSError):  # it has gone already
            sock.setblocking(False)
            sock.send(words)
        sock.close()

    def _begin(self, sock: socket.socket, network: str) -> None:
        loop = self._loop
        if loop is None:
            raise RuntimeError("a listener that does not accept has accepted")
        door = self._door
        sock.setblocking(False)
        connection: Connection[Any] = Connection(door.make_machine(), door.deadlines, loop, secure_first=door.secure_first)
        self._came.value += 1
        self._here.value += 1
        task = loop.create_task(self._run(loop, sock, connection))
        self._tasks[task] = connection
        task.add_done_callback(partial(self._ended, sock, connection, network))

    async def _run(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, connection: Connection[Any]) -> None:
        try:
            try:
                await loop.connect_accepted_socket(lambda: connection, sock)
            except OSError:
                return  # it has gone already
            await self._door.session(connection)
            await connection.close()
        except asyncio.CancelledError:
            connection.abort()
            raise
        except Exception as error:  # the session's border: one connection ends, the door stays open
            self._log("session-failed", listener=self._door.name, peer=str(connection.peer_ip), error=error)
            connection.abort()

    def _ended(self, sock: socket.socket, connection: Connection[Any], network: str, task: asyncio.Task[None]) -> None:
        """A place is free again once its descriptor is, and not while a peer that reads nothing keeps it."""
        del self._tasks[task]
        self._here.value -= 1
        if not connection.opened.done():  # the session never began
            sock.close()
        elif not connection.closed.done():
            connection.closed.add_done_callback(lambda _: self._crowd.leave(network))
            return
        self._crowd.leave(network)

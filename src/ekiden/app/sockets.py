"""The listening sockets of a server: bound here, handed over by systemd, kept while configurations come and go.

For each address there is one socket a door process (SO_REUSEPORT), so the kernel spreads the connections; a socket that systemd
hands over is shared by all of them. Who closes a listening socket resets the connections that wait on it; so a socket is kept
as long as its address is wanted, however many processes there are.
Source: house.md §11; the protocol of systemd's sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields

from ekiden.app.config import Config, Listeners
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import ConfigError
from ekiden.net.binding import bind, bind_again

_FIRST_FD = 3
_PORTS = {25: "mx", 587: "submission", 465: "submissions", 143: "imap", 993: "imaps", 110: "pop3", 995: "pop3s"}

Sockets = Mapping[str, Sequence[socket.socket]]
"""By door."""


@dataclass(slots=True)
class Holder:
    """All listening sockets of a server. inherited: those that we have not bound, by door."""

    bound: dict[tuple[str, Endpoint], list[socket.socket]] = field(default_factory=dict)
    inherited: dict[str, list[socket.socket]] = field(default_factory=dict)

    def all(self) -> Iterator[socket.socket]:
        """Every socket."""
        for group in [*self.bound.values(), *self.inherited.values()]:
            yield from group

    def share(self, number: int, count: int) -> dict[str, list[socket.socket]]:
        """The sockets of door process `number` of `count`: every socket is somebody's, and everybody has one of every address."""
        mine: dict[str, list[socket.socket]] = {}
        for (door, _), group in self.bound.items():
            own = group[number::count] or [group[number % len(group)]]
            mine.setdefault(door, []).extend(own)
        for door, group in self.inherited.items():
            mine.setdefault(door, []).extend(group)
        return mine

    def close_except(self, others: Holder | None = None) -> None:
        """Close what the others do not hold too."""
        kept = {id(sock) for sock in others.all()} if others is not None else set()
        for sock in self.all():
            if id(sock) not in kept:
                sock.close()


def open_all(config: Config, count: int, *, reuse_port: bool = False, held: Holder | None = None) -> Holder:
    """Sockets for every listener of the configuration, `count` of each; those that are held already are taken over as they are.

    Raises ConfigError that names every address which cannot be had; then nothing has changed.
    """
    before = held or Holder()
    holder = Holder({}, before.inherited)
    problems: list[str] = []
    for door, endpoint in _wanted(config):
        if door in before.inherited:
            continue
        group = list(before.bound.get((door, endpoint), ()))
        holder.bound[door, endpoint] = group
        try:
            while len(group) < count:
                group.append(bind_again(group[0]) if group else bind(endpoint, reuse_port=reuse_port))
        except OSError as error:
            if not group or reuse_port:
                problems.append(f"listeners.{door}: {endpoint}: {error.strerror or error}")
    if problems:
        holder.close_except(before)
        raise ConfigError(problems)
    return holder


def take_inherited(environ: MutableMapping[str, str]) -> Holder:
    """The sockets that systemd has handed over, as LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say; those variables are taken away.

    The name of a socket is that of a door; where it is none, the port decides (25 is mx, and so on). Raises ConfigError.
    """
    pid, count, names = (environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    holder = Holder()
    if pid != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return holder
    doors = _doors()
    called = names.split(":")
    for number in range(min(int(count), 1000)):
        fd = _FIRST_FD + number
        name = called[number] if number < len(called) else ""
        try:
            os.set_inheritable(fd, False)
            sock = socket.socket(fileno=fd)
            port = sock.getsockname()[1] if sock.family in (socket.AF_INET, socket.AF_INET6) else None
        except OSError as error:
            raise ConfigError([f"LISTEN_FDS: descriptor {fd}: {error.strerror}"]) from error
        door = name if name in doors else _PORTS.get(port) if port is not None else None
        if door is None or sock.type != socket.SOCK_STREAM:
            raise ConfigError([f"LISTEN_FDNAMES: {name or 'descriptor ' + str(fd)} is no door; they are {', '.join(doors)}"])
        sock.setblocking(False)
        holder.inherited.setdefault(door, []).append(sock)
    return holder


def stop_listening(sockets: Sockets) -> None:
    """Nobody can connect any more; the addresses stay ours, and whoever listens on these sockets again opens them again."""
    for group in sockets.values():
        for sock in group:
            with suppress(OSError):  # not listening now
                sock.shutdown(socket.SHUT_RD)


def _doors() -> list[str]:
    """The listeners that mail programs and other servers come to; that of the metrics is opened by who shows them."""
    return [each.name for each in fields(Listeners) if each.name != "metrics"]


def _wanted(config: Config) -> Iterator[tuple[str, Endpoint]]:
    for door in _doors():
        endpoints: Sequence[Endpoint] = getattr(config.listeners, door)
        for endpoint in endpoints:
            yield door, endpoint

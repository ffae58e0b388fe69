"""Outgoing TCP connections: one address, one deadline, one source address a family, and never to ourselves.

Which addresses, and in which order, is for dns.mx; who tries the next one is for services.attempt.
Source: RFC 5321 §5.1, §5.2 and §4.5.4; reliability.md §5.6 (connect 30 s), rows OU-20, OU-21, OU-25.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ekiden.base.errors import Unreachable
from ekiden.mail.address import Ip

CONNECT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Sources:
    """From which of our addresses we call; None leaves it to the system."""

    four: IPv4Address | None = None
    six: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A connection that was opened. sock: connected, non-blocking, owned by whoever called."""

    sock: socket.socket
    ip: Ip
    port: int
    took_ms: int


class CallFailed(Unreachable):
    """Nobody answered at an address. error: why, in a few words for the journey ("Connection refused", "timeout")."""

    def __init__(self, ip: Ip, port: int, error: str, took_ms: int) -> None:
        self.ip = ip
        self.port = port
        self.error = error
        self.took_ms = took_ms
        super().__init__(f"{ip} port {port}: {error}")


class WouldCallOurselves(CallFailed):
    """One of our own listeners is bound to that address and port: the mail would come back for ever (row OU-20)."""

    def __init__(self, ip: Ip, port: int) -> None:
        super().__init__(ip, port, "this is one of our own listeners", 0)


class OwnListeners:
    """Whether an address and port are those of our own listeners; a listener on 0.0.0.0 or :: has every local address.

    Example: OwnListeners([(IPv4Address("0.0.0.0"), 25)])(IPv4Address("127.0.0.1"), 25) is True.
    """

    def __init__(self, bound: Iterable[tuple[Ip, int]] = ()) -> None:
        self._bound = frozenset(bound)
        self._everywhere = {(ip.version, port) for ip, port in self._bound if ip.is_unspecified}

    def __call__(self, ip: Ip, port: int) -> bool:
        plain = _plain(ip)
        if (plain, port) in self._bound:
            return True
        return (plain.version, port) in self._everywhere and is_local(plain)


def is_local(ip: Ip) -> bool:
    """Whether an address is one of this machine's: the system lets us bind to it."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True


async def dial(
    ip: Ip,
    port: int,
    *,
    sources: Sources = Sources(),
    timeout_s: float = CONNECT_TIMEOUT_S,
    is_ours: Callable[[Ip, int], bool] = lambda ip, port: False,
) -> Call:
    """Open a connection. Raises CallFailed; WouldCallOurselves, without a packet sent, where is_ours says so."""
    plain = _plain(ip)
    if is_ours(plain, port):
        raise WouldCallOurselves(plain, port)
    loop = asyncio.get_running_loop()
    began = loop.time()
    source: Ip | None = sources.four if plain.version == 4 else sources.six
    try:
        sock = _new_socket(plain, source)
    except OSError as error:
        raise CallFailed(plain, port, _words(error), 0) from error
    try:
        async with asyncio.timeout(timeout_s):
            await loop.sock_connect(sock, (str(plain), port))
    except TimeoutError as error:
        sock.close()
        raise CallFailed(plain, port, "timeout", _ms(loop, began)) from error
    except OSError as error:
        sock.close()
        raise CallFailed(plain, port, _words(error), _ms(loop, began)) from error
    except BaseException:
        sock.close()
        raise
    if sock.getsockname()[:2] == sock.getpeername()[:2]:  # the system can connect a port to itself when nobody listens
        sock.close()
        raise CallFailed(plain, port, "Connection refused", _ms(loop, began))
    return Call(sock, plain, port, _ms(loop, began))


def _new_socket(ip: Ip, source: Ip | None) -> socket.socket:
    sock = socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            sock.bind((str(source), 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _plain(ip: Ip) -> Ip:
    """An IPv4 address that is written as IPv6 as what it is, so that no rule about it can be walked around."""
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _ms(loop: asyncio.AbstractEventLoop, began: float) -> int:
    return round((loop.time() - began) * 1000)

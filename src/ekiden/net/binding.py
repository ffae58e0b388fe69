"""Sockets that listen. Light: who only holds sockets needs nothing else of this floor.

Source: house.md §11.
"""

from __future__ import annotations

import socket
from typing import Any

from ekiden.base.endpoint import Endpoint

BACKLOG = 4096  # the system has its own bound too; who does not fit may wait for a banner that never comes


def bind(endpoint: Endpoint, *, reuse_port: bool = False) -> socket.socket:
    """A listening socket. Raises OSError. reuse_port: several processes may each hold a socket of their own.

    endpoint.host may be a name; its first address is taken.
    """
    family, _, _, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
    return _listening(family, address, reuse_port=reuse_port)


def bind_again(first: socket.socket) -> socket.socket:
    """One more socket for the address of one that was bound with reuse_port, also where the system had chosen the port."""
    return _listening(first.family, first.getsockname(), reuse_port=True)


def endpoint_of(sock: socket.socket) -> Endpoint:
    """Where a bound socket listens."""
    name = sock.getsockname()
    return Endpoint(str(name[0]).partition("%")[0], int(name[1]))


def _listening(family: int, address: Any, *, reuse_port: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock

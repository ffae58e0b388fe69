"""Sockets that listen."""

from __future__ import annotations

import socket

import pytest

from ekiden.base.endpoint import Endpoint
from ekiden.net.binding import bind, bind_again, endpoint_of


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_bound_socket_listens_where_it_says(host: str) -> None:
    with bind(Endpoint(host, 0)) as sock:
        where = endpoint_of(sock)
        assert where.host == host
        socket.create_connection((host, where.port), timeout=5).close()


def test_an_address_is_had_once_unless_both_want_to_share() -> None:
    with bind(Endpoint("127.0.0.1", 0)) as alone, pytest.raises(OSError):
        bind(endpoint_of(alone))
    with bind(Endpoint("127.0.0.1", 0), reuse_port=True) as first, bind_again(first) as second:
        assert endpoint_of(first) == endpoint_of(second)

"""Outgoing connections, on loopback only."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from ekiden.base.errors import Unreachable
from ekiden.net.dial import CallFailed, OwnListeners, Sources, WouldCallOurselves, dial, is_local

HOME = IPv4Address("127.0.0.1")


def listening(ip: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((ip, 0), family=socket.AF_INET6 if ":" in ip else socket.AF_INET)


def has_ipv6() -> bool:
    return is_local(IPv6Address("::1"))


def test_a_call_gives_a_connected_socket_that_does_not_block() -> None:
    async def story() -> None:
        with listening() as server:
            call = await dial(HOME, server.getsockname()[1])
            accepted, _ = server.accept()
            with call.sock, accepted:
                assert (call.ip, call.port) == call.sock.getpeername() or str(call.ip) == call.sock.getpeername()[0]
                assert not call.sock.getblocking()
                assert call.took_ms >= 0
                accepted.sendall(b"220 hello\r\n")
                assert await asyncio.get_running_loop().sock_recv(call.sock, 100) == b"220 hello\r\n"

    asyncio.run(story())


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 loopback here")
def test_ipv6_is_called_too() -> None:
    async def story() -> None:
        with listening("::1") as server:
            call = await dial(IPv6Address("::1"), server.getsockname()[1])
            with call.sock:
                assert call.sock.family is socket.AF_INET6

    asyncio.run(story())


def test_the_source_address_is_ours_to_choose() -> None:
    async def story() -> None:
        with listening() as server:
            call = await dial(HOME, server.getsockname()[1], sources=Sources(four=IPv4Address("127.0.0.5")))
            accepted, peer = server.accept()
            with call.sock, accepted:
                assert peer[0] == "127.0.0.5"

    asyncio.run(story())


def test_nobody_there_is_unreachable_and_says_why() -> None:
    async def story() -> None:
        with listening() as server:
            port = server.getsockname()[1]
        with pytest.raises(CallFailed, match="Connection refused") as caught:
            await dial(HOME, port)
        assert isinstance(caught.value, Unreachable)
        assert (caught.value.ip, caught.value.port, caught.value.error) == (HOME, port, "Connection refused")

    asyncio.run(story())


def test_a_source_that_is_not_ours_fails_the_call() -> None:
    async def story() -> None:
        with pytest.raises(CallFailed, match="assign"):
            await dial(HOME, 9, sources=Sources(four=IPv4Address("203.0.113.1")))

    asyncio.run(story())


def test_a_black_hole_costs_no_more_than_the_timeout() -> None:
    async def story() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            fillers = []
            for _ in range(4):  # a full backlog drops the next SYN without a word
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
                fillers.append(filler)
            with pytest.raises(CallFailed, match="timeout") as caught:
                await dial(HOME, port, timeout_s=0.05)
            assert caught.value.took_ms >= 45
            for filler in fillers:
                filler.close()

    asyncio.run(story())


def test_our_own_listener_is_not_called() -> None:
    async def story() -> None:
        with listening() as server:
            port = server.getsockname()[1]
            server.setblocking(False)
            ours = OwnListeners([(HOME, port)])
            for ip in (HOME, IPv6Address("::ffff:127.0.0.1")):
                with pytest.raises(WouldCallOurselves):
                    await dial(ip, port, is_ours=ours)
            with pytest.raises(BlockingIOError):
                server.accept()
            (await dial(HOME, port, is_ours=OwnListeners([(HOME, port + 1)]))).sock.close()  # another port is another server

    asyncio.run(story())


@pytest.mark.parametrize(("bound", "ip", "port", "ours"), [
    ("0.0.0.0", "127.0.0.1", 25, True),
    ("0.0.0.0", "127.8.8.8", 25, True),
    ("0.0.0.0", "192.0.2.1", 25, False),
    ("0.0.0.0", "127.0.0.1", 26, False),
    ("0.0.0.0", "::ffff:127.0.0.1", 25, True),
    ("127.0.0.1", "127.0.0.2", 25, False),
    ("192.0.2.1", "192.0.2.1", 25, True),
])
def test_a_listener_on_every_address_has_every_local_one(bound: str, ip: str, port: int, ours: bool) -> None:
    assert OwnListeners([(ip_address(bound), 25)])(ip_address(ip), port) is ours


def test_a_cancelled_call_leaves_no_socket() -> None:
    async def story() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            task = asyncio.create_task(dial(HOME, full.getsockname()[1]))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for filler in fillers:
                filler.close()

    asyncio.run(story())

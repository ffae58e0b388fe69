"""Two network namespaces joined by a cable of their own: two hosts that see each other and nothing else. Needs root.

They have no name outside and end with the process that holds them open, so nothing is left behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.peers.process import run, until


@dataclass(frozen=True, slots=True)
class Host:
    """One end of the cable."""

    address: str
    network: str  # the path of its namespace, for nsenter and for inside()


def entered(network: str | None) -> list[str]:
    """The words before a command that run it in a network namespace (None: where we are)."""
    return ["nsenter", f"--net={network}"] if network else []


@contextmanager
def two_hosts(first: str = "10.77.0.1", second: str = "10.77.0.2") -> Iterator[tuple[Host, Host]]:
    """Two hosts with these addresses on one network of 24 bits."""
    holders = [subprocess.Popen(["unshare", "--net", "sleep", "1000"], start_new_session=True) for _ in (first, second)]
    own = os.readlink("/proc/self/ns/net")
    try:
        for holder in holders:
            until(lambda pid=holder.pid: os.readlink(f"/proc/{pid}/ns/net") != own, "the namespace is made")  # type: ignore[misc]
        hosts = [Host(address, f"/proc/{holder.pid}/ns/net") for address, holder in zip((first, second), holders, strict=True)]
        run(
            [
                *entered(hosts[0].network),
                "ip",
                "link",
                "add",
                "cable",
                "type",
                "veth",
                "peer",
                "name",
                "cable",
                "netns",
                str(holders[1].pid),
            ]
        )
        for host in hosts:
            for words in (
                ["link", "set", "lo", "up"],
                ["addr", "add", f"{host.address}/24", "dev", "cable"],
                ["link", "set", "cable", "up"],
            ):
                run([*entered(host.network), "ip", *words])
        yield hosts[0], hosts[1]
    finally:
        for holder in holders:
            holder.send_signal(signal.SIGKILL)
            holder.wait()


@contextmanager
def inside(network: str | None) -> Iterator[None]:
    """Sockets that this thread opens now belong to another network namespace; they go on living in it afterwards."""
    if network is None:
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(network, os.O_RDONLY)
    try:
        if library.setns(there, 0x40000000) != 0:  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            library.setns(home, 0x40000000)
    finally:
        os.close(home)
        os.close(there)


def listens(network: str, address: str, port: int) -> bool:
    """Whether somebody takes connections there, in a network namespace."""
    try:
        with inside(network), socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False

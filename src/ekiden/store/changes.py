"""Pokes: "account 7 changed, look again". They carry no news, so a lost one loses no mail.

In one process a poke wakes the tasks that wait for an account; between the processes of one host it is a datagram to each one's Unix
socket in the run directory.
Source: house.md §1 (6), §10.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ekiden.base.ids import AccountId

_ACCOUNT = struct.Struct("!q")
_LOOK_S = 1.0
QUEUE = AccountId(0)
"""Stands for the queue: something is due."""
JUDGED = AccountId(-2)
"""Stands for what has ended processes that judged it (services.judging): more is known."""
KEYS = AccountId(-3)
"""Stands for the keys that mail is signed with: they are others now."""
LESSONS = AccountId(-4)
"""Stands for what readers have taught: something is to be learned."""
_HELLO = AccountId(-1)
"""Stands for no account: a process has come that is to be told from now on."""


_TAUGHT = -(1 << 40)


def taught_of(account: AccountId) -> AccountId:
    """Stands for what an account (or everybody, 0) has taught: it has been learned."""
    return AccountId(_TAUGHT - account)


class Changes:
    """The pokes of one process. Make it inside a running event loop."""

    def __init__(self, run_dir: Path | None = None, node: int = 0) -> None:
        self._waiting: dict[AccountId, set[asyncio.Future[None]]] = {}
        self._listeners: list[Callable[[AccountId], None]] = []
        self._loop = asyncio.get_running_loop()
        self._path: Path | None = None
        self._sock: socket.socket | None = None
        self._known: list[str] = []
        self._known_until = 0.0
        if run_dir is not None:
            run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path = run_dir / f"poke-{node}"
            self._path.unlink(missing_ok=True)
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sock.setblocking(False)
            self._sock.bind(str(self._path))
            self._loop.add_reader(self._sock, self._hear)
            self._tell(_HELLO)
            self._known_until = 0.0  # others may be coming at this moment

    def poke(self, account: AccountId) -> None:
        """Wake who waits for this account, here and in the other processes."""
        self._wake(account)
        self._tell(account)

    def _tell(self, account: AccountId) -> None:
        if self._sock is None:
            return
        for other in self._others():
            with suppress(OSError):  # gone, or so full of pokes that it will look anyway
                self._sock.sendto(_ACCOUNT.pack(account), other)

    def on_poke(self, listener: Callable[[AccountId], None]) -> None:
        """Call listener for every poke, wherever it came from."""
        self._listeners.append(listener)

    async def wait(self, account: AccountId, timeout_s: float) -> bool:
        """True soon after the account has been poked, False after timeout_s."""
        future: asyncio.Future[None] = self._loop.create_future()
        waiting = self._waiting.setdefault(account, set())
        waiting.add(future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
            return True
        except TimeoutError:
            return False
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(account) is waiting:
                del self._waiting[account]

    def close(self) -> None:
        """Give the socket back."""
        if self._sock is not None and self._path is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None
            with suppress(OSError):  # a disk that takes no writing; the next start removes it
                self._path.unlink(missing_ok=True)

    def _others(self) -> list[str]:
        """The sockets of the other processes, looked for once a second."""
        if self._path is None:
            return []
        now = self._loop.time()
        if now >= self._known_until:
            with suppress(OSError), os.scandir(self._path.parent) as entries:  # without a descriptor those stay whom we knew
                self._known = [entry.path for entry in entries if entry.name.startswith("poke-") and entry.name != self._path.name]
            self._known_until = now + _LOOK_S
        return self._known

    def _hear(self) -> None:
        while self._sock is not None:
            try:
                data = self._sock.recv(64)
            except (BlockingIOError, InterruptedError):
                return
            if len(data) != _ACCOUNT.size:
                continue
            account = AccountId(_ACCOUNT.unpack(data)[0])
            if account == _HELLO:
                self._known_until = 0.0
            else:
                self._wake(account)

    def _wake(self, account: AccountId) -> None:
        for future in self._waiting.get(account, ()):
            if not future.done():
                future.set_result(None)
        for listener in self._listeners:
            listener(account)

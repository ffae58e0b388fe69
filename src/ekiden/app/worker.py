"""One process that serves: doors, courier and upkeep as tasks of one event loop.

Source: house.md §11.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from ekiden.app.config import Config
from ekiden.app.telemetry import make_log
from ekiden.app.wiring import DOORS, House, Mode, drop_privileges
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import ConfigError
from ekiden.net.listener import Listener, bind

DEVELOPMENT_MARK = "DEVELOPMENT"
"""A file in data directories that the development mode made; serving from them would open well-known passwords to the world."""

_CERTIFICATE_CHECK_S = 5.0

Sockets = Mapping[str, Sequence[socket.socket]]
Around = Callable[[], AbstractAsyncContextManager[Mode]]
Ready = Callable[[House], Awaitable[int | None]]


@asynccontextmanager
async def production() -> AsyncIterator[Mode]:
    """Nothing around: the world is the world."""
    yield Mode()


def run(
    config: Config,
    *,
    around: Around = production,
    development: bool = False,
    sockets: Sockets | None = None,
    node: int = 0,
    fresh: bool = True,
    ready: Ready | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; the exit status.

    around: what stands around the house while it lives, and the mode that follows from it. sockets: already listening, by
    door; None binds those of the configuration. fresh: no other process of ours serves from the directory. ready: awaited
    once all doors are open; a number that it returns ends the process with that status.
    Raises ConfigError for what makes serving impossible.
    """
    prepare_data_dir(Path(config.data_dir), development=development)
    lock = lock_data_dir(Path(config.data_dir)) if sockets is None else None
    mine = bind_all(config) if sockets is None else sockets
    if config.user is not None and os.geteuid() == 0 and sockets is None:
        drop_privileges(config.user)
    try:
        return _run_loop(_serve(config, around, mine, node, fresh, ready))
    finally:
        if lock is not None:
            os.close(lock)


def prepare_data_dir(path: Path, *, development: bool) -> None:
    """Make the directory (0700) if it is not there. Raises ConfigError if it is not fit to keep mail in."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise ConfigError([f"data_dir: {path}: {error.strerror}"]) from error
    if status.st_mode & 0o077:
        raise ConfigError([f"data_dir: {path} is open to others (mode {status.st_mode & 0o777:04o}); make it 0700"])
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError([f"data_dir: {path} belongs to another user"])
    if not development and (path / DEVELOPMENT_MARK).exists():
        raise ConfigError(
            [f"data_dir: {path} was made by the development mode and has accounts with a well-known password; choose another one"]
        )


def lock_data_dir(path: Path) -> int:
    """Hold the directory for this server alone; the file descriptor that holds it. Raises ConfigError if another has it."""
    fd = os.open(path / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise ConfigError([f"data_dir: another Ekiden serves from {path}"]) from None
    return fd


def bind_all(config: Config, *, reuse_port: bool = False) -> dict[str, list[socket.socket]]:
    """Listening sockets for every door. Raises ConfigError that names every address which cannot be had."""
    sockets: dict[str, list[socket.socket]] = {}
    problems: list[str] = []
    for name in DOORS:
        endpoints: Sequence[Endpoint] = getattr(config.listeners, name)
        for endpoint in endpoints:
            try:
                sockets.setdefault(name, []).append(bind(endpoint, reuse_port=reuse_port))
            except OSError as error:
                problems.append(f"listeners.{name}: {endpoint}: {error.strerror}")
    if problems:
        for group in sockets.values():
            for sock in group:
                sock.close()
        raise ConfigError(problems)
    return sockets


def _run_loop(work: Awaitable[int]) -> int:
    async def main() -> int:
        return await work

    if sys.platform == "win32":
        return asyncio.run(main())
    import uvloop  # not on every system

    return uvloop.run(main())


async def _serve(config: Config, around: Around, sockets: Sockets, node: int, fresh: bool, ready: Ready | None) -> int:
    async with around() as mode:
        return await _serve_in(config, mode, sockets, node, fresh, ready)


async def _serve_in(config: Config, mode: Mode, sockets: Sockets, node: int, fresh: bool, ready: Ready | None) -> int:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()

    def end(status: int) -> None:
        if not stop.done():
            stop.set_result(status)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, 0)
    log = make_log(config.log)
    house = House(config, log, node=node, mode=mode, on_fatal=lambda: end(1))
    listeners = [Listener(sock, house.door(name), house.crowd, log) for name, group in sockets.items() for sock in group]
    house.own_listeners([listener.endpoint for listener in listeners])
    tasks = [loop.create_task(_watch_certificate(house))]
    try:
        if fresh:
            await house.mailboxes.forget_maildrop_locks()
        tasks += [loop.create_task(work) for work in house.background()]
        for listener in listeners:
            await listener.start()
        gc.collect()
        gc.freeze()  # what is there now stays; looking through it again and again costs 5 % of each message
        gc.set_threshold(10_000, 20, 20)
        log("serving", hostname=config.hostname, listeners=", ".join(f"{n}={s.getsockname()[1]}" for n, g in sockets.items() for s in g))
        if ready is not None:
            asked = loop.create_task(_when_ready(ready, house, end))
            tasks.append(asked)
        status = await stop
    finally:
        await asyncio.gather(*(listener.close(float(config.timeouts.shutdown)) for listener in listeners))
        await house.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        house.close()
    log("stopped", status=status)
    return status


async def _when_ready(ready: Ready, house: House, end: Callable[[int], None]) -> None:
    try:
        status = await ready(house)
    except Exception as error:  # the border of what the caller wants to be done: the server ends, with the reason
        house.log("start-failed", error=error)
        status = 1
    if status is not None:
        end(status)


async def _watch_certificate(house: House) -> None:
    """New handshakes get a renewed certificate within seconds; a bad one is logged and the old one stays."""
    while True:
        await asyncio.sleep(_CERTIFICATE_CHECK_S)
        if house.certificate is None:
            return
        try:
            if house.certificate.reload_if_changed():
                house.log("certificate-reloaded")
        except ConfigError as error:
            house.log("certificate-broken", because="; ".join(error.problems))

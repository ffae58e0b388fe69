"""Several processes that serve together: this one binds the sockets, keeps them open, starts the others, and parses no mail.

Each worker gets its own socket of every address (SO_REUSEPORT), so the kernel spreads the connections. While a worker is
dead its sockets stay open here, and its successor serves what has queued up on them.
Source: house.md §11.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ekiden.app.config import Config, load, show
from ekiden.app.telemetry import make_log
from ekiden.app.wiring import drop_privileges
from ekiden.app.worker import bind_all, lock_data_dir, prepare_data_dir, run
from ekiden.base.errors import ConfigError
from ekiden.policy.stage import Log

_HANDED_DOWN = "EKIDEN_WORKER"
_LIVED_S = 5.0
_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0)

Sockets = Mapping[str, Sequence[socket.socket]]


@dataclass(slots=True)
class _Place:
    """One worker's place: its sockets stay, whoever sits there."""

    node: int
    sockets: Sockets
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    starts: int = 0
    deaths: int = 0
    wanted_at: float = field(default=0.0)


def serve(config: Config) -> int:
    """Serve with config.processes processes until SIGTERM or SIGINT; the exit status. Raises ConfigError."""
    if config.processes == 1:
        return run(config)
    data = Path(config.data_dir)
    prepare_data_dir(data, development=False)
    lock = lock_data_dir(data)
    first = bind_all(config, reuse_port=True)
    places = [_Place(0, first)] + [_Place(node, _same_again(config, first)) for node in range(1, config.processes)]
    if config.user is not None and os.geteuid() == 0:
        drop_privileges(config.user)
    effective = data / "run" / "effective.toml"
    effective.parent.mkdir(mode=0o700, exist_ok=True)
    effective.write_text(show(config), "utf-8")
    try:
        return _watch(places, effective, make_log(config.log), float(config.timeouts.shutdown))
    finally:
        os.close(lock)


def _same_again(config: Config, first: Sockets) -> Sockets:
    """One more socket for each address, also where the system had chosen the port."""
    made: dict[str, list[socket.socket]] = {}
    for name, group in first.items():
        for sock in group:
            again = socket.socket(sock.family, socket.SOCK_STREAM)
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if sock.family == socket.AF_INET6:
                again.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            again.bind(sock.getsockname())
            again.listen(1024)
            again.setblocking(False)
            made.setdefault(name, []).append(again)
    return made


def _watch(places: list[_Place], effective: Path, log: Log, shutdown_s: float) -> int:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    log("supervising", processes=len(places))
    while not stopping.is_set():
        now = time.monotonic()
        for place in places:
            _look_after(place, effective, log, now)
        stopping.wait(0.2)
    for place in places:
        if place.process is not None and place.process.poll() is None:
            place.process.terminate()
    deadline = time.monotonic() + shutdown_s + 10.0
    status = 0
    for place in places:
        if place.process is not None:
            try:
                status = status or abs(place.process.wait(max(0.1, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                place.process.kill()
                status = 1
    return status


def _look_after(place: _Place, effective: Path, log: Log, now: float) -> None:
    """Start a worker that is not there; one that dies young is started ever more slowly."""
    if place.process is not None:
        status = place.process.poll()
        if status is None:
            return
        log("worker-failed", node=place.node, status=status)
        place.deaths = place.deaths + 1 if now - place.started_at < _LIVED_S else 0
        place.wanted_at = now + _PAUSES_S[min(place.deaths, len(_PAUSES_S) - 1)]
        place.process = None
    if now >= place.wanted_at:
        place.process = _start(place, effective)
        place.started_at = now
        place.starts += 1


def _start(place: _Place, effective: Path) -> subprocess.Popen[bytes]:
    """A worker by exec; it inherits its own sockets and nobody else's."""
    numbers = {name: [sock.fileno() for sock in group] for name, group in place.sockets.items()}
    handed = {
        "config": str(effective),
        "node": place.node,
        "fresh": place.node == place.starts == 0,
        "sockets": numbers,
        "parent": os.getpid(),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EKIDEN_")}
    return subprocess.Popen(
        [sys.executable, "-m", "ekiden.app.supervisor"],
        pass_fds=[number for group in numbers.values() for number in group],
        env={**environment, _HANDED_DOWN: json.dumps(handed)},
    )


def worker(handed: str) -> int:
    """What a worker runs: the sockets and the configuration that were handed down. Ends when the supervisor is gone."""
    given = json.loads(handed)
    config = load(Path(given["config"]), {})
    sockets = {name: [socket.socket(fileno=number) for number in numbers] for name, numbers in given["sockets"].items()}
    threading.Thread(target=_follow, args=(int(given["parent"]),), daemon=True).start()
    return run(config, sockets=sockets, node=int(given["node"]), fresh=bool(given["fresh"]))


def _follow(parent: int) -> None:
    """A worker whose supervisor has died must not serve on: its sockets could not be had by a new one."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    try:
        sys.exit(worker(os.environ[_HANDED_DOWN]))
    except ConfigError as error:
        sys.exit("\n".join(error.problems))

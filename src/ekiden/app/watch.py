"""Looking at a process that serves: how late its loop is, how long the queue, how full the disk; is it ready; and telling others.

A process that is alone opens the door for /metrics, /health and /ready itself. A worker tells the supervisor every two seconds,
whose Board joins what all workers say and shows it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ekiden.app.channel import Tell
from ekiden.app.commandline import as_json
from ekiden.app.metrics import Snapshot, render, snapshot
from ekiden.app.status_door import Page, StatusDoor
from ekiden.base import measures
from ekiden.base.clock import Clock
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import StoreError
from ekiden.base.measures import Gauge, Join, all_measures
from ekiden.net.binding import bind
from ekiden.policy.stage import Log
from ekiden.services.space import Space
from ekiden.store import queue
from ekiden.store.database import Database, Tx

TOLD = "watch"
"""The kind of message from a worker to its supervisor."""
_TELL_S = 2.0
_LAG_S = 0.5
_LOOK_S = 15.0
_BLOBS_S = 600.0
_SHARE = 50  # a look at the queue may take one part in so many of the time
_SILENT_S = 10.0
_FORGOTTEN_S = 5.0


@dataclass(slots=True)
class State:
    """What one process knows about whether it is ready. opened: its doors are open. stopping: it has been asked to end."""

    space: Space
    opened: bool = False
    stopping: bool = False
    store_failed: bool = False

    def reasons(self) -> list[str]:
        """Why mail should go elsewhere now; none if all is well."""
        found = ["stopping" if self.stopping else "starting"] if self.stopping or not self.opened else []
        if self.space.because:
            found.append(self.space.because)
        if self.store_failed:
            found.append("store")
        return found


@dataclass(frozen=True, slots=True)
class Kept:
    """Where mail is kept. database: its file, None where it is none of ours. folders: one on each disk that mail goes to."""

    database: Path | None
    blobs: Path
    folders: Sequence[Path]


class Watch:
    """The eyes of one process. run() it as a task; pages() is what its own door shows."""

    def __init__(self, database: Database, state: State, clock: Clock, log: Log, kept: Kept, *, counts_queue: bool = True) -> None:
        self.state = state
        self._counts_queue = counts_queue
        self._database = database
        self._clock = clock
        self._log = log
        self._kept = kept
        self._blobs_due = 0.0
        measures.STARTED_AT.of().value = clock.now() / 1000

    async def run(self, tell: Tell | None = None) -> None:
        """Look until cancelled. tell: the way to the supervisor, where there is one."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_at_loop())
            group.create_task(self._look_at_store())
            if tell is not None:
                group.create_task(self._tell(tell))

    def pages(self, path: str, accept: str) -> Page | None:
        """/metrics, /health and /ready of this process alone."""
        if path == "/metrics":
            return _metrics({"0": self.taken()}, accept)
        if path == "/health":
            return _json(200, {"status": "ok", "workers": 1})
        return _ready(self.state.reasons()) if path == "/ready" else None

    def taken(self) -> Snapshot:
        """The numbers now."""
        measures.TAKES_MAIL.of().value = int(self.state.space.takes_mail)
        return snapshot()

    async def _tell(self, tell: Tell) -> None:
        while True:
            tell(TOLD, {"pid": os.getpid(), "metrics": self.taken(), "reasons": self.state.reasons()})
            await asyncio.sleep(_TELL_S)

    async def _look_at_loop(self) -> None:
        bins = measures.LOOP_LAG.of()
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_S
            await asyncio.sleep(_LAG_S)
            bins.observe(max(0.0, loop.time() - due))

    async def _look_at_store(self) -> None:
        while True:
            began = time.monotonic()
            await self.look()
            await asyncio.sleep(max(_LOOK_S, _SHARE * (time.monotonic() - began)))

    async def look(self) -> None:
        """Read the store once, and measure the queue, the database and its disk. What cannot be measured keeps its last value."""
        try:
            by_status, oldest = await self._database.read(_queue if self._counts_queue else _nothing)
            self.state.store_failed = False
        except StoreError as error:
            if not self.state.store_failed:
                self._log("store-unreadable", level="error", error=error)
            self.state.store_failed = True
            return
        if not self._counts_queue:
            return
        for status in ("due", "held"):
            measures.QUEUE_LENGTH.of(status).value = by_status.get(status, 0)
        measures.QUEUE_OLDEST.of().value = max(0, self._clock.now() - oldest) / 1000 if oldest is not None else 0
        await asyncio.to_thread(self._measure_files)
        if time.monotonic() >= self._blobs_due:
            began = time.monotonic()
            await self._measure_blobs()
            now = time.monotonic()
            self._blobs_due = now + max(_BLOBS_S, _SHARE * (now - began))

    def _measure_files(self) -> None:
        """The database with what SQLite puts beside it, and the disks."""
        database = self._kept.database
        with suppress(OSError):
            if database is not None:
                files = [database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))]
                measures.STORE_BYTES.of().value = sum(file.stat().st_size for file in files if file.exists())
            disks = [os.statvfs(folder) for folder in self._kept.folders]
            measures.DISK_FREE.of().value = min(disk.f_bavail * disk.f_frsize for disk in disks)

    async def _measure_blobs(self) -> None:
        """One folder at a time, in a thread: there may be a million files."""
        with suppress(OSError):
            total = 0
            for folder in await asyncio.to_thread(_folders_in, self._kept.blobs):
                total += await asyncio.to_thread(_bytes_in, folder)
            measures.BLOB_BYTES.of().value = total


def _folders_in(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]


def _bytes_in(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # gone since it was listed
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _nothing(tx: Tx) -> tuple[dict[str, int], int | None]:
    return {}, None


def _queue(tx: Tx) -> tuple[dict[str, int], int | None]:
    return queue.counts(tx), queue.oldest(tx)


@dataclass(slots=True)
class _Worker:
    """The last word of one process. came: when it was first heard; the latest of a name is the one that counts."""

    name: str
    came_at: float
    heard_at: float
    taken: Snapshot
    reasons: list[str]


class Board:
    """What the workers of a supervisor have told. expected: the names of those that there should be. Used from two threads."""

    def __init__(self, expected: Iterable[str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.expected = frozenset(expected)
        self.stopping = False
        self._now = monotonic
        self._workers: dict[tuple[str, int], _Worker] = {}
        self._gone: Snapshot = {}
        self._lock = threading.Lock()

    def hear(self, worker: str, payload: object) -> None:
        """What a worker says (TOLD). Anything of another shape is passed over."""
        match payload:
            case {"pid": int(pid), "metrics": dict(taken), "reasons": list(reasons)}:
                now = self._now()
                with self._lock:
                    known = self._workers.get((worker, pid))
                    came_at = known.came_at if known is not None else now
                    self._workers[worker, pid] = _Worker(worker, came_at, now, taken, [str(reason) for reason in reasons])

    def lost(self, worker: str, pid: int) -> None:
        """A worker has ended; what it had counted stays."""
        with self._lock:
            known = self._workers.get((worker, pid))
            if known is not None:
                known.reasons = ["died"]

    def pages(self, path: str, accept: str) -> Page | None:
        """/metrics, /health and /ready of all workers together."""
        if path not in ("/metrics", "/health", "/ready"):
            return None
        now = self._now()
        with self._lock:
            latest, others = self._sorted(now)
            gone = dict(self._gone)
        if path == "/metrics":
            taken = {f"{worker.name} retiring": worker.taken for worker in others}
            taken.update({name: worker.taken for name, worker in latest.items()})
            return _metrics({"gone": gone, **taken, "supervisor": _own()}, accept)
        living = [name for name, worker in latest.items() if now - worker.heard_at <= _SILENT_S]
        if path == "/health":
            return _json(200 if living else 503, {"status": "ok" if living else "no worker answers", "workers": len(living)})
        reasons = ["stopping"] if self.stopping else []
        reasons += ["starting"] if len(latest) < len(self.expected) else []
        for name, worker in sorted(latest.items()):
            reasons += [f"{name}: {reason}" for reason in worker.reasons] if name in living else [f"{name}: silent"]
        return _ready(reasons)

    def _sorted(self, now: float) -> tuple[dict[str, _Worker], list[_Worker]]:
        """The latest process of each name, and those before it that still speak; of who no longer does only what it had counted stays."""
        latest: dict[str, _Worker] = {}
        for worker in sorted(self._workers.values(), key=lambda worker: worker.came_at):
            if worker.name in self.expected:
                latest[worker.name] = worker
        others = []
        for key, worker in list(self._workers.items()):
            if worker is latest.get(worker.name):
                continue
            if now - worker.heard_at > _FORGOTTEN_S:
                _add(self._gone, worker.taken)
                del self._workers[key]
            else:
                others.append(worker)
        return latest, others


def _own() -> Snapshot:
    """What a supervisor has to tell of itself, which takes no mail."""
    return {name: rows for name, rows in snapshot().items() if name.startswith(("process_", "worker_", "log_"))}


def _add(kept: Snapshot, last: Snapshot) -> None:
    """Add what a dead process had counted to what is kept, so that the sums never go back."""
    for measure in all_measures():
        if measure.about.join is Join.SUM and not isinstance(measure, Gauge):
            rows = _by_labels(kept.get(measure.about.name, []))
            for labels, numbers in _by_labels(last.get(measure.about.name, [])).items():
                before = rows.get(labels, [0.0] * len(numbers))
                rows[labels] = [a + b for a, b in zip(before, numbers, strict=True)]
            kept[measure.about.name] = [[list(labels), list(numbers)] for labels, numbers in rows.items()]


def _by_labels(rows: object) -> dict[tuple[str, ...], list[float]]:
    found: dict[tuple[str, ...], list[float]] = {}
    for row in rows if isinstance(rows, list) else ():
        match row:
            case [list(labels), list(numbers)]:
                found[tuple(str(label) for label in labels)] = [float(number) for number in numbers]
    return found


def _metrics(taken: dict[str, Snapshot], accept: str) -> Page:
    body, kind = render(taken, accept)
    return Page(200, body, kind)


def _ready(reasons: Sequence[str]) -> Page:
    return _json(503 if reasons else 200, {"status": "not ready" if reasons else "ready", "reasons": list(reasons)})


def _json(status: int, value: object) -> Page:
    return Page(status, as_json(value).encode() + b"\n", "application/json")


async def open_doors(endpoints: Sequence[Endpoint], pages: Callable[[str, str], Page | None], log: Log) -> list[StatusDoor]:
    """Serve pages wherever it works; an address that cannot be had is logged, because mail is worth more than numbers of it."""
    doors = []
    for endpoint in endpoints:
        try:
            sock = bind(endpoint)
        except OSError as error:
            log("metrics-unavailable", level="warning", endpoint=str(endpoint), because=error.strerror)
            continue
        door = StatusDoor(sock, pages)
        await door.start()
        doors.append(door)
        host, port = sock.getsockname()[:2]
        log("metrics-served", endpoint=str(Endpoint(str(host), int(port))))
    return doors


class BoardThread:
    """Shows a Board from a thread with a loop of its own, so that the supervisor need not have one. start(), then stop()."""

    def __init__(self, board: Board, endpoints: Sequence[Endpoint], log: Log) -> None:
        self._board = board
        self._endpoints = endpoints
        self._log = log
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to serve, soon."""
        measures.STARTED_AT.of().value = time.time()
        if self._endpoints:
            self._thread.start()

    def stop(self) -> None:
        """End, and wait for that."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(5.0)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        doors = await open_doors(self._endpoints, self._board.pages, self._log)
        await self._ended.wait()
        for door in doors:
            await door.close()

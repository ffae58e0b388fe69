"""From coroutines to a thread and back: functions wait in a queue, one thread takes all that wait and answers them together.

Batches form by themselves: while the thread waits for the disk, the event loop goes on and more functions come. Nobody is
made to wait for company, and results go back with one call into the event loop for a whole batch.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from ekiden.base.errors import StoreError

W = TypeVar("W")

_MANY_RIDERS = 200
_LOOP_PATIENCE_S = 0.02


class Job(Generic[W]):
    """One piece of work that waits for its turn, then for its answer: result, or error where that is not None."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: W, future: asyncio.Future[object] | None, loop: asyncio.AbstractEventLoop | None) -> None:
        self.work = work
        self.future = future
        self.loop = loop
        self.result: object = None
        self.error: BaseException | None = None

    @property
    def unwanted(self) -> bool:
        """Its caller has been cancelled."""
        return self.future is not None and self.future.cancelled()


class _Wake:
    """Stands in the queue for riders that have gathered."""


class Errand:
    """Something that is done once: by the event loop, or by the thread that waits for it if the loop does not come to it.

    A thread that runs Python beside a busy event loop waits for the interpreter's lock at every call into SQLite, fifty times a
    batch; the loop itself has the lock.
    """

    def __init__(self, run: Callable[[], bool]) -> None:
        self._run = run
        self._taken = threading.Lock()
        self._done = threading.Event()
        self._result = False
        self._error: BaseException | None = None

    def do_in(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Have it done, and return its result or raise its error."""
        try:
            loop.call_soon_threadsafe(self._do)
        except RuntimeError:
            self._do()  # the loop is closed
        while not self._done.wait(_LOOP_PATIENCE_S):
            self._do()
        if self._error is not None:
            raise self._error
        return self._result

    def _do(self) -> None:
        if not self._taken.acquire(blocking=False):
            return
        try:
            self._result = self._run()
        except BaseException as error:  # raised again in the thread that waits
            self._error = error
        finally:
            self._done.set()


class Crew(Generic[W]):
    """Threads that do jobs. serve is called in them with each batch, must set result or error of every job, and must not raise.

    most: how many jobs one batch may have. after: called when a batch has been answered, with nobody waiting for it.
    """

    def __init__(
        self,
        name: str,
        serve: Callable[[list[Job[W]]], None],
        *,
        threads: int = 1,
        most: int = 1,
        after: Callable[[], None] | None = None,
    ) -> None:
        self._serve = serve
        self._most = most
        self._after = after
        self._jobs: SimpleQueue[Job[W] | _Wake | None] = SimpleQueue()
        self._riders: deque[Job[W]] = deque()
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"{name}-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    async def do(self, work: W) -> object:
        """Wait for work's turn and its result. Raises its error, and StoreError once the crew is closed."""
        if self._closed:
            raise StoreError("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._jobs.put(Job(work, future, loop))
        return await future

    def ride_along(self, work: W) -> None:
        """Do work with the next batch, when many have gathered, or at close(); nobody waits for it."""
        self._riders.append(Job(work, None, None))
        if len(self._riders) == _MANY_RIDERS:
            self._jobs.put(_Wake())

    def close(self) -> None:
        """Do what has been asked for, then end the threads."""
        if self._closed:
            return
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            job = self._jobs.get()
            if job is None:
                break
            batch = [job] if isinstance(job, Job) else []
            while len(batch) < self._most:
                try:
                    job = self._jobs.get_nowait()
                except Empty:
                    break
                if job is None:
                    stopping = True
                    break
                if isinstance(job, Job):
                    batch.append(job)
            self._do(batch)
        while self._riders:
            self._do([])

    def _do(self, batch: list[Job[W]]) -> None:
        wanted = [job for job in batch if not job.unwanted]
        for _ in range(min(len(self._riders), _MANY_RIDERS)):
            wanted.append(self._riders.popleft())
        if not wanted:
            return
        try:
            self._serve(wanted)
        except BaseException as error:  # a thread that died would leave everybody waiting for ever
            for job in wanted:
                job.error = StoreError(f"the store failed: {type(error).__name__}: {error}")
        _hand_back(wanted)
        if self._after is not None:
            with suppress(Exception):  # nobody waits for it; what is wrong shows with the next batch
                self._after()


def _hand_back(jobs: Sequence[Job[W]]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[Job[W]]] = {}
    for job in jobs:
        if job.loop is not None:
            by_loop.setdefault(job.loop, []).append(job)
    for loop, answered in by_loop.items():
        try:
            loop.call_soon_threadsafe(_answer, answered)
        except RuntimeError:
            continue  # the loop is closed: nobody waits any more, and what was committed stays committed


def _answer(jobs: Sequence[Job[W]]) -> None:
    for job in jobs:
        if job.future is None or job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)

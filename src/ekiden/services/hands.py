"""The threads to which the event loop gives what would block it, all of them started before anybody is served.

A pool that starts its threads when they are needed fails in the middle of a message where the system gives no more of them, and its
work may be done all the same, later, when nobody counts on it any more. Here that happens at the start or never.
Source: reliability.md F-59.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from ekiden.base.errors import EkidenError

P = ParamSpec("P")
T = TypeVar("T")


class NoThreads(EkidenError):
    """The system gives us no thread now."""

    def __init__(self) -> None:
        super().__init__("the system gives no thread (limits of tasks or processes, or memory)")


class Hands(ThreadPoolExecutor):
    """So many threads. Raises NoThreads if not even one can be had; with fewer than wanted it is slower."""

    def __init__(self, most: int | None = None, *, name: str = "hand") -> None:
        wanted = most or min(16, (os.cpu_count() or 1) + 4)
        super().__init__(wanted)  # the loop takes nothing but this class; its own threads are never started
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ended = False
        self._ours: list[threading.Thread] = []
        for number in range(wanted):
            thread = threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                if not self._ours:
                    raise NoThreads from error
                break
            self._ours.append(thread)

    @property
    def threads(self) -> int:
        """How many there are."""
        return len(self._ours)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have it done by the first thread that is free. Raises RuntimeError after shutdown()."""
        if self._ended:
            raise RuntimeError("the threads have ended")
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # raised again where the result is waited for
                future.set_exception(error)
            else:
                future.set_result(result)

        self._jobs.put(work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; what was given is done first."""
        if not self._ended:
            self._ended = True
            for _ in self._ours:
                self._jobs.put(None)
        if wait:
            for thread in self._ours:
                thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # not until the next one comes

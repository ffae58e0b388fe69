"""Threads that do one thing again and again while a test looks at something else."""

from __future__ import annotations

import threading
from typing import Self

_JOIN_S = 60.0


class Hammer:
    """Use it with `with`. A subclass says in once() what is done; what it raises ends its thread."""

    def __init__(self, threads: int) -> None:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._ended.is_set():
            self.once()

    def once(self) -> None:
        """One time."""
        raise NotImplementedError

"""The disk alone: one thread writes the same bytes as files, each synced before the next. What no server on this disk can ignore."""

from __future__ import annotations

import os
import shutil
import time

from bench.load import Round, busy_seconds
from bench.servers import fresh


class Files:
    """Stands among the servers of a table."""

    label = "one thread: create, write, fsync, close"

    def __init__(self) -> None:
        self._folder = fresh("files")
        self._made = 0

    def measure(self, messages: int, size: int) -> Round:
        """Write so many files of so many bytes."""
        content = os.urandom(1024) * (size // 1024) + bytes(size % 1024)
        busy, cpu, start = busy_seconds(), time.process_time(), time.perf_counter()
        for _ in range(messages):
            self._made += 1
            fd = os.open(self._folder / str(self._made), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(fd, left) :]
                os.fsync(fd)
            finally:
                os.close(fd)
        took, used = time.perf_counter() - start, time.process_time() - cpu
        others = min(1.0, max(0.0, (busy_seconds() - busy - used) / took / (os.cpu_count() or 1)))
        return Round(messages, took, took, used, 0.0, others)

    def stop(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

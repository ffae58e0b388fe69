"""Control groups of a test's own: a bound on memory or on tasks for the processes that it starts, version 1 or 2."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.peers.process import until

_MOUNTED = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Group:
    """One control group. second: it is of version 2."""

    folder: Path
    second: bool

    @property
    def entering(self) -> list[str]:
        """What to put before a command so that it runs in the group."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]

    def limit_memory(self, size: int) -> None:
        """So many bytes, of swap none."""
        (self.folder / ("memory.max" if self.second else "memory.limit_in_bytes")).write_text(str(size))

    def limit_tasks(self, number: int | None) -> None:
        """So many processes and threads; None: as many as they like."""
        (self.folder / "pids.max").write_text("max" if number is None else str(number))

    @property
    def tasks(self) -> int:
        """How many there are now."""
        return int((self.folder / "pids.current").read_text())

    @property
    def most_memory(self) -> int:
        """The most that was ever held, files that were kept because there was room included; 0 where the kernel does not tell."""
        file = self.folder / ("memory.peak" if self.second else "memory.max_usage_in_bytes")
        return int(file.read_text()) if file.exists() else 0

    @property
    def killed(self) -> int:
        """How many processes the kernel has killed because memory was short."""
        words = (self.folder / ("memory.events" if self.second else "memory.oom_control")).read_text().split()
        return int(words[words.index("oom_kill") + 1])


@contextlib.contextmanager
def group(controller: str) -> Iterator[Group]:
    """A new group below our own (version 2: below the root), removed in the end; its processes must have ended by then."""
    made = Group(*_place(controller))
    made.folder.mkdir()
    try:
        yield made
    finally:
        until(lambda: not (made.folder / "cgroup.procs").read_text(), "the processes of the group have ended")
        made.folder.rmdir()


def _place(controller: str) -> tuple[Path, bool]:
    name = f"ekiden-test-{secrets.token_hex(6)}"
    for line in Path("/proc/self/cgroup").read_text().split("\n"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return _MOUNTED / controller / path.lstrip("/") / name, False
    return _MOUNTED / name, True


@cache
def control_groups() -> str | None:
    """None if we may make control groups for memory and for tasks, else the reason why not."""
    if os.geteuid() != 0:
        return "needs root"
    for controller, file, limit in (("memory", "limit_memory", 1 << 30), ("pids", "limit_tasks", 1000)):
        try:
            with group(controller) as made:
                getattr(made, file)(limit)
        except OSError as error:
            return f"needs control groups of its own ({controller}: {error.strerror})"
    return None

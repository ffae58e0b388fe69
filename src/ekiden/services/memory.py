"""Is there memory for more? Not when what we use comes near to what we may use.

One object a process. It reads a few files of the system four times a second, never for a message; who lets connections or mail in
reads a plain attribute. What is under way goes on, within the budget for content (services.intake).
Source: reliability.md F-53; docs/adr/0008.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ekiden.policy.stage import Log

LOOK_S = 0.25
_CALM_AT = 0.9  # of the share at which we were short, so that it does not flutter
_GIVE_BACK_EVERY_S = 2.0
_WITHOUT_LIMIT = 1 << 60
_CGROUPS = Path("/sys/fs/cgroup")
_PAGE = os.sysconf("SC_PAGE_SIZE") if sys.platform != "win32" else 4096


@dataclass(frozen=True, slots=True)
class Budget:
    """Something that is limited. name: for the log. limit: in bytes. used: bytes now; raises OSError or ValueError if that is unknown."""

    name: str
    limit: int
    used: Callable[[], int]


def budgets(wanted: int = 0, processes: int = 1) -> list[Budget]:
    """What limits the memory of this process.

    wanted: what the operator gives to each process; 0: its part of half of this machine's memory, if there is no limit of the system's.
    """
    found = list(_of_system())
    if wanted:
        found.append(Budget("limits.memory", wanted, resident))
    elif not found and (whole := machine_bytes()):
        found.append(Budget("half of the machine", whole // 2 // max(1, processes), resident))
    return found


class Memory:
    """The state of one process. is_short: no more mail and no more connections now; on_change hears when that changes."""

    def __init__(
        self,
        watched: Sequence[Budget],
        percent: int,
        log: Log,
        on_change: Callable[[bool], None] = lambda short: None,
        *,
        give_back: Callable[[], None] | None = None,
    ) -> None:
        self.is_short = False
        self._watched = list(watched)
        self._share = percent / 100
        self._log = log
        self._on_change = on_change
        self._give_back = give_back if give_back is not None else trim
        self._gave_back_at = 0.0

    @property
    def least(self) -> int:
        """The smallest budget, in bytes; 0 if nothing is limited."""
        return min((budget.limit for budget in self._watched), default=0)

    async def run(self) -> None:
        """Look until cancelled. The files are not on a disk, so that reading them in the loop blocks nothing."""
        loop = asyncio.get_running_loop()
        while True:
            self.look()
            if self.is_short and loop.time() - self._gave_back_at > _GIVE_BACK_EVERY_S:
                self._gave_back_at = loop.time()
                await asyncio.to_thread(self._give_back)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Measure now. What cannot be measured limits nothing."""
        share = self._share * (_CALM_AT if self.is_short else 1.0)
        short = ""
        numbers: dict[str, int] = {}
        for budget in self._watched:
            try:
                used = budget.used()
            except (OSError, ValueError):
                continue
            if used > budget.limit * share:
                short, numbers = budget.name, {"used_bytes": used, "limit_bytes": budget.limit}
        if bool(short) == self.is_short:
            return
        self.is_short = bool(short)
        if short:
            self._log("memory-short", level="error", of=short, **numbers)
        else:
            self._log("memory-enough", level="warning")
        self._on_change(self.is_short)


def resident() -> int:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE


def _mapped() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[0]) * _PAGE


def machine_bytes() -> int:
    """The memory of this machine; 0 if it is not told."""
    try:
        return max(0, os.sysconf("SC_PHYS_PAGES")) * _PAGE if sys.platform != "win32" else 0
    except (OSError, ValueError):
        return 0


def trim() -> None:
    """Have the C library give freed memory back to the system, where it can; else we might seem short for ever."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


def _of_system() -> Iterator[Budget]:
    yield from cgroup_budgets(Path("/proc/self/cgroup"), _CGROUPS)
    if sys.platform != "win32":
        import resource  # not on every system

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            yield Budget("RLIMIT_AS", soft, _mapped)


def cgroup_budgets(membership: Path, mounted: Path) -> Iterator[Budget]:
    """The limits of the control groups of this process and of those above it, version 1 and 2. membership: /proc/self/cgroup."""
    try:
        lines = membership.read_text("utf-8").split("\n")
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and not controllers:
            yield from _limited(mounted, path, "memory.max", "memory.current", "")
            yield from _limited(mounted / "unified", path, "memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            yield from _limited(mounted / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")


def _limited(mounted: Path, path: str, limit: str, usage: str, prefix: str) -> Iterator[Budget]:
    """Within a container the path may be one that is only known outside; then what is mounted is our own group."""
    folder = mounted / path.lstrip("/")
    here = folder if folder.is_dir() else mounted
    for group in (here, *here.parents):
        try:
            word = (group / limit).read_text("ascii").strip()
        except OSError:
            word = "max"
        if word.isdigit() and int(word) < _WITHOUT_LIMIT:
            yield Budget(f"cgroup {group}", int(word), lambda group=group: _held(group / usage, group / "memory.stat", prefix))  # type: ignore[misc]
        if group == mounted:
            return


def _held(usage: Path, stat: Path, prefix: str) -> int:
    """What a group holds without files that are only kept because there was room: the system drops those before it kills anybody."""
    kept = {f"{prefix}inactive_file", f"{prefix}active_file"}
    whole = int(usage.read_bytes())
    for line in stat.read_text("ascii").split("\n"):
        name, _, number = line.partition(" ")
        if name in kept:
            whole -= int(number)
    return max(0, whole)

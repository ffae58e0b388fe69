"""May new mail come in? Not while the disk is nearly full or memory is short, and not after the store has shown damage.

One object a process. It looks at the file systems once a second, never for a message; who takes mail in reads `refusal`, a plain
attribute. Reading, deleting and the queue go on whatever it says.
Source: reliability.md §1.3 (C5, C10).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ekiden.policy.stage import Log
from ekiden.smtp import replies
from ekiden.smtp.replies import Reply

LOOK_S = 1.0
_THOROUGH = 10  # every so many looks
_ROOM_TO_RETURN = 1.05  # so much more than the floor has to be free before mail is taken again, so that it does not flutter


class Measures(Protocol):
    """What statvfs tells of a file system."""

    @property
    def f_frsize(self) -> int: ...

    @property
    def f_blocks(self) -> int: ...

    @property
    def f_bavail(self) -> int: ...

    @property
    def f_files(self) -> int: ...

    @property
    def f_favail(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Floor:
    """Below this, new mail waits elsewhere: the larger of free_bytes and percent of the disk, and percent of its inodes."""

    free_bytes: int = 512 * 1024 * 1024
    percent: int = 5

    def lacks(self, of: Measures, times: float = 1.0) -> str:
        """What there is too little of: "space", "inodes" or "". A file system that counts no inodes has enough of them."""
        size, free = of.f_blocks * of.f_frsize, of.f_bavail * of.f_frsize
        if free < times * max(self.free_bytes, size * self.percent / 100):
            return "space"
        return "inodes" if of.f_files and of.f_favail < times * of.f_files * self.percent / 100 else ""


def is_closed(folder: Path, thorough: bool) -> bool:
    """Whether the file system of a folder takes no writing. thorough: try it; some that an error has closed do not say so otherwise."""
    try:
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return True
        if thorough:  # a file without a name: nothing is left of it
            os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


class Space:
    """The state of one process. refusal: what a sender of new mail hears, or None while there is room and the store is sound.

    note: a file that tells of damage, so that other processes and the next start know it too; whoever has looked at the store removes it.
    because: why, in a word for logs and for readiness: "space", "inodes", "memory", "damage", or "".
    """

    def __init__(
        self,
        folders: Sequence[Path],
        floor: Floor,
        log: Log,
        *,
        note: Path | None = None,
        measure: Callable[[Path], Measures] = os.statvfs,
        closed: Callable[[Path, bool], bool] = is_closed,
    ) -> None:
        self.refusal: Reply | None = None
        self.because = ""
        self._folders = folders
        self._floor = floor
        self._log = log
        self._note = note
        self._measure = measure
        self._closed = closed
        self._looks = 0
        self._damage = ""
        self._lacking = ""
        self._memory_short = False

    @property
    def takes_mail(self) -> bool:
        """Whether new mail may come in."""
        return self.refusal is None

    def damaged(self, what: str) -> None:
        """The store has shown damage: no new mail until it has been looked at and the server is started again."""
        if self._damage:
            return
        self._damage = what
        self._become("damage", what)
        if self._note is not None and not self._note.exists():
            try:
                self._note.write_text(what + "\n", "utf-8")
            except OSError as error:
                self._log("damage-not-noted", level="error", because=error.strerror)

    def memory_is_short(self, short: bool) -> None:
        """No new mail while it is, unless something worse keeps it away anyway."""
        self._memory_short = short
        self._settle()

    async def run(self) -> None:
        """Look once a second, until cancelled; the look is a system call a folder and blocks only where the disk itself hangs."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Measure now. What cannot be measured counts as it was: the write itself will tell."""
        if self._damage:
            return
        if self._note is not None and self._note.exists():  # another process, or our former life, has met it
            self.damaged(self._note.read_text("utf-8", "replace").strip() or "noted")
            return
        times = _ROOM_TO_RETURN if self._lacking else 1.0
        lacking = ""
        thorough = self._lacking == "read-only" or self._looks % _THOROUGH == 0
        self._looks += 1
        for folder in self._folders:
            try:
                if self._closed(folder, thorough):
                    lacking = "read-only"
                lacking = lacking or self._floor.lacks(self._measure(folder), times)
            except OSError as error:
                self._log("space-unknown", level="warning", folder=str(folder), because=error.strerror)
                return
        self._lacking = lacking
        self._settle()

    def _settle(self) -> None:
        because = "damage" if self._damage else self._lacking or ("memory" if self._memory_short else "")
        if because != self.because:
            self._become(because, because)

    def _become(self, because: str, detail: str) -> None:
        self.because = because
        self.refusal = _REPLIES.get(because)
        if because:
            self._log("mail-refused", level="error", because=detail)
        else:
            self._log("mail-taken-again", level="warning")


_REPLIES = {
    "space": replies.STORAGE_FULL,
    "inodes": replies.STORAGE_FULL,
    "read-only": replies.LOCAL_ERROR,
    "memory": replies.MEMORY_SHORT,
    "damage": replies.LOCAL_ERROR,
}

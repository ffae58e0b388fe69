"""Starts Ekiden with a deliberate break, or on a disk that forgets; the ledger has to notice the breaks.

Called as `python -m tests.crash.start_broken BREAK,BREAK serve --config FILE`. Breaks:

- early-250: 250 is said before the commit, which comes a moment later, as with a store that writes behind.
- synchronous-off: SQLite does not wait for the disk.
- no-directory-sync: the names of the files of messages are not synced.
- on-forgetful-disk: no break; database and files lie on a disk that keeps only what was synced (crash_disk). At SIGUSR1 the power
  goes: what survives is written into the folder that the variable SURVIVORS names, and the process is gone.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.crash.crash_disk import CrashDisk, ForgetfulTogether

from ekiden.__main__ import main
from ekiden.app import wiring
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.database import Database, Options, open_database
from ekiden.store.engines import sqlite

WRITE_BEHIND_S = 0.1


def early_250() -> None:
    """Break C1: the reply of an arrival does not wait for its transaction."""
    honest = sqlite.SqliteDatabase.write_each
    tasks: set[asyncio.Task[object]] = set()

    async def write_each(self: Any, work: Callable[..., Sequence[Any]], item: Any, *, brief: bool = False) -> Any:
        if getattr(work, "__name__", "") != "_store":
            return await honest(self, work, item, brief=brief)

        async def later() -> object:
            await asyncio.sleep(WRITE_BEHIND_S)
            return await honest(self, work, item, brief=brief)

        task = asyncio.get_running_loop().create_task(later())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return ()

    sqlite.SqliteDatabase.write_each = write_each  # type: ignore[method-assign]


def synchronous_off() -> None:
    """Break C1: COMMIT returns before its pages are on the disk."""
    kept = tuple(pragma for pragma in sqlite._PRAGMAS if not pragma.startswith("synchronous="))
    assert len(kept) == len(sqlite._PRAGMAS) - 1
    vars(sqlite)["_PRAGMAS"] = (*kept, "synchronous=OFF")


def no_directory_sync() -> None:
    """Break C1: a row may name a file whose name is not on the disk."""

    def sync(self: FileBlobs, folder: Path) -> None:
        pass

    FileBlobs.sync = sync  # type: ignore[method-assign]


class _KnowsWhatWasThere(ForgetfulTogether):
    """What lies there at the start was synced by those who wrote it."""

    def __init__(self, moment: threading.RLock) -> None:
        self._seen: set[str] = set()
        super().__init__(moment)

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        file = name.filename() if hasattr(name, "filename") else name
        with self.moment:
            if file and file not in self._seen:  # at its first opening nobody here has written to it yet
                self._seen.add(file)
                if Path(file).is_file():
                    self._sure[file] = bytearray(Path(file).read_bytes())
        return super().xOpen(name, flags)


def on_forgetful_disk() -> None:
    """Everything as it is, but that the power can go."""
    moment = threading.RLock()
    forgetful = _KnowsWhatWasThere(moment)
    disks: list[CrashDisk] = []

    def blobs(root: Path, *, on_fatal: Callable[[BaseException], None]) -> FileBlobs:
        disks.append(CrashDisk(root, moment))
        return FileBlobs(root, disks[-1], on_fatal=on_fatal)

    def database(url: str, options: Options) -> Database:
        return open_database(url, replace(options, vfs=forgetful.name))

    vars(wiring)["FileBlobs"] = blobs
    vars(wiring)["open_database"] = database
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # before any other thread is there, so that none of them is interrupted

    def wait() -> None:
        signal.sigwait({signal.SIGUSR1})
        target, dice = Path(os.environ["SURVIVORS"]), random.Random(os.environ["SURVIVORS"])
        with moment:
            target.mkdir(mode=0o700)
            forgetful.power_cut(target, dice)
            (disk,) = disks
            disk.power_cut(target / "blobs", dice)
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


BREAKS: dict[str, Callable[[], None]] = {
    "early-250": early_250,
    "synchronous-off": synchronous_off,
    "no-directory-sync": no_directory_sync,
    "on-forgetful-disk": on_forgetful_disk,
}

if __name__ == "__main__":
    for wanted in sys.argv.pop(1).split(","):
        BREAKS[wanted]()
    main()

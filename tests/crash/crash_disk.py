"""A disk for the files of messages that forgets what was not synced, at the same moment as SQLite's.

Bytes are sure once their file was synced; names and folders once the folder that holds them was.
"""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

from tests.store.disks import ForgetfulDisk

from ekiden.store.blobs.files import RealDisk


class CrashDisk(RealDisk):
    """For FileBlobs at root. moment: held by every change and by the power cut, also by those of the database beside it."""

    def __init__(self, root: Path, moment: threading.RLock) -> None:
        self._root = root
        self.moment = moment
        self._bytes: dict[int, bytes] = {}  # inode → what was synced
        self._names: dict[Path, dict[str, int]] = {}  # folder → what was synced of it

    def write(self, fd: int, data: bytes) -> None:
        with self.moment:
            super().write(fd, data)

    def fsync(self, fd: int) -> None:
        with self.moment:
            status = os.fstat(fd)
            self._bytes[status.st_ino] = os.pread(fd, status.st_size, 0)

    def rename(self, old: Path, new: Path) -> None:
        with self.moment:
            super().rename(old, new)

    def sync_directory(self, path: Path) -> None:
        with self.moment:
            self._names[path] = {each.name: each.inode() for each in os.scandir(path)}

    def power_cut(self, target: Path, dice: random.Random) -> None:
        """Write what survives below target: all that was synced, and of the rest nothing or, where it pleases the disk, something."""
        with self.moment:
            (target / "tmp").mkdir(parents=True)
            known = self._names.get(self._root, {})
            for folder in sorted(each for each in self._root.iterdir() if each.is_dir() and each.name != "tmp"):
                if folder.name not in known and dice.random() < 0.5:
                    continue
                (target / folder.name).mkdir()
                sure = self._names.get(folder, {})
                for file in sorted(folder.iterdir()):
                    inode = file.stat().st_ino
                    if file.name in sure or dice.random() < 0.5:
                        (target / folder.name / file.name).write_bytes(self._survives(file, inode, dice))

    def _survives(self, file: Path, inode: int, dice: random.Random) -> bytes:
        sure = self._bytes.get(inode)
        if sure is not None:
            return sure
        there = file.read_bytes()
        return there[: dice.randint(0, len(there))] if dice.random() < 0.5 else bytes(len(there))


class ForgetfulTogether(ForgetfulDisk):
    """SQLite's forgetful disk, sharing its moments with a CrashDisk."""

    def __init__(self, moment: threading.RLock) -> None:
        self.moment = moment
        super().__init__()

    def change(self, file: str, offset: int, data: bytes | None) -> None:
        with self.moment:
            super().change(file, offset, data)

    def sync(self, file: str) -> None:
        with self.moment:
            super().sync(file)

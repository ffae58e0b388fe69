"""File layers of SQLite that fail when a test says so, and that forget like a machine without power."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import apsw

_names = itertools.count()


class FaultyDisk(apsw.VFS):
    """SQLite's own file layer, with errors on command. name: for Options.vfs.

    fail: called before each operation with its name ("write", "sync", "truncate") and the file's name; it may raise. Set it at any time.
    """

    def __init__(self) -> None:
        self.name = f"faulty-{next(_names)}"
        self.fail: Callable[[str, str], None] = lambda operation, file: None
        self.syncs = 0
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _FaultyFile(self, name, flags)

    def happens(self, operation: str, file: str) -> None:
        self.syncs += operation == "sync"
        self.fail(operation, file)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._name = _plain(name)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.happens("write", self._name)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.happens("truncate", self._name)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.happens("sync", self._name)
        super().xSync(flags)


class ForgetfulDisk(apsw.VFS):
    """A disk whose writes are only sure after a sync. power_cut() makes the folder that a machine finds when power is back."""

    def __init__(self) -> None:
        self.name = f"forgetful-{next(_names)}"
        self._sure: dict[str, bytearray] = {}
        self._unsure: dict[str, list[tuple[int, bytes | None]]] = {}
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _ForgetfulFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self._sure.pop(filename, None)
        self._unsure.pop(filename, None)

    def change(self, file: str, offset: int, data: bytes | None) -> None:
        """A write, or (data None) a truncation to offset."""
        self._unsure.setdefault(file, []).append((offset, data))

    def sync(self, file: str) -> None:
        for change in self._unsure.pop(file, ()):
            self._apply(self._sure.setdefault(file, bytearray()), change)

    def power_cut(self, folder: Path, dice: random.Random) -> None:
        """Write what survives into folder: all that was synced, of the rest nothing, a first part or some of it."""
        how = dice.choice(["nothing", "prefix", "some"])
        for file in self._sure.keys() | self._unsure.keys():
            content = bytearray(self._sure.get(file, b""))
            changes = list(self._unsure.get(file, ()))
            if how == "prefix":
                changes = changes[: dice.randint(0, len(changes))]
            elif how == "some":
                changes = [change for change in changes if dice.random() < 0.5]
            else:
                changes = []
            for change in changes:
                self._apply(content, change)
            (folder / Path(file).name).write_bytes(content)

    @staticmethod
    def _apply(content: bytearray, change: tuple[int, bytes | None]) -> None:
        offset, data = change
        if data is None:
            del content[offset:]
            return
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data


class _ForgetfulFile(apsw.VFSFile):
    def __init__(self, disk: ForgetfulDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._name = _plain(name)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.change(self._name, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._disk.change(self._name, newsize, None)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._disk.sync(self._name)


def _plain(name: str | apsw.URIFilename | None) -> str:
    return name.filename() if isinstance(name, apsw.URIFilename) else name or ""

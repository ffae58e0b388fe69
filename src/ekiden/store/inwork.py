"""What a process has in work, noted so that its death does not take the note with it: a file of slots, written without a sync.

A process that hangs or dies cannot say what it died of; who comes after it reads what it had in work. The note outlives the process
and not the machine: a power cut accuses no message. A lock on the file says that its process lives, so that only the notes of the
dead are read. What cannot be noted (a full disk, more at once than there are slots) goes on without a note.
Source: reliability.md F-54; docs/adr/0007.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

KEY_BYTES = 16
_SLOT_BYTES = 256
_ABOUT_BYTES = _SLOT_BYTES - KEY_BYTES - 2
_SLOTS = 4096
_FREE = b"\x00"


@dataclass(frozen=True, slots=True)
class Left:
    """Something that was in work when its process ended. key: KEY_BYTES. about: words for people, perhaps cut."""

    key: bytes
    about: str


def key_of(*parts: bytes) -> bytes:
    """KEY_BYTES that stand for these parts."""
    made = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        made.update(len(part).to_bytes(8, "big") + part)
    return made.digest()


class InWork:
    """The note of one process about one kind of work. Raises OSError if it cannot be made; close() at an orderly end."""

    def __init__(self, folder: Path, kind: str, node: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"work-{kind}-{os.getpid()}-{node}"
        new = folder / f"new-{kind}-{os.getpid()}-{node}"
        self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        new.replace(self._path)  # nobody sees it before it is locked
        self._free = list(range(_SLOTS - 1, -1, -1))

    def begin(self, key: bytes, about: str = "") -> int:
        """This is in work from now on; the number for end()."""
        if not self._free:
            return -1
        slot = self._free.pop()
        with suppress(OSError):
            os.pwrite(self._fd, b"\x01" + key + about.encode("utf-8", "replace")[:_ABOUT_BYTES] + _FREE, slot * _SLOT_BYTES)
        return slot

    def end(self, slot: int) -> None:
        """It is no longer."""
        if slot >= 0:
            with suppress(OSError):
                os.pwrite(self._fd, _FREE, slot * _SLOT_BYTES)
            self._free.append(slot)

    def close(self) -> None:
        """In good order: nothing is left."""
        if self._fd >= 0:
            with suppress(OSError):  # a disk that takes nothing any more; a file of free slots accuses nobody
                self._path.unlink()
            os.close(self._fd)
            self._fd = -1


@contextmanager
def left(folder: Path, kind: str) -> Iterator[list[Left]]:
    """What dead processes had in work; forgotten when the block ends without an error. Blocks for no time worth naming."""
    held: list[tuple[Path, int]] = []
    found: list[Left] = []
    try:
        for path in sorted(folder.glob(f"work-{kind}-*")):
            fd = _of_dead(path)
            if fd is not None:
                held.append((path, fd))
                found += _read(fd)
        yield found
        for path, _ in held:
            path.unlink(missing_ok=True)
    finally:
        for _, fd in held:
            os.close(fd)


def _of_dead(path: Path) -> int | None:
    """The note at path, locked; None if its process lives, or another has just read it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _read(fd: int) -> list[Left]:
    whole = os.pread(fd, _SLOTS * _SLOT_BYTES, 0)
    found = []
    for at in range(0, len(whole), _SLOT_BYTES):
        slot = whole[at : at + _SLOT_BYTES]
        if slot[:1] == b"\x01" and len(slot) > KEY_BYTES:
            about = slot[1 + KEY_BYTES :].split(_FREE)[0].decode("utf-8", "replace")
            found.append(Left(slot[1 : 1 + KEY_BYTES], about))
    return found

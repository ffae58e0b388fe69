"""What the files of a SQLite store say of one another: none that was there may be missing, no commit may have vanished.

SQLite alone makes a new database where one is gone, and takes a write-ahead log that is gone or cut short for the end of what was
committed: acknowledged mail would be lost in silence. So a mark in store.lock says that there is a database, and the index of the
log, which outlives a killed process, says how far the log went; who ends in good order removes both (and the index first). Everything
here is called while store.lock is held.
gap: the index does not outlive the machine, so after a power cut a log that was cut short looks like one that ends there; who
removes log and index together after a crash leaves nothing that could tell.
Source: SQLite's file formats (fileformat2, walformat §2); reliability.md §1.3 (C10), F-28.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from ekiden.base.errors import Damaged

LOCK = "store.lock"
DAMAGE = "store.damaged"
"""A note beside the database: it has shown damage while it served, so that no new mail is taken until somebody has looked at it."""
_MARK = b"has a log "
_DAMAGED = b"damaged: "
_MAGIC = b"SQLite format 3\x00"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_INDEX = struct.Struct("=12xBx2xI12x8s8x48xI")  # is it valid, frames, salts, and how many frames are in the database already
_ADVICE = "put back all files of the store, or see `ekiden salvage --help`"


@dataclass(frozen=True, slots=True)
class Log:
    """What the index says of the log. salts: which life of the log. frames: how many are committed. moved: in the database already."""

    salts: bytes
    frames: int
    moved: int

    @property
    def has_more(self) -> bool:
        """Without the log something would be lost."""
        return self.frames > self.moved


def was_made(path: Path) -> bool:
    """Whether there has been a store at path, so that none may be made there."""
    return bool(_text(path))


def look_before(path: Path) -> Log | None:
    """See that everything is there that was there; the log that the next opening has to find again, or None. Raises Damaged."""
    text = _text(path)
    if text.startswith(_DAMAGED):
        raise Damaged(text.removeprefix(_DAMAGED).decode("utf-8", "replace"))
    if not text.startswith(_MARK):
        return None
    found = path.stat().st_size if path.exists() else 0
    if not found:
        raise Damaged(f"{path}: the database is {'empty' if path.exists() else 'gone'}; {_ADVICE}")
    if _peek(path, len(_MAGIC)) != _MAGIC:
        raise Damaged(f"{path}: this is no database any more; {_ADVICE}")
    index, same_life = _index(path), text == _MARK + _boot()
    if not _log_of(path).exists() and index is not None and (index.has_more or not same_life):
        raise Damaged(f"{_log_of(path)}: the write-ahead log is gone, and the newest mail with it; {_ADVICE}")
    return index if same_life else None


def look_after(path: Path, before: Log | None) -> None:
    """See that the log that was opened holds all that was committed to it; mark the store.

    Raises Damaged, now and at each opening until accept(): the index that knew it is a new one after the first.
    """
    now = _index(path)
    if before is not None and before.has_more and (now is None or now.salts != before.salts or now.frames < before.frames):
        there = now.frames if now is not None and now.salts == before.salts else 0
        lost = f"{_log_of(path)}: {before.frames} pages were committed to the log and {there} can be read; {_ADVICE}"
        _write(path, _DAMAGED + lost.encode())
        raise Damaged(lost)
    wanted = _MARK + _boot()
    if _log_of(path).exists() and _text(path) != wanted:
        _write(path, wanted)


def accept(path: Path) -> None:
    """Whatever is there is the store from now on; what is missing is lost, and a person knows it."""
    forget_note(path)
    if path.with_name(LOCK).exists():
        os.truncate(path.with_name(LOCK), 0)  # never removed: a lock on a file without a name would hold nobody off


def forget(path: Path) -> None:
    """The store is closed in this process: what was kept open of its files is closed, too."""
    for name in (path.name, path.name + "-shm"):
        if (fd := _kept.pop(path.with_name(name), None)) is not None:
            os.close(fd)


def _peek(path: Path, size: int) -> bytes:
    """The first bytes of a file that SQLite locks.

    The descriptor stays open until forget(): closing any descriptor of a file drops all POSIX locks that this process has on it, also
    those of SQLite. The next process would then take itself for the first one and cut the index short under our feet (SIGBUS).
    """
    fd = _kept.get(path)
    if fd is not None and not (path.exists() and os.path.samestat(os.fstat(fd), path.stat())):
        os.close(_kept.pop(path))  # another file has that name now
        fd = None
    if fd is None:
        fd = _kept[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return os.pread(fd, size, 0)


_kept: dict[Path, int] = {}


def forget_note(path: Path) -> None:
    """Somebody has looked at the store: the next start takes mail again."""
    path.with_name(DAMAGE).unlink(missing_ok=True)


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _text(path: Path) -> bytes:
    try:
        return path.with_name(LOCK).read_bytes()
    except FileNotFoundError:
        return b""


def _write(path: Path, text: bytes) -> None:
    """Keep a mark, after the names that it speaks of."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    fd = os.open(path.with_name(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))
        os.fsync(fd)
    finally:
        os.close(fd)


def _boot() -> bytes:
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b"unknown to this system"


def _index(path: Path) -> Log | None:
    try:
        text = _peek(path.with_name(path.name + "-shm"), _INDEX.size)
    except OSError:
        return None
    if len(text) < _INDEX.size:
        return None
    valid, frames, salts, moved = _INDEX.unpack(text)
    return Log(salts, frames, moved) if valid else None

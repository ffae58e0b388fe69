"""Blobs as files: written under a temporary name, synced, renamed, and the directory synced.

Names are random and say nothing; directories are 0700, files 0600. Every operation on the disk goes through a Disk, so that tests can
break it. A failed sync is final: what the disk has then is unknown, so nothing more is written and the process is to end
(reliability.md §1.3, C4).
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NoReturn, Protocol

from ekiden.base import failpoints
from ekiden.base.errors import BadValue, Damaged, StorageFull, StoreError
from ekiden.base.ids import BlobId
from ekiden.mail.envelope import Blob
from ekiden.store.blobs import temporary

_HEX = frozenset("0123456789abcdef")
_NAME_LENGTH = 32
_PIECE_BYTES = 1024 * 1024
_SEEN_WHOLE = 10_000
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where there is no room: disk, quota, limit on the size of files."""


class Disk(Protocol):
    """The calls that can fail in a way that matters."""

    def write(self, fd: int, data: bytes) -> None: ...

    def fsync(self, fd: int) -> None: ...

    def close(self, fd: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def sync_directory(self, path: Path) -> None: ...


class RealDisk:
    """The operating system's."""

    def write(self, fd: int, data: bytes) -> None:
        """All of data, whatever it takes."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def fsync(self, fd: int) -> None:
        """Bytes to the disk."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Give the descriptor back; it is gone also where this fails."""
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Atomically."""
        os.rename(old, new)

    def sync_directory(self, path: Path) -> None:
        """Names to the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class FileBlobs:
    """A BlobStore below one directory: 256 folders of files, temporary ones in tmp/.

    on_fatal: called once, from any thread, when a sync has failed: the process must end.
    """

    def __init__(
        self, root: Path, disk: Disk | None = None, *, on_fatal: Callable[[BaseException], None] = lambda error: None
    ) -> None:
        self._root = root
        self._disk = disk or RealDisk()
        self._on_fatal = on_fatal
        self._broken = False
        self._sure: set[Path] = set()
        self._seen_whole: set[tuple[BlobId, int, int, bytes]] = set()
        try:
            for path in (root, root / temporary.FOLDER):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{root}: {error.strerror}") from error

    def create(self) -> FileWriter:
        """Begin a blob."""
        self.must_be_sound()
        return FileWriter(self, self._disk, temporary.new_path(self._root))

    def path(self, id: BlobId) -> Path:
        """Where a blob lies. Raises StoreError for what is no id of ours."""
        if len(id) != _NAME_LENGTH or not _HEX.issuperset(id):
            raise StoreError(str(BadValue("blob id", id)))
        return self._root / id[:2] / id

    def read(self, id: BlobId, offset: int, length: int) -> bytes:
        """At most length bytes from offset. Raises Damaged if the blob is gone."""
        try:
            with self.path(id).open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError as error:
            raise Damaged(f"blob {id} is gone") from error
        except OSError as error:
            raise StoreError(f"blob {id}: {error.strerror}") from error

    def verify(self, id: BlobId, size: int, sha256: bytes) -> None:
        """Read it whole and compare, once for each state of the file (its size and time of change) in the life of this object."""
        try:
            with self.path(id).open("rb") as file:
                found = os.fstat(file.fileno())
                seen = (id, found.st_mtime_ns, found.st_size, sha256)
                if seen in self._seen_whole:
                    return
                if found.st_size != size:
                    raise Damaged(f"blob {id} has {found.st_size} bytes and not {size}")
                if _digest_of(file.read) != sha256:
                    raise Damaged(f"blob {id} is not what was stored")
        except FileNotFoundError as error:
            raise Damaged(f"blob {id} is gone") from error
        except OSError as error:
            raise StoreError(f"blob {id}: {error.strerror}") from error
        if len(self._seen_whole) >= _SEEN_WHOLE:
            self._seen_whole.clear()
        self._seen_whole.add(seen)

    def must_be_sound(self) -> None:
        """Raises StoreError after a sync has failed."""
        if self._broken:
            raise StoreError("blobs: writing has stopped after an error of the disk")

    def keep_what_is_there(self) -> None:
        """The disk has failed under the database: nothing new is written, and no file that has its name is taken away.

        Whether the rows that name the youngest files are there is only known to the next start; upkeep finds those that none names.
        """
        self._broken = True

    @property
    def is_broken(self) -> bool:
        """What the disk has is not known any more."""
        return self._broken

    def sync_failed(self, error: OSError) -> NoReturn:
        """The disk has broken its promise; what it has now is unknown."""
        if not self._broken:
            self._broken = True
            self._on_fatal(error)
        raise StoreError(f"blob: sync failed: {error.strerror}") from error

    def delete(self, id: BlobId) -> None:
        """Remove; nothing happens if it is not there."""
        try:
            self.path(id).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"blob {id}: {error.strerror}") from error

    def older_than(self, seconds: float) -> Iterator[BlobId]:
        """Blobs that were last written so long ago; leftovers in tmp/ of that age are removed on the way."""
        limit = time.time() - seconds
        try:
            for folder in sorted(self._root.iterdir()):
                for file in sorted(folder.iterdir()):
                    if not _untouched_since(file, limit):
                        continue
                    if folder.name == temporary.FOLDER:
                        file.unlink(missing_ok=True)
                    else:
                        yield BlobId(file.name)
        except OSError as error:
            raise StoreError(f"{self._root}: {error.strerror}") from error

    def folder_for(self, id: BlobId) -> Path:
        """The folder of a blob, made (and its name synced) if it is not there."""
        folder = self.path(id).parent
        if folder not in self._sure:  # that it is there says nothing: another thread may have made it and not synced it yet
            folder.mkdir(mode=0o700, exist_ok=True)
            self.sync(self._root)
            self._sure.add(folder)
        return folder

    def sync(self, folder: Path) -> None:
        """Names to the disk. Raises StoreError, and then nothing more is written."""
        try:
            self._disk.sync_directory(folder)
        except OSError as error:
            self.sync_failed(error)


def _digest_of(read: Callable[[int], bytes]) -> bytes:
    made = sha256()
    while piece := read(_PIECE_BYTES):
        made.update(piece)
    return made.digest()


def _failed(error: OSError) -> StoreError:
    made = StorageFull if error.errno in FULL else StoreError
    return made(f"blob: {error.strerror}")


def _untouched_since(file: Path, limit: float) -> bool:
    try:
        return file.stat().st_mtime < limit
    except FileNotFoundError:
        return False  # its message was given up meanwhile


class FileWriter:
    """A BlobWriter into a file."""

    def __init__(self, blobs: FileBlobs, disk: Disk, path: Path) -> None:
        self._blobs = blobs
        self._disk = disk
        self._path = path
        self._hash = sha256()
        self._size = 0
        self._has_name = False
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed(error) from error

    def write(self, data: bytes) -> None:
        """More bytes."""
        try:
            self._disk.write(self._fd, data)
        except OSError as error:
            raise _failed(error) from error
        self._hash.update(data)
        self._size += len(data)

    def read_back(self) -> bytes:
        """All bytes so far."""
        try:
            return os.pread(self._fd, self._size, 0) if self._size < 1 << 30 else self._path.read_bytes()
        except OSError as error:
            raise StoreError(f"blob: {error.strerror}") from error

    def commit(self) -> Blob:
        """fsync and close the file, rename it, fsync the directory: only then may a row name it."""
        id = BlobId(secrets.token_hex(_NAME_LENGTH // 2))
        self._blobs.must_be_sound()
        try:
            self._disk.fsync(self._fd)
        except OSError as error:
            self._blobs.sync_failed(error)
        try:
            self._close()
            folder = self._blobs.folder_for(id)
            self._disk.rename(self._path, folder / id)
        except OSError as error:
            raise _failed(error) from error
        self._path = folder / id
        if failpoints.armed:
            failpoints.hit("K6")
        self._blobs.sync(folder)
        self._has_name = True
        return Blob(id, self._size, self._hash.digest())

    def discard(self) -> None:
        """Close, and remove the file under whichever name it has; what cannot be removed is an orphan, which upkeep finds."""
        self.close()
        if self._has_name and self._blobs.is_broken:
            return
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the descriptor back; the file stays."""
        with suppress(OSError):  # before commit() nobody was promised anything, after it nothing is open
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._disk.close(fd)

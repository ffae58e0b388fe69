"""Blobs as files: synced before they are named, gone when they are not wanted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ekiden.base.errors import Damaged, StorageFull, StoreError
from ekiden.base.ids import BlobId
from ekiden.store.blobs.files import FileBlobs, RealDisk


class Watching(RealDisk):
    """Notes the order of operations; may fail at one."""

    def __init__(self, fail: str = "", number: int = errno.ENOSPC) -> None:
        self.done: list[str] = []
        self._fail = fail
        self._number = number

    def _note(self, what: str) -> None:
        self.done.append(what)
        if what == self._fail:
            raise OSError(self._number, os.strerror(self._number))

    def write(self, fd: int, data: bytes) -> None:
        self._note("write")
        super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._note("fsync")
        super().fsync(fd)

    def close(self, fd: int) -> None:
        super().close(fd)  # Linux gives the descriptor back also where close fails
        self._note("close")

    def rename(self, old: Path, new: Path) -> None:
        self._note("rename")
        super().rename(old, new)

    def sync_directory(self, path: Path) -> None:
        self._note("directory")
        super().sync_directory(path)


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_blob_is_synced_before_its_name_and_its_name_before_it_is_told(tmp_path: Path) -> None:
    disk = Watching()
    blobs = FileBlobs(tmp_path / "blobs", disk)
    writer = blobs.create()
    writer.write(b"abc")
    writer.write(b"def")
    assert writer.read_back() == b"abcdef"
    blob = writer.commit()
    writer.close()
    assert disk.done == ["write", "write", "fsync", "close", "directory", "rename", "directory"]
    assert (blob.size, blobs.read(blob.id, 2, 3)) == (6, b"cde")
    assert blobs.path(blob.id).stat().st_mode & 0o777 == 0o600
    blobs.delete(blob.id)
    blobs.delete(blob.id)
    assert _files(tmp_path) == []


def _store(blobs: FileBlobs) -> None:
    writer = blobs.create()
    try:
        writer.write(b"abc")
        writer.commit()
    finally:
        writer.discard()


_ERRORS = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS]


@pytest.mark.parametrize("number", _ERRORS, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("fail", ["write", "fsync", "close", "rename", "directory"])
def test_whatever_fails_nothing_is_left(tmp_path: Path, fail: str, number: int) -> None:
    fatal: list[BaseException] = []
    blobs = FileBlobs(tmp_path / "blobs", Watching(fail, number), on_fatal=fatal.append)
    with pytest.raises(StoreError) as caught:
        _store(blobs)
    assert _files(tmp_path) == []
    assert bool(fatal) == (fail in ("fsync", "directory"))
    assert isinstance(caught.value, StorageFull) == (not fatal and number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@pytest.mark.parametrize("fail", ["fsync", "directory"])
def test_after_a_failed_sync_nothing_is_synced_or_written_again(tmp_path: Path, fail: str) -> None:
    fatal: list[BaseException] = []
    disk = Watching(fail, errno.EIO)
    blobs = FileBlobs(tmp_path / "blobs", disk, on_fatal=fatal.append)
    other = blobs.create()
    other.write(b"on its way when the disk failed")
    with pytest.raises(StoreError):
        _store(blobs)
    done = list(disk.done)
    with pytest.raises(StoreError):
        other.commit()
    with pytest.raises(StoreError):
        _store(blobs)
    other.discard()
    assert [what for what in disk.done[len(done):] if what != "close"] == []
    assert len(fatal) == 1


def test_what_was_stored_is_known_again_and_damage_is_seen(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    writer = blobs.create()
    writer.write(b"x" * 3_000_000)
    blob = writer.commit()
    blobs.verify(blob.id, blob.size, blob.sha256)
    file = blobs.path(blob.id)
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:1_000_000] + b"y" + whole[1_000_001:], whole + b"x", b""):
        file.write_bytes(damaged)
        with pytest.raises(Damaged):
            blobs.verify(blob.id, blob.size, blob.sha256)
    file.write_bytes(whole)
    blobs.verify(blob.id, blob.size, blob.sha256)
    file.unlink()
    with pytest.raises(Damaged):
        blobs.verify(blob.id, blob.size, blob.sha256)
    with pytest.raises(Damaged):
        blobs.read(blob.id, 0, 1)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a" * 31, "A" * 32, "/" * 32])
def test_what_is_no_name_of_ours_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError):
        FileBlobs(tmp_path / "blobs").read(BlobId(name), 0, 1)


def test_old_blobs_are_listed_and_old_leftovers_removed(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    kept = blobs.create()
    kept.write(b"x")
    blob = kept.commit()
    kept.close()
    left = blobs.create()
    left.close()
    for path in _files(tmp_path):
        os.utime(path, (0, 0))
    assert list(blobs.older_than(3600)) == [blob.id]
    assert _files(tmp_path) == [blobs.path(blob.id)]


def test_once_the_database_has_failed_no_file_with_a_name_is_taken_away(tmp_path: Path) -> None:
    """The row that names it may be on the disk although its sync has failed."""
    blobs = FileBlobs(tmp_path / "blobs")
    named, unnamed = blobs.create(), blobs.create()
    named.write(b"abc")
    unnamed.write(b"def")
    blob = named.commit()
    blobs.keep_what_is_there()
    named.discard()
    unnamed.discard()
    assert _files(tmp_path) == [blobs.path(blob.id)]
    with pytest.raises(StoreError):
        blobs.create()

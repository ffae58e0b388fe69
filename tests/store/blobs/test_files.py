"""Blobs as files: synced before they are named, gone when they are not wanted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ekiden.base.errors import StoreError
from ekiden.base.ids import BlobId
from ekiden.store.blobs.files import FileBlobs, RealDisk


class Watching(RealDisk):
    """Notes the order of operations; may fail at one."""

    def __init__(self, fail: str = "") -> None:
        self.done: list[str] = []
        self._fail = fail

    def _note(self, what: str) -> None:
        self.done.append(what)
        if what == self._fail:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, fd: int, data: bytes) -> None:
        self._note("write")
        super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._note("fsync")
        super().fsync(fd)

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
    assert disk.done == ["write", "write", "fsync", "directory", "rename", "directory"]
    assert (blob.size, blobs.read(blob.id, 2, 3)) == (6, b"cde")
    assert blobs.path(blob.id).stat().st_mode & 0o777 == 0o600
    blobs.delete(blob.id)
    blobs.delete(blob.id)
    assert _files(tmp_path) == []


@pytest.mark.parametrize("fail", ["write", "fsync", "rename", "directory"])
def test_whatever_fails_nothing_is_left(tmp_path: Path, fail: str) -> None:
    blobs = FileBlobs(tmp_path / "blobs", Watching(fail))
    writer = blobs.create()

    def all_of_it() -> None:
        writer.write(b"abc")
        writer.commit()

    with pytest.raises(StoreError):
        all_of_it()
    writer.discard()
    assert _files(tmp_path) == []


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

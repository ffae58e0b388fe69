"""Files that are being written: whose they are, and which of them go when a process is dead."""

from __future__ import annotations

import os
from pathlib import Path

from ekiden.store.blobs.files import FileBlobs
from ekiden.store.blobs.temporary import FOLDER, new_path, remove_left


def _left(root: Path, *names: str) -> None:
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / FOLDER / name).write_bytes(b"half of a message")


def _there(root: Path) -> set[str]:
    return {file.name for file in (root / FOLDER).iterdir()}


def test_a_file_is_called_after_the_process_that_writes_it(tmp_path: Path) -> None:
    assert new_path(tmp_path).name.partition("-")[0] == str(os.getpid())
    assert new_path(tmp_path) != new_path(tmp_path)


def test_of_a_dead_process_go_its_own_files_only(tmp_path: Path) -> None:
    _left(tmp_path, "12-a", "12-b", "123-c", "1-2-d", "9")
    assert remove_left(tmp_path, 12) == 2
    assert _there(tmp_path) == {"123-c", "1-2-d", "9"}


def test_where_nobody_lives_all_go_and_no_blob_does(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    kept, half = blobs.create(), blobs.create()
    kept.write(b"whole")
    blob = kept.commit()
    half.write(b"half")
    half.close()
    _left(tmp_path, "77-x", "of-a-former-version")
    assert remove_left(tmp_path) == 3
    assert _there(tmp_path) == set()
    assert blobs.read(blob.id, 0, 10) == b"whole"


def test_where_there_is_no_store_yet_nothing_goes_and_nothing_is_made(tmp_path: Path) -> None:
    assert remove_left(tmp_path / "blobs") == 0
    assert not (tmp_path / "blobs").exists()

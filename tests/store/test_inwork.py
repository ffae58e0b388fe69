"""What a process has in work: noted while it lives, read when it is dead, and only then."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ekiden.store import inwork
from ekiden.store.inwork import KEY_BYTES, InWork, Left, key_of, left

_DIES = """
import os, signal, sys
from pathlib import Path
from ekiden.store.inwork import InWork
note = InWork(Path(sys.argv[1]), "copies", 3)
first = note.begin(b"a" * 16, "done before")
note.begin(b"b" * 16, "<mueller> → ü")
note.end(first)
note.end(note.begin(b"d" * 16, "x" * 1000))
note.begin(b"c" * 16, "x" * 1000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _a_process_dies(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _DIES, str(folder)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_a_dead_process_had_in_work_is_found_once(tmp_path: Path) -> None:
    _a_process_dies(tmp_path)
    with left(tmp_path, "copies") as found:
        assert sorted(found, key=lambda each: each.key) == [Left(b"b" * 16, "<mueller> → ü"), Left(b"c" * 16, "x" * 238)]
    with left(tmp_path, "copies") as found:
        assert found == []
    assert list(tmp_path.iterdir()) == []


def test_it_is_found_again_where_it_could_not_be_counted(tmp_path: Path) -> None:
    _a_process_dies(tmp_path)
    with pytest.raises(RuntimeError), left(tmp_path, "copies"):
        raise RuntimeError("the store failed")
    with left(tmp_path, "judged") as others:
        assert others == []
    with left(tmp_path, "copies") as found:
        assert len(found) == 2


def test_the_living_are_not_accused(tmp_path: Path) -> None:
    note = InWork(tmp_path, "copies", 0)
    note.begin(b"k" * KEY_BYTES)
    with left(tmp_path, "copies") as found:
        assert found == []
    note.close()
    note.close()
    assert list(tmp_path.iterdir()) == []


def test_more_than_there_are_slots_goes_on_without_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inwork, "_SLOTS", 2)
    note = InWork(tmp_path, "copies", 0)
    numbers = [note.begin(bytes([at]) * KEY_BYTES) for at in range(3)]
    assert sorted(numbers) == [-1, 0, 1]
    for number in numbers:
        note.end(number)
    assert note.begin(b"k" * KEY_BYTES) >= 0
    note.close()


def test_a_full_disk_ends_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    note = InWork(tmp_path, "copies", 0)
    monkeypatch.setattr(os, "pwrite", full)
    number = note.begin(b"k" * KEY_BYTES)
    note.end(number)
    monkeypatch.undo()
    note.close()


def test_a_key_depends_on_where_parts_begin() -> None:
    assert len(key_of(b"a")) == KEY_BYTES
    assert key_of(b"ab", b"c") != key_of(b"a", b"bc")

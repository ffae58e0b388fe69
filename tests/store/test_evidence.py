"""A store of which a part is gone is never opened as if nothing had been there."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from ekiden.base.errors import Damaged, StoreError
from ekiden.store import counters, evidence
from ekiden.store.database import open_database

_PROJECT = Path(__file__).resolve().parents[2]
_LIFE = """
import asyncio, os, sys
from ekiden.base.clock import Millis
from ekiden.store import counters
from ekiden.store.database import open_database

async def main():
    database = open_database("sqlite://" + sys.argv[1])
    for number in range(40):
        await database.write(lambda tx: counters.take_lease(tx, f"n{number}", "x", Millis(1), Millis(2)))
    os._exit(9) if sys.argv[2] == "dies" else database.close()

asyncio.run(main())
"""


def _life(folder: Path, end: str) -> Path:
    """A process writes forty times and dies, or ends in good order."""
    path = folder / "ekiden.db"
    environment = {**os.environ, "PYTHONPATH": str(_PROJECT / "src")}
    done = subprocess.run([sys.executable, "-c", _LIFE, str(path), end], env=environment, check=False, timeout=60)
    assert done.returncode == (9 if end == "dies" else 0)
    return path


def _names(path: Path) -> int:
    async def main() -> int:
        database = open_database(f"sqlite://{path}")
        try:
            return await database.write(lambda tx: counters.drop_leases(tx, "n", "o"))
        finally:
            database.close()

    return asyncio.run(main())


def _remove(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _nul(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 3 * 4120)


def _nul_tail(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-3 * 4120, os.SEEK_END)
        file.write(bytes(3 * 4120))


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(20_000)
        found = file.read(1)
        file.seek(20_000)
        file.write(bytes([found[0] ^ 1]))


@pytest.mark.parametrize("end", ["dies", "ends"])
def test_a_whole_store_is_opened(tmp_path: Path, end: str) -> None:
    assert _names(_life(tmp_path, end)) is not None
    assert not (tmp_path / "ekiden.db-wal").exists()
    assert _names(_life(tmp_path, end)) is not None


@pytest.mark.parametrize(("end", "file", "harm"), [
    ("ends", "", _remove),
    ("ends", "", _empty),
    ("ends", "", _nul),
    ("dies", "", _remove),
    ("dies", "", _nul),
    ("dies", "-wal", _remove),
    ("dies", "-wal", _empty),
    ("dies", "-wal", _cut),
    ("dies", "-wal", _nul_tail),
    ("dies", "-wal", _flip),
], ids=lambda given: getattr(given, "__name__", given))
def test_what_is_missing_is_missed_at_every_start_until_a_person_accepts_it(
    tmp_path: Path, end: str, file: str, harm: Callable[[Path], None]
) -> None:
    path = _life(tmp_path, end)
    harm(tmp_path / f"ekiden.db{file}")
    for _ in range(3):
        with pytest.raises(Damaged):
            open_database(f"sqlite://{path}")
    evidence.accept(path)
    if harm is _nul and not file and end == "ends":  # where it dies, the log still has every page
        with pytest.raises(StoreError):
            open_database(f"sqlite://{path}")
    else:
        _names(path)


def test_another_program_may_close_the_store_in_good_order(tmp_path: Path) -> None:
    path = _life(tmp_path, "dies")
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT COUNT(*) FROM lease").fetchall() == [(40,)]
    connection.close()
    assert not (tmp_path / "ekiden.db-wal").exists()
    assert _names(path) == 40


def test_a_copy_without_its_lock_file_is_a_store_of_its_own(tmp_path: Path) -> None:
    """A backup is the database alone."""
    path = _life(tmp_path, "ends")
    copy = tmp_path / "restored" / "ekiden.db"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert _names(copy) is not None


def test_looking_at_the_files_leaves_sqlite_its_locks(tmp_path: Path) -> None:
    """A program that opens a store in use must not take itself for the first: it would cut the index short under the server's feet."""
    path = _life(tmp_path, "closes")
    try_lock = (
        "import fcntl, sys; file = open(sys.argv[1] + '-shm', 'r+b'); "
        "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)"  # the byte that every connection holds a shared lock on
    )

    def others_may_lock(file: Path) -> bool:
        return subprocess.run([sys.executable, "-c", try_lock, str(file)], capture_output=True, check=False, timeout=60).returncode == 0

    database = open_database(f"sqlite://{path}")
    try:
        assert not others_may_lock(path)
        shutil.copy(path.with_name("ekiden.db-shm"), tmp_path / "copy-shm")
        assert others_may_lock(tmp_path / "copy")  # so it is the lock that kept it away
    finally:
        database.close()

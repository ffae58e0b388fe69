"""What SQLite promises us, and what happens when it breaks the promise."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw
import pytest
from tests.store.disks import FaultyDisk

from ekiden.base.errors import StoreError
from ekiden.store.columns import string
from ekiden.store.database import Conflict, Database, Options, Tx, open_database
from ekiden.store.engines.sqlite import DIALECT
from ekiden.store.sqltext import load_queries

T = TypeVar("T")


def run(folder: Path, work: Callable[[Database], Awaitable[T]], options: Options | None = None) -> T:
    async def main() -> T:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}", options)
        try:
            return await work(database)
        finally:
            database.close()

    return asyncio.run(main())


def put(tx: Tx, name: str) -> str:
    tx.run("keyword_insert", mailbox=1, key=name, name=name)
    return name


def names(tx: Tx) -> list[str]:
    return [string(row, 0) for row in tx.all("keywords_of", mailbox=1)]


async def put_all(database: Database, *wanted: str) -> list[str | BaseException]:
    return await asyncio.gather(*(database.write(lambda tx, name=name: put(tx, name)) for name in wanted), return_exceptions=True)  # type: ignore[misc]  # binds name


class Once(Exception):
    """Raised by a function of a test."""


def test_what_was_written_is_read_and_is_there_after_reopening(tmp_path: Path) -> None:
    async def work(database: Database) -> list[str]:
        assert await database.write(lambda tx: put(tx, "a")) == "a"
        return await database.read(names)

    assert run(tmp_path, work) == ["a"]
    assert run(tmp_path, lambda database: database.read(names)) == ["a"]


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async def modes(database: Database) -> set[int]:
        await database.write(lambda tx: put(tx, "a"))
        return {file.stat().st_mode & 0o777 for file in (tmp_path / "new").iterdir()}

    assert run(tmp_path / "new", modes) == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_waiting_functions_share_a_commit(tmp_path: Path) -> None:
    disk = FaultyDisk()

    async def work(database: Database) -> int:
        before = disk.syncs
        await put_all(database, *(f"k{number:03d}" for number in range(200)))
        assert len(await database.read(names)) == 200
        return disk.syncs - before

    assert run(tmp_path, work, Options(vfs=disk.name)) < 20


def test_a_function_that_raises_undoes_only_itself(tmp_path: Path) -> None:
    def fail(tx: Tx) -> None:
        put(tx, "never")
        raise Once

    async def work(database: Database) -> list[str]:
        outcomes = await asyncio.gather(
            database.write(lambda tx: put(tx, "a")),
            database.write(fail),
            database.write(lambda tx: put(tx, "b")),
            database.write(fail),
            database.write(lambda tx: put(tx, "c")),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [str, Once, str, Once, str]
        with pytest.raises(Once):
            await database.write(fail)
        return await database.read(names)

    assert run(tmp_path, work) == ["a", "b", "c"]


def test_a_unique_row_that_is_there_is_a_conflict_of_its_writer_alone(tmp_path: Path) -> None:
    def make(tx: Tx) -> None:
        tx.run("mailbox_insert", account=1, key="x", name="x", special_use=None, uid_validity=1)

    async def work(database: Database) -> list[type]:
        outcomes = await asyncio.gather(*(database.write(make) for _ in range(3)), return_exceptions=True)
        await database.write(lambda tx: put(tx, "a"))
        return [type(outcome) for outcome in outcomes]

    assert run(tmp_path, work) == [type(None), Conflict, Conflict]


def test_what_many_do_alike_is_one_call_and_each_gets_its_own_result(tmp_path: Path) -> None:
    calls: list[list[int]] = []

    def work(tx: Tx, items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        tx.insert_all("domain_insert", [(f"d{item}.test", 0) for item in items])
        return [item * 10 for item in items]

    async def main(database: Database) -> list[int]:
        return list(await asyncio.gather(*(database.write_each(work, number) for number in range(30))))

    assert run(tmp_path, main) == [number * 10 for number in range(30)]
    assert sorted(item for call in calls for item in call) == list(range(30))
    assert len(calls) < 30


@pytest.mark.parametrize("brief", [False, True])
def test_an_item_that_cannot_be_kept_hurts_only_its_own_task(tmp_path: Path, brief: bool) -> None:
    def work(tx: Tx, items: Sequence[int]) -> list[int]:
        tx.insert_all("domain_insert", [(f"d{item % 7}.test", 0) for item in items])
        return list(items)

    async def main(database: Database) -> tuple[list[object], int]:
        found = await asyncio.gather(*(database.write_each(work, number, brief=brief) for number in range(8)), return_exceptions=True)
        return list(found), len(await database.read(lambda tx: tx.all("domains_all")))

    found, kept = run(tmp_path, main)
    assert [type(each) for each in found].count(Conflict) == 1
    assert kept == 7


@pytest.mark.parametrize("error", [apsw.FullError, apsw.NoMemError])
def test_a_full_disk_fails_the_whole_batch_and_nothing_of_it_is_kept(tmp_path: Path, error: type[Exception]) -> None:
    disk = FaultyDisk()

    def full(operation: str, file: str) -> None:
        if operation == "write" and file.endswith("-wal"):
            raise error("no space left")

    async def work(database: Database) -> None:
        await database.write(lambda tx: put(tx, "before"))
        disk.fail = full
        outcomes = await put_all(database, *(f"k{number}" for number in range(20)))
        assert all(isinstance(outcome, StoreError) for outcome in outcomes)
        assert len(outcomes) == 20
        assert len({id(outcome) for outcome in outcomes}) == 20
        assert await database.read(names) == ["before"]
        disk.fail = lambda operation, file: None
        await put_all(database, "after")
        assert await database.read(names) == ["after", "before"]

    run(tmp_path, work, Options(vfs=disk.name))
    assert run(tmp_path, lambda database: database.read(names)) == ["after", "before"]


def test_a_failed_fsync_stops_the_store_for_good(tmp_path: Path) -> None:
    disk = FaultyDisk()
    fatal: list[BaseException] = []
    tries: list[str] = []

    def broken(operation: str, file: str) -> None:
        if operation == "sync" and file.endswith("-wal"):
            tries.append(file)
            raise apsw.IOError("fsync failed")

    async def work(database: Database) -> None:
        await database.write(lambda tx: put(tx, "before"))
        disk.fail = broken
        for _ in range(2):
            outcomes = await put_all(database, "x", "y")
            assert [type(outcome) for outcome in outcomes] == [StoreError] * 2
        assert await database.read(names) == ["before"]

    run(tmp_path, work, Options(vfs=disk.name, on_fatal=fatal.append))
    assert len(fatal) == 1
    assert len(tries) == 1  # never tried again on the same descriptor (reliability.md C4)


def test_functions_that_ride_along_are_done_with_the_next_batch_or_at_the_end(tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        database.later(lambda tx: put(tx, "rider"))
        assert await database.read(names) == []
        await database.write(lambda tx: put(tx, "a"))
        assert await database.read(names) == ["a", "rider"]
        database.later(lambda tx: put(tx, "last"))

    run(tmp_path, work)
    assert run(tmp_path, lambda database: database.read(names)) == ["a", "last", "rider"]


def test_a_rider_that_raises_hurts_nobody(tmp_path: Path) -> None:
    def fail(tx: Tx) -> None:
        raise Once

    async def work(database: Database) -> list[str]:
        database.later(fail)
        await database.write(lambda tx: put(tx, "a"))
        return await database.read(names)

    assert run(tmp_path, work) == ["a"]


def test_two_processes_take_turns(tmp_path: Path) -> None:
    async def work(database: Database) -> list[str]:
        other = open_database(f"sqlite://{tmp_path / 'ekiden.db'}")
        try:
            await asyncio.gather(
                *(put_all(database, f"a{number:02d}") for number in range(50)),
                *(put_all(other, f"b{number:02d}") for number in range(50)),
            )
            assert await other.read(names) == await database.read(names)
        finally:
            other.close()
        return await database.read(names)

    assert len(run(tmp_path, work)) == 100


def test_a_foreign_program_that_holds_the_database_means_later(tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        foreign = apsw.Connection(str(tmp_path / "ekiden.db"))
        foreign.execute("BEGIN IMMEDIATE")
        outcomes = await put_all(database, "a", "b")
        assert [type(outcome) for outcome in outcomes] == [StoreError] * 2
        foreign.execute("ROLLBACK")
        foreign.close()
        assert await put_all(database, "a") == ["a"]

    run(tmp_path, work, Options(busy_ms=50))


def test_a_read_sees_one_moment(tmp_path: Path) -> None:
    looked, written = threading.Event(), threading.Event()

    def twice(tx: Tx) -> tuple[list[str], list[str]]:
        first = names(tx)
        looked.set()
        if not written.wait(20):
            raise Once
        return first, names(tx)

    async def work(database: Database) -> tuple[list[str], list[str]]:
        reading = asyncio.create_task(database.read(twice))
        await asyncio.to_thread(looked.wait, 20)
        await database.write(lambda tx: put(tx, "a"))
        written.set()
        return await reading

    assert run(tmp_path, work) == ([], [])


def test_readers_cannot_write(tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        with pytest.raises(StoreError):
            await database.read(lambda tx: put(tx, "a"))
        assert await database.read(names) == []

    run(tmp_path, work)


def test_work_of_a_caller_who_has_gone_is_not_begun(tmp_path: Path) -> None:
    begun, released = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        begun.set()
        released.wait(20)

    async def work(database: Database) -> list[str]:
        first = asyncio.create_task(database.write(slow))
        await asyncio.to_thread(begun.wait, 20)
        second = asyncio.create_task(database.write(lambda tx: put(tx, "never")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        released.set()
        await first
        await database.write(lambda tx: put(tx, "a"))
        return await database.read(names)

    assert run(tmp_path, work) == ["a"]


def test_the_log_is_moved_into_the_database_from_time_to_time(tmp_path: Path) -> None:
    def fill(tx: Tx) -> None:
        for number in range(200):
            tx.run("keyword_insert", mailbox=2, key=f"{number}-{id(tx)}-{tx.run('counters_forget', now=0)}", name="x" * 3000)
        tx.run("keywords_delete", mailbox=2)

    async def work(database: Database) -> int:
        for _ in range(60):
            await database.write(fill)
        return (tmp_path / "ekiden.db-wal").stat().st_size

    assert run(tmp_path, work) < 40_000_000


def test_a_reader_that_takes_long_holds_up_nobody(tmp_path: Path) -> None:
    looked, enough = threading.Event(), threading.Event()

    def slow(tx: Tx) -> int:
        count = len(names(tx))
        looked.set()
        enough.wait(20)
        return count + len(names(tx))

    def fill(tx: Tx) -> None:
        for number in range(400):
            tx.run("keyword_insert", mailbox=2, key=str(number), name="x" * 3000)
        tx.run("keywords_delete", mailbox=2)

    async def work(database: Database) -> None:
        reading = asyncio.create_task(database.read(slow))
        await asyncio.to_thread(looked.wait, 20)
        for number in range(30):
            await database.write(fill)
            await database.write(lambda tx, number=number: put(tx, f"k{number:02d}"))  # type: ignore[misc]  # binds number
        assert not reading.done()
        enough.set()
        assert await reading == 0
        assert len(await database.read(names)) == 30

    run(tmp_path, work)


def test_after_close_everything_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        database = open_database(f"sqlite://{tmp_path / 'ekiden.db'}")
        database.close()
        database.close()
        for call in (database.read, database.write):
            with pytest.raises(StoreError):
                await call(names)

    asyncio.run(main())


def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.db"
    file.write_bytes(b"this is not a database, but somebody may need it\n" * 100)
    before = file.read_bytes()
    with pytest.raises(StoreError):
        open_database(f"sqlite://{file}")
    assert file.read_bytes() == before


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    run(tmp_path, lambda database: database.read(names))
    connection = apsw.Connection(str(tmp_path / "ekiden.db"))
    connection.execute("INSERT INTO migration VALUES (9999, 'from_the_future', 0)")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        open_database(f"sqlite://{tmp_path / 'ekiden.db'}")


_LARGE = ("entry", "message", "delivery", "journey", "envelope", "expunged", "mailbox")
_MAY_SCAN = frozenset({"deliveries_count", "deliveries_list"})  # lists for people


def test_no_query_goes_through_a_whole_large_table(tmp_path: Path) -> None:
    run(tmp_path, lambda database: database.read(names))
    connection = apsw.Connection(str(tmp_path / "ekiden.db"))
    found = []
    for name, statement in load_queries(DIALECT).items():
        parameters = dict.fromkeys(re.findall(r":([a-z_][a-z0-9_]*)", statement), 1)
        plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        scans = [step for step in plan if step.startswith("SCAN ") and step.split(" ")[1] in _LARGE and "LIMIT 1" not in statement]
        if scans and name not in _MAY_SCAN:
            found.append((name, scans))
    connection.close()
    assert found == []


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("entries_changed", "entry_changed"),
        ("deleted_between", "entry_deleted"),
        ("deleted_count", "entry_deleted"),
        ("next_due", "delivery_due"),
        ("leases_forget", "delivery_leased"),
        ("gone_before", "message_gone"),
        ("blob_named", "message_blob"),
    ],
)
def test_small_indexes_are_used(tmp_path: Path, query: str, index: str) -> None:
    run(tmp_path, lambda database: database.read(names))
    connection = apsw.Connection(str(tmp_path / "ekiden.db"))
    statement = load_queries(DIALECT)[query]
    parameters = dict.fromkeys(re.findall(r":([a-z_][a-z0-9_]*)", statement), 1)
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    connection.close()
    assert any(index in step.split(" ") for step in plan), plan


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(StoreError, match="absolute"):
        open_database("sqlite://ekiden.db")


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        open_database(f"sqlite://{tmp_path / 'file' / 'ekiden.db'}")

"""SQLite through apsw: WAL, synchronous=FULL, one writer thread a process that commits all waiting functions at once.

Promise: write() returns only after a COMMIT that SQLite has synced; if that commit failed, every function in it fails with
StoreError and none has left a trace. A failed fsync is final: nothing is tried again on the same descriptor (reliability.md
§1.3, C4). Several processes take turns by flock on store.lock, because SQLite's own busy wait is unfair.
Source: house.md §10, §14.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import apsw

from ekiden.base import measures
from ekiden.base.errors import Damaged, StorageFull, StoreError
from ekiden.store import evidence
from ekiden.store.batching import Crew, Errand, Job
from ekiden.store.database import Conflict, Database, Engine, Options, Row, Tx, Value
from ekiden.store.migrate import load_migrations, pending
from ekiden.store.sqltext import Dialect, load_queries, repeated

T = TypeVar("T")
Item = TypeVar("Item")
_Read = Callable[[Tx], object]
_Together = Callable[[Tx, Sequence[Any]], Sequence[object]]


class _Work(NamedTuple):
    """What the writer does: a function of a transaction, or one of a transaction and of the items of all that wait for it."""

    run: _Read | None
    run_all: _Together | None = None
    item: object = None
    brief: bool = False

    def alone(self, tx: Tx) -> object:
        """Do it for its caller only."""
        if self.run is not None:
            return self.run(tx)
        return self.run_all(tx, (self.item,))[0] if self.run_all is not None else None

OLDEST = (3, 51, 3)
"""Older ones could damage the database when a write-ahead log was reset while another connection read it."""

DIALECT = Dialect(
    {
        "KEY": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "INT": "INTEGER",
        "BYTES": "BLOB",
        "TABLE": "STRICT",
        "CLUSTERED": "STRICT, WITHOUT ROWID",
        "SKIP_LOCKED": "",
        "EACH": "json_each",
        # SQLite takes the primary key where a small partial index would do
        "VIA_CHANGED": "INDEXED BY entry_changed",
        "VIA_DELETED": "INDEXED BY entry_deleted",
    }
)

# Errors that end the whole transaction, whatever function met them.
_BROKEN = (
    apsw.FullError,
    apsw.IOError,
    apsw.NoMemError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.InterruptError,
    apsw.ProtocolError,
)
_DAMAGE = (apsw.CorruptError, apsw.NotADBError)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HARMLESS = (*_NO_ROOM, errno.EROFS)  # of a write before the sync: what was written of the transaction is written over by the next
_FSYNC = (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)

# Pages of 4 KiB. Measured with 1,000 mailboxes: 13,300 messages/s with a checkpoint each 1,000 pages, 17,800 at 4,000.
_PAGE_BYTES = 16_384  # of new databases; with 4 KiB messages of 100 KiB cost a fifth more, small ones the same
_CHECKPOINT_BYTES = 16 << 20
_WAL_TOO_LONG_BYTES = 16 * _CHECKPOINT_BYTES
_FOR_READERS_MS = 100
_ONCE_BUSY_MS = 100  # while a foreign program holds the database that long already, the next ones need not wait as long again
_ROWS_AT_ONCE = 32
_PRAGMAS = (
    "trusted_schema=OFF",
    "mmap_size=0",
    "temp_store=MEMORY",
    "cell_size_check=ON",
    "synchronous=FULL",
    "journal_size_limit=67108864",
)


class _TransactionLost(Exception):
    """SQLite has rolled the transaction back by itself."""


class _SqliteTx:
    """A Tx on one connection; lives as long as the connection."""

    __slots__ = ("_execute", "_many", "_queries", "changes")

    def __init__(self, connection: apsw.Connection, queries: dict[str, str]) -> None:
        self._execute = connection.cursor().execute
        self._queries = queries
        self._many: dict[tuple[str, int], str] = {}
        self.changes = connection.changes

    def all(self, query: str, /, **params: Value) -> list[Row]:
        try:
            return cast("list[Row]", self._execute(self._queries[query], params).fetchall())  # apsw types columns as Any
        except apsw.ConstraintError as error:
            raise Conflict(str(error)) from error

    def one(self, query: str, /, **params: Value) -> Row | None:
        rows = self.all(query, **params)
        return rows[0] if rows else None

    def run(self, query: str, /, **params: Value) -> int:
        try:
            self._execute(self._queries[query], params)
        except apsw.ConstraintError as error:
            raise Conflict(str(error)) from error
        return self.changes()

    def insert_all(self, query: str, rows: Sequence[Sequence[Value]], /) -> None:
        """As few statements as there are ones in the binary form of the number of rows: each is prepared once and kept.

        One call into SQLite for many rows: between two calls the event loop may take the interpreter's lock away.
        """
        at, left = 0, len(rows)
        try:
            while left:
                size = min(1 << left.bit_length() - 1, _ROWS_AT_ONCE)
                text = self._many.get((query, size))
                if text is None:
                    text = self._many[query, size] = repeated(self._queries[query], size)
                self._execute(text, tuple(chain.from_iterable(rows[at : at + size])))
                at += size
                left -= size
        except apsw.ConstraintError as error:
            raise Conflict(str(error)) from error

    def plain(self, statement: str) -> None:
        """One of our own statements without a name: BEGIN, SAVEPOINT …"""
        self._execute(statement)


class _Turn:
    """The right to write, shared with other processes: an flock on store.lock."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Writer:
    """What runs in the writer's thread."""

    def __init__(self, connection: apsw.Connection, queries: dict[str, str], turn: _Turn, options: Options) -> None:
        self.fatal: BaseException | None = None
        self._connection = connection
        self._tx = _SqliteTx(connection, queries)
        self._turn = turn
        self._options = options
        self._wal_bytes = 0
        self._page_bytes = int(connection.pragma("page_size"))
        self._holds_turn = False
        self._is_busy = False
        connection.set_wal_hook(self._after_commit)

    def serve(self, jobs: list[Job[_Work]]) -> None:
        """Run a batch and commit it; keeps the turn until rest()."""
        try:
            if self.fatal is not None:
                raise StoreError("the store has stopped after an error of the disk") from self.fatal
            if not self._holds_turn:
                self._turn.__enter__()
                self._holds_turn = True
            self._commit(jobs)
        except BaseException as error:  # whatever it was, every caller is told that nothing was kept
            self._undo()
            if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) in _FSYNC:
                self._stop(error)
            for job in jobs:
                job.error = _store_error(error, self._connection)
            _tell_damage(jobs[0].error, self._options)

    def rest(self) -> None:
        """Between two batches, with nobody waiting: move the log into the database if it is long, then let others write."""
        try:
            if self.fatal is None and self._wal_bytes >= _CHECKPOINT_BYTES:
                too_long = self._wal_bytes >= _WAL_TOO_LONG_BYTES
                self._wal_bytes = 0
                self._checkpoint(apsw.SQLITE_CHECKPOINT_RESTART if too_long else apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.BusyError, apsw.FullError):
            pass  # a long reader, or a database that cannot grow just now; the next commits try again
        except apsw.Error as error:
            if not self._is_harmless(error):
                self._stop(error)
        finally:
            if self._holds_turn:
                self._turn.__exit__()
                self._holds_turn = False

    def _commit(self, jobs: list[Job[_Work]]) -> None:
        """Optimistic first: a SAVEPOINT a function costs 9 µs, a function that raises is rare."""
        began = time.monotonic()
        try:
            self._tx.plain("BEGIN IMMEDIATE")
        except apsw.BusyError:
            self._is_busy = True
            self._connection.set_busy_timeout(min(_ONCE_BUSY_MS, self._options.busy_ms))
            raise
        if self._is_busy:
            self._is_busy = False
            self._connection.set_busy_timeout(self._options.busy_ms)
        loop = jobs[0].loop
        if loop is not None and all(job.work.brief and job.loop is loop for job in jobs):
            went_well = Errand(lambda: self._run_all(jobs)).do_in(loop)
        else:
            went_well = self._run_all(jobs)
        if not went_well:
            self._tx.plain("ROLLBACK")
            if len(jobs) == 1:
                return
            self._tx.plain("BEGIN IMMEDIATE")
            self._run_each(jobs)
        try:
            self._tx.plain("COMMIT")
        except apsw.IOError as error:
            if not self._is_harmless(error):
                self._stop(error)
            raise
        measures.COMMITS.of().observe(len(jobs))
        measures.COMMIT_SECONDS.of().observe(time.monotonic() - began)

    def _run_all(self, jobs: list[Job[_Work]]) -> bool:
        """False, with the error at its job, as soon as one function raises."""
        tx, connection = self._tx, self._connection
        together: dict[_Together, list[Job[_Work]]] = {}
        for job in jobs:
            if job.work.run_all is not None:
                together.setdefault(job.work.run_all, []).append(job)
        for run_all, group in together.items():
            try:
                results = run_all(tx, [job.work.item for job in group])
            except _BROKEN:
                raise
            except BaseException as error:  # of one of them; which one shows when each is run alone
                if not connection.in_transaction:
                    raise
                group[0].error = error
                return False
            if not connection.in_transaction:
                raise _TransactionLost
            for job, result in zip(group, results, strict=True):
                job.result = result
        for job in jobs:
            if job.work.run is None:
                continue
            try:
                job.result = job.work.run(tx)
            except _BROKEN:
                raise
            except BaseException as error:  # the function's own failure, for its caller only
                if not connection.in_transaction:
                    raise
                job.error = error
                return False
            if not connection.in_transaction:
                raise _TransactionLost
        return True

    def _run_each(self, jobs: list[Job[_Work]]) -> None:
        tx, connection = self._tx, self._connection
        for job in jobs:
            job.result = job.error = None
            tx.plain("SAVEPOINT one")
            try:
                job.result = job.work.alone(tx)
            except _BROKEN:
                raise
            except BaseException as error:  # the function's own failure, for its caller only
                if not connection.in_transaction:
                    raise
                job.error = error
                tx.plain("ROLLBACK TO one")
            if not connection.in_transaction:
                raise _TransactionLost
            tx.plain("RELEASE one")

    def _checkpoint(self, mode: int) -> None:
        """RESTART waits for readers, so that the log can begin anew; not for long, because writers wait meanwhile."""
        self._connection.set_busy_timeout(_FOR_READERS_MS)
        try:
            self._connection.wal_checkpoint(mode=mode)
        finally:
            self._connection.set_busy_timeout(self._options.busy_ms)

    def _undo(self) -> None:
        try:
            if self._connection.in_transaction:
                self._tx.plain("ROLLBACK")
        except apsw.Error as error:
            self._stop(error)

    def _is_harmless(self, error: apsw.Error) -> bool:
        return self._connection.system_errno in _HARMLESS and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_WRITE

    def _stop(self, error: BaseException) -> None:
        if self.fatal is None:
            self.fatal = error
            if self._options.on_fatal is not None:
                with suppress(Exception):  # whatever the listener does, those who wait are answered
                    self._options.on_fatal(error)

    def _after_commit(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_bytes = pages * self._page_bytes
        return apsw.SQLITE_OK


def _store_error(error: BaseException, connection: apsw.Connection | None = None) -> StoreError:
    """A StoreError of its own for each caller, so that no traceback is shared."""
    if isinstance(error, StoreError):
        made = StoreError(*error.args)
    elif isinstance(error, _DAMAGE):
        made = Damaged(f"the store is damaged: {error}")
    elif isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.IOError) and connection is not None and connection.system_errno in _NO_ROOM
    ):
        made = StorageFull(f"the store has no room: {error}")
    elif isinstance(error, _TransactionLost):
        made = StoreError("the transaction was undone by the store")
    else:
        made = StoreError(f"the store failed: {type(error).__name__}: {error}")
    made.__cause__ = error
    return made


def _tell_damage(error: BaseException | None, options: Options) -> None:
    if isinstance(error, Damaged) and isinstance(error.__cause__, _DAMAGE) and options.on_damage is not None:
        with suppress(Exception):  # as in _stop
            options.on_damage(str(error))


class SqliteDatabase:
    """A Database in one SQLite file."""

    def __init__(self, path: Path, options: Options) -> None:
        self._path = path
        self._options = options
        self._queries = load_queries(DIALECT)
        self._turn = _Turn(path.with_name(evidence.LOCK))
        try:
            with self._turn:
                before = evidence.look_before(path)
                self._connection = _connect(path, options, cache_kib=65_536)
                try:
                    _bring_up_to_date(self._connection)
                    evidence.look_after(path, before)
                except BaseException:
                    self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # what there is stays as it is
                    self._connection.close()
                    evidence.forget(path)
                    raise
        except _DAMAGE as error:
            self._turn.close()
            raise Damaged(f"{path}: {error}") from error
        except apsw.Error as error:
            self._turn.close()
            raise StoreError(f"{path}: {type(error).__name__}: {error}") from error
        except BaseException:
            self._turn.close()
            raise
        self._writer = _Writer(self._connection, self._queries, self._turn, options)
        self._writers: Crew[_Work] = Crew("store-write", self._writer.serve, most=options.batch, after=self._writer.rest)
        self._own = threading.local()
        self._readers_open: list[apsw.Connection] = []
        self._readers: Crew[_Read] = Crew("store-read", self._serve_reader, threads=options.readers)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return cast("T", await self._readers.do(work))  # the result of work, which Crew keeps as an object

    async def write(self, work: Callable[[Tx], T]) -> T:
        return cast("T", await self._writers.do(_Work(work)))  # as above

    async def write_each(self, work: Callable[[Tx, Sequence[Item]], Sequence[T]], item: Item, *, brief: bool = False) -> T:
        return cast("T", await self._writers.do(_Work(None, work, item, brief)))  # as above

    def later(self, work: Callable[[Tx], object]) -> None:
        self._writers.ride_along(_Work(work))

    def close(self) -> None:
        self._readers.close()
        self._writers.close()
        for connection in (*self._readers_open, self._connection):
            if self._writer.fatal is not None:  # else the last close would sync what has failed to sync
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            with suppress(apsw.Error):  # what was committed is in the log; the next start reads it from there
                connection.close()
        self._readers_open.clear()
        evidence.forget(self._path)
        self._turn.close()

    def _serve_reader(self, jobs: list[Job[_Read]]) -> None:
        for job in jobs:
            try:
                job.result = self._read(job.work)
            except apsw.Error as error:
                job.error = _store_error(error)
                _tell_damage(job.error, self._options)
            except BaseException as error:  # what the function raises is for its caller
                job.error = error

    def _read(self, work: _Read) -> object:
        tx: _SqliteTx | None = getattr(self._own, "tx", None)
        if tx is None:
            connection = _connect(self._path, self._options, cache_kib=16_384)
            connection.execute("PRAGMA query_only=ON")
            self._readers_open.append(connection)
            tx = self._own.tx = _SqliteTx(connection, self._queries)
        tx.plain("BEGIN")
        try:
            return work(tx)
        finally:
            tx.plain("ROLLBACK")


def _connect(path: Path, options: Options, *, cache_kib: int) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
    connection = apsw.Connection(str(path), flags=flags, vfs=options.vfs, statementcachesize=400)
    try:
        connection.set_busy_timeout(options.busy_ms)
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # of no effect on a database that is there already
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchall()[0]
        if mode != "wal":
            raise StoreError(f"{path}: this file system cannot hold a write-ahead log (journal mode {mode})")
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA cache_size=-{cache_kib:d}")
        connection.wal_autocheckpoint(0)
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up_to_date(connection: apsw.Connection) -> None:
    """Do the migrations that are missing, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migration"
            " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"
        )
        rows = connection.execute("SELECT number, name FROM migration ORDER BY number").fetchall()
        applied = [(int(str(number)), str(name)) for number, name in rows]
        for migration in pending(load_migrations(DIALECT), applied):
            connection.execute(migration.script)
            now = time.time_ns() // 1_000_000
            connection.execute("INSERT INTO migration VALUES (?, ?, ?)", (migration.number, migration.name, now))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open(url: str, options: Options) -> Database:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST:
        raise StoreError(f"SQLite {apsw.sqlite_lib_version()} can damage the store; at least 3.51.3 is needed")
    path = Path(url.partition("://")[2])
    if not path.is_absolute():
        raise StoreError(f"store URL {url!r}: the path must be absolute, as in sqlite:///var/lib/ekiden/ekiden.db")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not evidence.was_made(path):  # else it has been made before, and making it anew would hide that it is gone
            # SQLite gives its -wal and -shm files the mode of the database file.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return SqliteDatabase(path, options)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


ENGINE = Engine(schemes=("sqlite",), open=_open)

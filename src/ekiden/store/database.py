"""The store as the rest of the house sees it: functions of a transaction, run by a Database.

A transaction is a plain function `def work(tx)`: it cannot await, so it never holds a lock while a peer is slow. It touches
nothing but its tx and what it returns, because it may be called a second time when another function of its batch has failed.
Source: house.md §10.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from ekiden.base.errors import ConfigError, EkidenError, StoreError
from ekiden.store import engines

T = TypeVar("T")
Item = TypeVar("Item")

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = tuple[Value, ...]


class Conflict(EkidenError):
    """A row that must be the only one of its kind is there already; only the function that wrote it has failed."""


class Tx(Protocol):
    """One transaction. query: the name of a query in store/sql/*.sql; params: the names after its colons."""

    def all(self, query: str, /, **params: Value) -> list[Row]:
        """All rows. Raises Conflict."""
        ...

    def one(self, query: str, /, **params: Value) -> Row | None:
        """The first row, or None where there is none. Raises Conflict."""
        ...

    def run(self, query: str, /, **params: Value) -> int:
        """How many rows were changed. Raises Conflict."""
        ...

    def insert_all(self, query: str, rows: Sequence[Sequence[Value]], /) -> None:
        """Run an `INSERT … VALUES (…)` for many rows at once; each has one value for every parameter, in the order in which they
        stand there. Raises Conflict (then none of them has been inserted).
        """
        ...


class Database(Protocol):
    """A store that is open."""

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run work on one snapshot, in a thread; it sees every write that has returned.

        Raises StoreError, and what work raises.
        """
        ...

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run work, together with other waiting functions, in one durable transaction; returns after the commit.

        Raises what work raises (then only work's own changes are undone), StoreError if nothing of the transaction was kept.
        """
        ...

    async def write_each(self, work: Callable[[Tx, Sequence[Item]], Sequence[T]], item: Item, *, brief: bool = False) -> T:
        """As write(), for what many tasks do alike: work gets the items of all that wait, and returns a result for each.

        If work raises, it is called again with one item at a time, so that an item answers for itself alone.
        brief: for each item work touches a few rows that it names by key, whatever the store holds; it may then be run in the event
        loop's own thread, while begin, commit and sync stay in another.
        """
        ...

    def later(self, work: Callable[[Tx], object]) -> None:
        """Run work with the next transaction, whenever that is, at the latest at close().

        A crash may lose it, and its errors are dropped: only for what is nice to know.
        """
        ...

    def close(self) -> None:
        """Finish what has been asked, then give everything back. Blocks for as long as that takes; a second call does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """How a database is opened.

    readers: threads that read. batch: at most so many functions in one commit. busy_ms: how long a foreign writer is waited for.
    on_fatal: called once, from the writer's thread, when the disk has broken its promise (a failed fsync): the process must end,
    it must not try again on the same files. on_damage: called from any thread, perhaps often, where the database shows damage.
    vfs: the name of SQLite's file layer, for tests that break it.
    """

    readers: int = 3
    batch: int = 200
    busy_ms: int = 10_000
    on_fatal: Callable[[BaseException], None] | None = None
    on_damage: Callable[[str], None] | None = None
    vfs: str | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """What a file in store/engines declares.

    schemes: those of its URLs. open: makes or opens the store and brings its schema up to date.
    """

    schemes: tuple[str, ...]
    open: Callable[[str, Options], Database]


def open_database(url: str, options: Options | None = None) -> Database:
    """The store at url ("sqlite:///absolute/path.db"), created if it is not there, its schema brought up to date.

    Raises ConfigError for an unknown scheme, StoreError for a store that cannot be used.
    """
    scheme, separator, _ = url.partition("://")
    known: list[str] = []
    for found in sorted(pkgutil.iter_modules(engines.__path__), key=lambda module: module.name):
        engine = importlib.import_module(f"{engines.__name__}.{found.name}").ENGINE
        if not isinstance(engine, Engine):
            raise StoreError(f"store/engines/{found.name}.py declares no ENGINE")
        if separator and scheme in engine.schemes:
            return engine.open(url, options or Options())
        known.extend(engine.schemes)
    raise ConfigError([f"store URL {url!r}: the scheme must be one of {', '.join(known)}"])

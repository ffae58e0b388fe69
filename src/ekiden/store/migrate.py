"""Numbered migrations of the schema: one way, all that are missing in one transaction, never twice.

A file store/migrations/NNNN_name.sql is never changed once it has been released; a correction is a new file.
Source: reliability.md §1.3 (C11).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from ekiden.base.errors import StoreError
from ekiden.store.sqltext import Dialect, in_dialect

_FILE = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema. number: 1, 2, 3 … without a gap. script: statements in the engine's dialect."""

    number: int
    name: str
    script: str


def load_migrations(dialect: Dialect) -> list[Migration]:
    """All migrations that this version knows, in order. Raises StoreError for a gap."""
    found: list[Migration] = []
    for file in sorted(resources.files("ekiden.store").joinpath("migrations").iterdir(), key=lambda entry: entry.name):
        named = _FILE.fullmatch(file.name)
        if named:
            script = in_dialect(_COMMENT.sub("", file.read_text("utf-8")), dialect)
            found.append(Migration(int(named[1]), named[2], script))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise StoreError("the migrations are not numbered 1, 2, 3 …")
    return found


def pending(known: Sequence[Migration], applied: Sequence[tuple[int, str]]) -> list[Migration]:
    """Which migrations are still to be done on a store with these (number, name).

    Raises StoreError when the store was written by a newer version, or by another one than ours.
    """
    if len(applied) > len(known):
        raise StoreError(
            f"the store has schema {len(applied)}, this version of Ekiden knows {len(known)}:"
            " start the newer version, or restore a backup"
        )
    for migration, (number, name) in zip(known, applied, strict=False):
        if (migration.number, migration.name) != (number, name):
            raise StoreError(f"schema {number} of the store is called {name}, ours {migration.name}: not a store of Ekiden")
    return list(known[len(applied) :])

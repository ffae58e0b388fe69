"""The schema grows one way."""

from __future__ import annotations

import pytest

from ekiden.base.errors import StoreError
from ekiden.store.engines import sqlite
from ekiden.store.migrate import Migration, load_migrations, pending

_KNOWN = [Migration(1, "first", "CREATE …"), Migration(2, "second", "ALTER …")]


def test_the_files_are_numbered_without_a_gap() -> None:
    found = load_migrations(sqlite.DIALECT)
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert found[0].name == "first"
    assert "--" not in found[0].script


@pytest.mark.parametrize(
    ("applied", "missing"),
    [([], [1, 2]), ([(1, "first")], [2]), ([(1, "first"), (2, "second")], [])],
)
def test_what_is_missing_is_done_in_order(applied: list[tuple[int, str]], missing: list[int]) -> None:
    assert [migration.number for migration in pending(_KNOWN, applied)] == missing


def test_a_newer_store_is_refused_in_words_that_help() -> None:
    with pytest.raises(StoreError, match="start the newer version"):
        pending(_KNOWN, [(1, "first"), (2, "second"), (3, "third")])


@pytest.mark.parametrize("applied", [[(1, "other")], [(2, "second")]])
def test_a_store_with_another_history_is_refused(applied: list[tuple[int, str]]) -> None:
    with pytest.raises(StoreError, match="not a store of Ekiden"):
        pending(_KNOWN, applied)

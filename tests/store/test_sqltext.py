"""Queries by name, and what the engines write differently."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from ekiden.base.errors import StoreError
from ekiden.store.engines import sqlite
from ekiden.store.sqltext import Dialect, in_dialect, load_queries, parse_queries, repeated

_BANNED = (
    r"\bOR (ROLLBACK|ABORT|FAIL|IGNORE|REPLACE)\b",
    r"::",
    r"\b(AUTOINCREMENT|PRAGMA|GLOB|INDEXED BY|rowid)\b",
)
_PERCENT = Dialect({"INT": "BIGINT"}, parameter="%({})s".format)


def test_a_block_is_a_name_a_comment_and_a_statement() -> None:
    text = "-- name: one\n-- What for.\nSELECT a, -- why\n  b FROM t\nWHERE c = :c;\n\n-- name: two\nDELETE FROM t;\n"
    assert parse_queries(text, "x.sql") == {"one": "SELECT a, b FROM t WHERE c = :c", "two": "DELETE FROM t"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "-- name: a\n-- nothing\n",
        "-- name: a\nSELECT 1; SELECT 2;\n",
        "-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n",
    ],
)
def test_what_is_not_a_block_is_refused(text: str) -> None:
    with pytest.raises(StoreError):
        parse_queries(text, "x.sql")


def test_words_and_parameters_are_the_engines_own() -> None:
    assert in_dialect("SELECT CAST(:a AS {INT}) WHERE b = :b_c", _PERCENT) == "SELECT CAST(%(a)s AS BIGINT) WHERE b = %(b_c)s"


def test_a_word_nobody_knows_is_refused() -> None:
    with pytest.raises(StoreError, match="NOWHERE"):
        in_dialect("SELECT {NOWHERE}", _PERCENT)


def test_every_query_says_what_it_is_for_and_uses_the_shared_ground() -> None:
    assert len(load_queries(sqlite.DIALECT)) > 80
    for file in resources.files("ekiden.store").joinpath("sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        text = file.read_text("utf-8")
        assert not re.search(r"-- name: [^\n]*\n(?!-- )", text), file.name
        for banned in _BANNED:
            assert not re.search(banned, text, re.IGNORECASE), (file.name, banned)


def test_an_insert_of_many_rows_has_a_question_mark_for_each_parameter() -> None:
    assert repeated("INSERT INTO t (a, b, c) VALUES (:a, 0, :c)", 2) == "INSERT INTO t (a, b, c) VALUES (?, 0, ?), (?, 0, ?)"


@pytest.mark.parametrize("statement", ["SELECT 1", "INSERT INTO t SELECT 1", "INSERT INTO t VALUES (:a) ON CONFLICT DO NOTHING"])
def test_only_a_plain_insert_of_one_row_can_be_repeated(statement: str) -> None:
    with pytest.raises(StoreError):
        repeated(statement, 2)

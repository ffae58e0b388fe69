"""The named queries of store/sql/*.sql, in the words of one engine.

A block begins with `-- name: NAME`, then a comment that says what it is for, then one statement. {WORDS} stand for what the
engines write differently; parameters are `:name`. Quoted text in a query must hold no colon, brace or percent sign.
Source: house.md §10.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

from ekiden.base.errors import StoreError

_NAME = re.compile(r"-- name: ([a-z][a-z0-9_]*)")
_WORD = re.compile(r"\{([A-Z_]+)\}")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one engine writes SQL. words: what each {WORD} becomes. parameter: a parameter's name to how it stands in the text."""

    words: Mapping[str, str]
    parameter: Callable[[str], str] = ":{}".format


def in_dialect(text: str, dialect: Dialect) -> str:
    """SQL text with its words and parameters as the engine wants them. Raises StoreError for an unknown word."""

    def word(found: re.Match[str]) -> str:
        if found[1] not in dialect.words:
            raise StoreError(f"no word {{{found[1]}}} in this SQL dialect")
        return dialect.words[found[1]]

    return _PARAMETER.sub(lambda found: dialect.parameter(found[1]), _WORD.sub(word, text))


def parse_queries(text: str, source: str) -> dict[str, str]:
    """Name → statement, without comments and with single blanks. Raises StoreError for what is not a block."""
    queries: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in text.split("\n"):
        named = _NAME.fullmatch(line.rstrip(" "))
        if named:
            if named[1] in queries:
                raise StoreError(f"{source}: two queries are called {named[1]}")
            lines = queries[named[1]] = []
        elif line.startswith("--") or not line.strip():
            continue
        elif lines is None:
            raise StoreError(f"{source}: a statement before the first name")
        else:
            lines.append(line.partition(" -- ")[0].strip())
    made = {name: " ".join(body).rstrip(";").rstrip(" ") for name, body in queries.items()}
    for name, statement in made.items():
        if not statement or ";" in statement:
            raise StoreError(f"{source}: {name} is not exactly one statement")
    return made


def repeated(statement: str, rows: int) -> str:
    """An `INSERT … VALUES (…)` with its parentheses so many times, and ? for each parameter. Raises StoreError for anything else."""
    head, found, values = statement.partition(" VALUES (")
    if not found or not values.endswith(")") or not statement.startswith("INSERT "):
        raise StoreError(f"not an INSERT of one row: {statement}")
    return f"{head} VALUES " + ", ".join([_PARAMETER.sub("?", f"({values}")] * rows)


def load_queries(dialect: Dialect) -> dict[str, str]:
    """All queries of store/sql in the dialect. Raises StoreError for two of one name."""
    queries: dict[str, str] = {}
    for file in sorted(resources.files("ekiden.store").joinpath("sql").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        for name, statement in parse_queries(file.read_text("utf-8"), file.name).items():
            if name in queries:
                raise StoreError(f"{file.name}: two queries are called {name}")
            queries[name] = in_dialect(statement, dialect)
    return queries

"""The source of the project as the tests of the house read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "src" / "ekiden"


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; a package's own name stands for its __init__.py."""
    found: dict[str, Path] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def tree(file: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(file.read_text("utf-8"), str(file))


def imports(module: str) -> Iterator[tuple[str, int]]:
    """Dotted names that a module imports, with their lines: at the top, in functions and for type checkers alike.

    `from ekiden.store import queue` is the module ekiden.store.queue, if there is one.
    """
    for node in ast.walk(tree(modules()[module])):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"{module}:{node.lineno}: imports are written with their whole name")
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if inner in modules() else str(node.module)), node.lineno

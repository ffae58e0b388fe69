"""Each module has its test file: src/ekiden/x/y.py is tested in tests/x/test_y.py."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.house.source import PACKAGE, PROJECT, tree

ELSEWHERE = {
    "__main__": "tests/app/test_main.py",  # pytest collects no test___main__.py at the top without a package
    "app/commands/dev": "tests/doors/test_dev.py",  # a real start, from outside
    "app/commands/serve": "tests/doors/test_senders.py",  # every server of tests/doors is started by it
    "app/dev": "tests/doors/test_dev.py",
}
"""Modules whose tests stand in another file, with the reason."""


def _only_declares(file: Path) -> bool:
    """Nothing to run: docstrings, imports, assignments without calls, and Protocols with empty methods."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [each for each in node.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
            if body:
                return False
        elif isinstance(node, ast.ClassDef) and not any(isinstance(base, ast.Name | ast.Subscript) for base in node.bases):
            return False
    return True


def test_each_module_has_its_test_file() -> None:
    missing = []
    for file in sorted(PACKAGE.rglob("*.py")):
        place = file.relative_to(PACKAGE).with_suffix("")
        if file.name == "__init__.py" or _only_declares(file):
            continue
        mirror = ELSEWHERE.get(str(place), f"tests/{place.parent}/test_{place.name}.py".replace("/./", "/"))
        if not (PROJECT / mirror).is_file():
            missing.append(f"src/ekiden/{place}.py has no {mirror}")
    assert missing == []


def test_exceptions_are_still_needed() -> None:
    assert [place for place in ELSEWHERE if not (PACKAGE / f"{place}.py").is_file()] == []


def test_packages_only_say_what_they_are_for() -> None:
    wrong = []
    for file in sorted(PACKAGE.rglob("__init__.py")):
        module = tree(file)
        if ast.get_docstring(module) is None and module.body:
            wrong.append(f"{file.relative_to(PROJECT)} has no docstring")
    assert wrong == []

"""What docs/promises.md and docs/faults.md name as proof is there."""

from __future__ import annotations

import ast
import re

import pytest
from tests.house.source import PROJECT, tree

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_FILE = re.compile(r"`(tests/[\w/]+\.py)`")
_HEAD = re.compile(r"^## (C[0-9]+)\. ", re.MULTILINE)
_ROW = re.compile(r"^\| (F-[0-9]{2}) \| .+ \| (.+) \|$", re.MULTILINE)
_NO_TEST = re.compile(r"not yet|no [\w ]+ yet|(`tests/[\w/]+\.py`( \([^()|]+\))?(, )?)+")


def _page(name: str) -> str:
    return (PROJECT / "docs" / name).read_text("utf-8")


def _functions(file: str) -> set[str]:
    return {node.name for node in ast.walk(tree(PROJECT / file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("name", ["promises.md", "faults.md"])
def test_every_test_that_is_named_exists(name: str) -> None:
    page = _page(name)
    wrong = [f"{file}::{test}" for file, test in _TEST.findall(page) if not (PROJECT / file).is_file() or test not in _functions(file)]
    wrong += [file for file in _FILE.findall(page) if not (PROJECT / file).is_file()]
    assert wrong == []


def test_every_promise_names_its_proof_or_says_that_there_is_none() -> None:
    parts = _HEAD.split(_page("promises.md"))
    promises = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(promises) == [f"C{number}" for number in range(1, 13)]
    assert [name for name, words in promises.items() if not _TEST.search(words) and "Not proved here yet" not in words] == []


def test_every_fault_of_the_plan_has_its_row() -> None:
    rows = dict(_ROW.findall(_page("faults.md")))
    assert list(rows) == [f"F-{number:02}" for number in (*range(1, 38), *range(40, 66))]
    assert [name for name, where in rows.items() if not _NO_TEST.fullmatch(where)] == []

"""What has no place in the source, because it has hurt mail servers before."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from tests.house.source import PACKAGE, PROJECT, tree

_MODULES = {
    "pickle": "runs code out of data",
    "marshal": "runs code out of data",
    "shelve": "is pickle",
    "html.parser": "needs minutes for hostile input",
    "xml": "expands entities without end",
    "cgi": "is gone from Python",
    "asyncore": "is gone from Python",
}
_ALLOWED = {
    ("src/ekiden/mailauth/dmarc_report.py", "xml.parsers"): "the bare parser, which is told to refuse a document type",
}
"""Where a banned module may be used all the same, with the reason."""
_CALLS = {
    "eval": "runs code out of data",
    "exec": "runs code out of data",
    "breakpoint": "stops a server",
    "os.system": "asks a shell",
    "os.popen": "asks a shell",
    "tempfile.mktemp": "names a file that another may make first",
    "yaml.load": "runs code out of data",
}
_ATTRIBUTES = {
    "splitlines": "splits at ten characters, not at CRLF",
}


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _found() -> Iterator[str]:
    for file in sorted(PACKAGE.rglob("*.py")):
        place = str(file.relative_to(PROJECT))
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ImportFrom) and (place, node.module) in _ALLOWED:
                continue
            for why in _faults(node):
                yield f"{place}:{getattr(node, 'lineno', 0)}: {why}"


def _faults(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assert):
        yield "assert is no check: python -O drops it"
    elif isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
        for name in names:
            for banned, why in _MODULES.items():
                if name == banned or name.startswith(banned + "."):
                    yield f"{name} {why}"
    elif isinstance(node, ast.Call):
        yield from _call_faults(node)
    elif isinstance(node, ast.Attribute):
        if node.attr in _ATTRIBUTES:
            yield f".{node.attr}() {_ATTRIBUTES[node.attr]}"
        if _dotted(node).endswith("policy.default"):
            yield "email.policy.default stalls on hostile headers"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "OR ROLLBACK" in node.value.upper():
        yield "OR ROLLBACK ends the transaction of others"
    elif isinstance(node, ast.ExceptHandler) and node.type is None:
        yield "a bare except catches the end of the process too"


def _call_faults(node: ast.Call) -> Iterator[str]:
    name = _dotted(node.func)
    if name in _CALLS:
        yield f"{name}() {_CALLS[name]}"
    for keyword in node.keywords:
        if keyword.arg == "shell" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True:
            yield "shell=True lets data become commands"
    if name.endswith("b64decode") and not any(keyword.arg == "validate" for keyword in node.keywords):
        yield "b64decode without validate=True skips what it does not know"
    if name.endswith(("execute", "executemany")) and node.args and isinstance(node.args[0], ast.JoinedStr):
        first = node.args[0].values[0]
        if not (isinstance(first, ast.Constant) and str(first.value).startswith("PRAGMA ")):  # a PRAGMA takes no parameters
            yield "SQL is text of ours, never put together from values"


def test_the_source_holds_nothing_of_that() -> None:
    assert list(_found()) == []


def test_no_sql_file_rolls_back_the_work_of_others() -> None:
    wrong = [str(file.relative_to(PROJECT)) for file in PACKAGE.rglob("*.sql") if "OR ROLLBACK" in file.read_text("utf-8").upper()]
    assert wrong == []


@pytest.mark.parametrize("line", [
    "import pickle", "from html.parser import HTMLParser", "import xml.etree.ElementTree", "eval('1')", "exec('1')", "assert x",
    "subprocess.run('x', shell=True)", "text.splitlines()", "email.policy.default", "from email import policy; policy.default",
    "base64.b64decode(x)", "connection.execute(f'SELECT {x}')", "sql = 'INSERT OR ROLLBACK INTO x'",
    "try:\n    x()\nexcept:\n    pass", "tempfile.mktemp()", "os.system('x')",
])
def test_each_ban_is_seen(line: str) -> None:
    assert [why for node in ast.walk(ast.parse(line)) for why in _faults(node)]

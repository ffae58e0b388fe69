"""docs/rows.md is true: each row has its tests, and each test that is named there names the row."""

from __future__ import annotations

import re

from tests.house.source import PROJECT

_ROW = re.compile(r"\| ((?:DN|AX)-[0-9]{2}) \| [^|]+ \| ((?:`tests/[a-z0-9_/]+\.py`(?:, )?)+) \|")
_ROWS = {f"DN-{number:02}" for number in range(1, 15)} | {
    f"AX-{number:02}" for number in (*range(1, 9), *range(10, 19), *range(20, 26), *range(30, 33))
}


def test_each_row_names_tests_that_name_the_row() -> None:
    seen, wrong = set(), []
    for line in (PROJECT / "docs" / "rows.md").read_text("utf-8").split("\n"):
        if not line.startswith(("| DN", "| AX")):
            continue
        found = _ROW.fullmatch(line)
        assert found is not None, line
        row = found[1]
        seen.add(row)
        kind, _, number = row.partition("-")
        names = re.compile(rf"(?i){kind}[-_ ]?{number}(?![0-9])")
        for file in re.findall(r"`([^`]+)`", found[2]):
            text = (PROJECT / file).read_text("utf-8") if (PROJECT / file).is_file() else ""
            if not names.search(text):
                wrong.append(f"{file} does not name {row}")
    assert wrong == []
    assert seen == _ROWS

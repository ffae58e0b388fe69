"""Drop-in folders, made on the spot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ekiden.base.errors import ConfigError
from ekiden.base.features import discover


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "dropins"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "dropins"]:
        del sys.modules[name]


def test_declarations_come_in_the_order_of_file_names(folder: Path) -> None:
    (folder / "b.py").write_text("THING = 'bee'\n")
    (folder / "a.py").write_text("THINGS = ('ay', 'aye')\n_HIDDEN = 'no'\nlower = 'no'\n")
    (folder / "_private.py").write_text("raise RuntimeError\n")
    assert discover("dropins", str) == ("ay", "aye", "bee")


def test_a_file_that_declares_nothing_stops_the_start(folder: Path) -> None:
    (folder / "a.py").write_text("OTHER = 1\n")
    with pytest.raises(ConfigError, match=r"dropins\.a declares no str"):
        discover("dropins", str)


def test_a_word_can_be_claimed_once(folder: Path) -> None:
    (folder / "a.py").write_text("THING = 'same'\n")
    (folder / "b.py").write_text("THING = 'SAME'\n")
    with pytest.raises(ConfigError, match="both declare same"):
        discover("dropins", str, key=str.lower)

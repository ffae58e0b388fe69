"""A database of which a part was overwritten: the damage is named, and every message that can still be read is saved as it was.

Source: reliability.md §1.3 (C10), F-28.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from tests.crash import store_of_mail

from ekiden.base.errors import Damaged, StoreError
from ekiden.store.database import open_database
from ekiden.store.inspect import inspect
from ekiden.store.salvage import Salvage

PAGE = 16_384


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, bytes]]:
    folder = tmp_path_factory.mktemp("store")
    return folder, store_of_mail.make(folder)


def _copy(store: Path, to: Path) -> Path:
    shutil.copytree(store, to, dirs_exist_ok=True)
    return to / "ekiden.db"


def _saved(path: Path) -> tuple[dict[int, bytes], Salvage]:
    salvage = Salvage(path, path.parent / "blobs")
    found: dict[int, bytes] = {}
    for each in salvage.messages():
        content = each.content[each.content.index(b"Subject: ") :]
        found[int(content[9 : content.index(b"\r\n")])] = content
    return found, salvage


def _judge(path: Path, mail: dict[int, bytes]) -> None:
    """Nothing is changed by salvage, and what is not saved is named as lost."""
    found, salvage = _saved(path)
    for number, content in found.items():
        assert content == mail[number]
    missing = mail.keys() - found.keys()
    findings = [one for one in inspect(path, path.parent / "blobs") if one.is_damage]
    assert not missing or findings, f"{len(missing)} messages are gone and nothing is said"
    assert not missing or salvage.lost
    if not any(one.kind in ("files", "database") for one in findings):
        assert not findings or len(missing) <= len(findings)


def _pages(path: Path) -> int:
    return path.stat().st_size // PAGE


def _overwrite(path: Path, page: int, dice: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(dice.randbytes(PAGE) if page % 2 else bytes(PAGE))


def test_of_a_whole_store_everything_is_saved_with_its_place(tmp_path: Path, store: tuple[Path, dict[int, bytes]]) -> None:
    path = _copy(store[0], tmp_path)
    found, salvage = _saved(path)
    assert found == store[1]
    assert salvage.lost == []
    places = [(one.account, one.mailbox, one.recipients) for one in Salvage(path, tmp_path / "blobs").messages()]
    in_sent = len([number for number in range(1, store_of_mail.SMALL + store_of_mail.LARGE + 1) if number % 3 == 0])
    assert places.count(("alice", "Sent", ())) == in_sent
    assert places.count(("", "", ("x@two.test",))) == store_of_mail.QUEUED


@pytest.mark.parametrize("part", range(12))
def test_one_page_that_was_overwritten_costs_what_was_on_it(tmp_path: Path, store: tuple[Path, dict[int, bytes]], part: int) -> None:
    path = _copy(store[0], tmp_path)
    dice = random.Random(part)
    page = dice.randrange(1, _pages(path))
    _overwrite(path, page, dice)
    _judge(path, store[1])


@pytest.mark.nightly
def test_any_page_that_was_overwritten_costs_what_was_on_it(tmp_path: Path, store: tuple[Path, dict[int, bytes]]) -> None:
    for page in range(_pages(store[0] / "ekiden.db")):
        path = _copy(store[0], tmp_path / str(page))
        _overwrite(path, page, random.Random(page))
        _judge(path, store[1])
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("nul", [False, True], ids=["cut", "nul"])
def test_a_database_that_ends_early_is_refused_and_salvaged(
    tmp_path: Path, store: tuple[Path, dict[int, bytes]], keep: float, nul: bool
) -> None:
    path = _copy(store[0], tmp_path)
    size = path.stat().st_size
    at = int(_pages(path) * keep) * PAGE
    os.truncate(path, at)
    if nul:
        os.truncate(path, size)  # the tail reads as NUL
    else:
        with pytest.raises(StoreError):
            open_database(f"sqlite://{path}")
    _judge(path, store[1])
    assert [one for one in inspect(path, tmp_path / "blobs") if one.is_damage]


def test_without_its_first_page_the_files_are_still_saved(tmp_path: Path, store: tuple[Path, dict[int, bytes]]) -> None:
    path = _copy(store[0], tmp_path)
    _overwrite(path, 0, random.Random(1))
    with pytest.raises(Damaged):
        open_database(f"sqlite://{path}")
    found, salvage = _saved(path)
    assert len(found) == store_of_mail.LARGE
    assert {one.kind for one in salvage.lost} <= {"files", "database"}
    assert salvage.lost

"""The directory of a server: what is refused, and that one server alone has it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from ekiden.app import data_dir
from ekiden.app.data_dir import DEVELOPMENT_MARK, lock_data_dir, outwait_former, prepare_data_dir, who_serves
from ekiden.base.errors import ConfigError


def test_a_directory_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o755)
    with pytest.raises(ConfigError, match="open to others"):
        prepare_data_dir(tmp_path / "data", development=False)


def test_a_missing_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    prepare_data_dir(tmp_path / "a" / "data", development=False)
    assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700


def test_a_directory_of_the_development_mode_is_not_served_from(tmp_path: Path) -> None:
    path = tmp_path / "data"
    prepare_data_dir(path, development=True)
    (path / DEVELOPMENT_MARK).touch()
    prepare_data_dir(path, development=True)
    with pytest.raises(ConfigError, match="development mode"):
        prepare_data_dir(path, development=False)


def test_two_servers_do_not_share_a_directory(tmp_path: Path) -> None:
    held = lock_data_dir(tmp_path)
    with pytest.raises(ConfigError, match="another Ekiden"):
        lock_data_dir(tmp_path)
    assert who_serves(tmp_path) == os.getpid()
    os.close(held)
    assert who_serves(tmp_path) is None
    os.close(lock_data_dir(tmp_path))


def test_nobody_serves_from_a_directory_that_was_never_served_from(tmp_path: Path) -> None:
    assert who_serves(tmp_path) is None


def test_a_former_process_is_waited_for_and_one_that_does_not_end_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = outwait_former(tmp_path)
    threading.Timer(0.3, os.close, [held]).start()
    began = time.monotonic()
    again = outwait_former(tmp_path)
    assert time.monotonic() - began > 0.25
    monkeypatch.setattr(data_dir, "_FORMER_S", 0.1)
    with pytest.raises(ConfigError, match="former Ekiden"):
        outwait_former(tmp_path)
    os.close(again)
    os.close(outwait_former(tmp_path))

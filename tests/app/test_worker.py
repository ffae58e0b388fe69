"""The production start: what it refuses, and that it ends in good order."""

from __future__ import annotations

import os
import smtplib
import socket
from pathlib import Path

import pytest
from tests.app.serving import free_port, serving

from ekiden.app.config import load
from ekiden.app.worker import DEVELOPMENT_MARK, bind_all, lock_data_dir, prepare_data_dir
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
    os.close(held)
    os.close(lock_data_dir(tmp_path))


def test_every_address_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "e.toml").write_text(
            f'hostname = "mx.test"\n[listeners]\nmx = ["127.0.0.1:{port}", "127.0.0.1:{free_port()}", "192.0.2.1:25"]\n'
        )
        with pytest.raises(ConfigError) as caught:
            bind_all(load(tmp_path / "e.toml", {}))
    assert [str(port) in caught.value.problems[0], "192.0.2.1:25" in caught.value.problems[1]] == [True, True]


def test_a_served_message_and_an_orderly_end(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = smtplib.SMTP("127.0.0.1", server.port, timeout=20)
        client.sendmail("a@remote.test", ["alice@local.test"], b"Subject: x\r\n\r\nx\r\n")
        client.quit()
        assert server.stop() == 0, server.log()
    assert "event='stopped'" in server.log()
    assert "Traceback" not in server.log()

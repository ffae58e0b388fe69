"""Processes under a supervisor: what they are handed, and what they say when it is no good."""

from __future__ import annotations

import os
import selectors
import time
from pathlib import Path

from tests.peers.process import free_port

from ekiden.app.config import load, show
from ekiden.app.data_dir import outwait_former
from ekiden.app.roles import parts
from ekiden.app.sockets import open_all
from ekiden.app.staff import Member, start


def _start(folder: Path, more: str = "") -> Member:
    (folder / "data").mkdir(mode=0o700)
    (folder / "e.toml").write_text(
        f'hostname = "mx.test"\ndata_dir = "data"\nprocesses = 2\n{more}\n[listeners]\nmx = ["127.0.0.1:{free_port()}"]\n'
    )
    config = load(folder / "e.toml", {})
    (folder / "effective.toml").write_text(show(config))
    holder = open_all(config, 2, reuse_port=True)
    lock = outwait_former(folder / "data")
    member = start(parts(2)[0], config, holder, folder / "effective.toml", 0, fresh=True, lock=lock)
    os.close(lock)
    holder.close_except()
    return member


def _told(member: Member, wanted: str) -> object:
    selector = selectors.DefaultSelector()
    selector.register(member.channel, selectors.EVENT_READ)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        selector.select(1.0)
        for kind, payload in member.channel.hear():
            if kind == wanted:
                return payload
    raise AssertionError(f"it never said {wanted}")


def test_a_process_says_that_it_serves_that_it_lives_and_retires_when_told(tmp_path: Path) -> None:
    member = _start(tmp_path)
    assert _told(member, "serving") is None
    assert _told(member, "alive") is None
    assert member.channel.tell("retire", None)
    assert member.process.wait(20) == 0
    member.channel.close()


def test_who_serves_next_waits_for_each_process_that_was_started(tmp_path: Path) -> None:
    member = _start(tmp_path)
    assert _told(member, "serving") is None
    began = time.monotonic()
    member.channel.close()  # as where its supervisor has died: it ends by itself
    os.close(outwait_former(tmp_path / "data"))
    assert time.monotonic() - began < 4.0
    assert member.process.wait(1) is not None


def test_a_process_that_cannot_begin_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    member = _start(tmp_path, 'policies = ["broken.py:judge"]')
    problems = _told(member, "failed")
    assert isinstance(problems, list)
    assert "broken.py: ZeroDivisionError" in problems[0]
    assert member.process.wait(20) == 1
    member.channel.close()

"""What of a new configuration is taken over while the server runs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ekiden.app.config import Config, Limits
from ekiden.app.reload import Outcomes, changes, outcome_file, read_outcome, what_can_change


def test_what_only_a_start_can_change_stays_and_is_named() -> None:
    told: list[tuple[str, dict[str, object]]] = []
    old = Config(hostname="mx.test", data_dir="/one", processes=2)
    new = replace(old, data_dir="/two", user="somebody", processes=1, limits=Limits(recipients=200))
    taken = what_can_change(old, new, lambda event, **more: told.append((event, more)))
    assert taken == replace(old, limits=Limits(recipients=200))
    assert told == [("needs-restart", {"level": "warning", "settings": "data_dir, user, processes"})]


def test_another_number_of_processes_is_taken_over() -> None:
    old = Config(hostname="mx.test", processes=2)
    new = replace(old, processes=4)
    assert what_can_change(old, new, lambda event, **more: None) == new


def test_what_differs_is_told_as_it_would_be_written() -> None:
    old = Config(hostname="mx.test", domains=("a.test",))
    new = replace(old, domains=("a.test", "b.test"), user="somebody", limits=Limits(recipients=200))
    assert changes(old, old) == []
    assert sorted(changes(old, new)) == [
        ("domains", '["a.test"]', '["a.test", "b.test"]'), ("limits.recipients", "1000", "200"), ("user", "", '"somebody"'),
    ]


def test_what_became_of_a_reload_is_written_down_for_others(tmp_path: Path) -> None:
    pid = os.getpid()
    assert read_outcome(tmp_path, pid) is None
    pen = Outcomes(tmp_path)
    first = read_outcome(tmp_path, pid)
    assert first is not None
    assert (first.begun, first.ended) == (0, 0)
    assert read_outcome(tmp_path, pid + 1) is None  # of a former server
    old = Config(hostname="mx.test")
    pen.begun()
    pen.failed(["ekiden.toml:3: no"])
    failed = read_outcome(tmp_path, pid)
    assert failed is not None
    assert (failed.begun, failed.ended, failed.problems) == (1, 1, ["ekiden.toml:3: no"])
    pen.begun()
    pen.done(old, replace(old, limits=Limits(recipients=200)), replace(old, user="somebody"))
    done = read_outcome(tmp_path, pid)
    assert done is not None
    assert (done.begun, done.ended, done.problems) == (2, 2, [])
    assert (done.changed, done.needs_restart) == ([("limits.recipients", "1000", "200")], ["user"])
    for broken in ("", "{", "[]", f'{{"pid": {pid}}}'):
        outcome_file(tmp_path).write_text(broken)
        assert read_outcome(tmp_path, pid) is None

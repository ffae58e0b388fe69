"""What of a new configuration is taken over while the server runs."""

from __future__ import annotations

from dataclasses import replace

from ekiden.app.config import Config, Limits
from ekiden.app.reload import what_can_change


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

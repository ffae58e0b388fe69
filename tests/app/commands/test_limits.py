"""ekiden limits."""

from __future__ import annotations

from tests.app.calls import Calls


def test_every_limit_is_listed_with_its_range(ekiden: Calls) -> None:
    found = {one["key"]: one for one in ekiden.json("limits")}
    assert found["limits.message_size"]["value"] == "50MB"
    assert found["limits.message_size"]["range"] == "64KiB to 2GB"
    assert found["queue.retry"]["value"] == "5m, 10m, 20m, 40m, 1h, 2h, 3h, 4h"


def test_changed_limits_are_found(ekiden: Calls) -> None:
    assert ekiden.out("limits", "--changed") == "every limit has its default\n"
    ekiden.file.write_text(ekiden.file.read_text() + "[limits]\nrecipients = 200\n")
    (changed,) = ekiden.json("limits", "--changed")
    assert (changed["key"], changed["value"], changed["default"]) == ("limits.recipients", "200", "1000")

"""The reference page of the settings."""

from __future__ import annotations

from ekiden.app.config import settings
from ekiden.app.settings_page import page, range_of


def test_every_setting_is_on_the_page() -> None:
    told = page()
    for entry in settings():
        assert (f"[{'.'.join(entry.place)}]" if entry.kind in ("table", "tables") else f"| `{entry.place[-1]}` |") in told


def test_ranges_are_told_in_the_unit_of_the_setting() -> None:
    ranges = {".".join(entry.place): range_of(entry) for entry in settings()}
    assert ranges["limits.smtp_command"] == "512B to 64KiB"
    assert ranges["queue.delay_notice"] == "0s to 30d"
    assert ranges["log.format"] == "text, json"
    assert ranges["outbound.port"] == "1 to 65535"
    assert ranges["hostname"] == ""

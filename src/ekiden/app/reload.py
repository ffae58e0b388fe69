"""What of a new configuration a running server can take over.

Source: reliability.md F-57.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ekiden.app.config import Config
from ekiden.policy.stage import Log

Reread = Callable[[], Config]
"""Reads the configuration again, from where it came at the start. Raises ConfigError with file, line and key."""


def what_can_change(old: Config, new: Config, log: Log) -> Config:
    """The new configuration, with the old values of what only a new start can change; the log names what that concerns."""
    kept: list[str] = []
    if new.data_dir != old.data_dir:
        kept.append("data_dir")
    if new.user != old.user:
        kept.append("user")
    if new.store != old.store:
        kept.append("store")
    if (new.processes == 1) != (old.processes == 1):
        kept.append("processes")
        new = replace(new, processes=old.processes)
    if kept:
        log("needs-restart", level="warning", settings=", ".join(kept))
    return replace(new, data_dir=old.data_dir, user=old.user, store=old.store)

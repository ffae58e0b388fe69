"""Another configuration while we serve: what of it can be taken over, and what became of that, for whoever asked for it.

The server writes down each reload when it begins and when it has ended, in a file of the data directory. `ekiden reload` reads
there what became of its own: the first that began after it had looked.
Source: reliability.md F-57.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ekiden.app.config import Config, show
from ekiden.policy.stage import Log

Reread = Callable[[], Config]
"""Reads the configuration again, from where it came at the start. Raises ConfigError with file, line and key."""

_FILE_BYTES = 1_048_576


def what_can_change(old: Config, new: Config, log: Log) -> Config:
    """The new configuration, with the old values of what only a new start can change; the log names what that concerns."""
    taken, kept = _split(old, new)
    if kept:
        log("needs-restart", level="warning", settings=", ".join(kept))
    return taken


def needs_restart(old: Config, new: Config) -> list[str]:
    """The settings that differ and that only a new start can change."""
    return _split(old, new)[1]


def changes(old: Config, new: Config) -> list[tuple[str, str, str]]:
    """What differs: setting, former value, value; as the configuration would be written, "" where it is not set."""
    before, after = dict(_leaves(tomllib.loads(show(old)))), dict(_leaves(tomllib.loads(show(new))))
    names = [*before, *(name for name in after if name not in before)]
    return [(name, before.get(name, ""), after.get(name, "")) for name in names if before.get(name) != after.get(name)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reloads of one process so far, by their numbers, and what became of the last that ended.

    problems: why it failed; none: it did not. changed: setting, former value, value. needs_restart: settings that stayed as they were.
    """

    pid: int
    begun: int = 0
    ended: int = 0
    problems: list[str] = field(default_factory=list)
    changed: list[tuple[str, str, str]] = field(default_factory=list)
    needs_restart: list[str] = field(default_factory=list)


class Outcomes:
    """The pen of the process that serves; take it up once signals are heard. What cannot be written down stops nothing."""

    def __init__(self, data_dir: Path) -> None:
        self._file = outcome_file(data_dir)
        self._now = Outcome(os.getpid())
        self._write()

    def begun(self) -> None:
        """A reload begins; it reads the configuration after this."""
        self._now = replace(self._now, begun=self._now.begun + 1)
        self._write()

    def failed(self, problems: Sequence[str]) -> None:
        """It has ended and changed nothing."""
        self._end(Outcome(self._now.pid, problems=list(problems) or ["unknown"]))

    def done(self, old: Config, new: Config, wanted: Config) -> None:
        """The new configuration is in force. wanted: as it was read."""
        self._end(Outcome(self._now.pid, changed=changes(old, new), needs_restart=needs_restart(old, wanted)))

    def _end(self, outcome: Outcome) -> None:
        self._now = replace(outcome, begun=self._now.begun, ended=self._now.begun)
        self._write()

    def _write(self) -> None:
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            temporary = self._file.with_suffix(".new")
            temporary.write_text(json.dumps(asdict(self._now), ensure_ascii=False), "utf-8")
            temporary.replace(self._file)


def outcome_file(data_dir: Path) -> Path:
    """Where it is written down."""
    return data_dir / "run" / "reload.json"


def read_outcome(data_dir: Path, pid: int) -> Outcome | None:
    """What the process has written down; None as long as it does not hear of reloads."""
    try:
        with outcome_file(data_dir).open("r", encoding="utf-8") as file:
            said = json.loads(file.read(_FILE_BYTES))
    except (OSError, ValueError):
        return None
    match said:
        case {
            "pid": int(of), "begun": int(begun), "ended": int(ended), "problems": list(problems), "changed": list(changed),
            "needs_restart": list(kept),
        } if of == pid:
            triples = [(str(one[0]), str(one[1]), str(one[2])) for one in changed if isinstance(one, list) and len(one) == 3]
            return Outcome(pid, begun, ended, [str(one) for one in problems], triples, [str(one) for one in kept])
    return None


def _split(old: Config, new: Config) -> tuple[Config, list[str]]:
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
    return replace(new, data_dir=old.data_dir, user=old.user, store=old.store), kept


def _leaves(table: dict[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name, json.dumps(value, ensure_ascii=False, default=str)

"""docs/failpoints.md: every failpoint, where it lies and what may happen there, printed from the source.

    python -m tests.house.failpoints_page > docs/failpoints.md
"""

from __future__ import annotations

import re
import sys

from tests.house.source import PACKAGE, PROJECT

from ekiden.base import failpoints

_PLACED = re.compile(r'(?:failpoints\.hit|self\._pass)\("(K[0-9a-z-]+)"\)')
_ACTION = re.compile(r'^ +case "([a-z]+)":$', re.MULTILINE)

ACTIONS = {
    "kill": "The process is gone at once (SIGKILL to itself): nothing is flushed, closed or told. The disk keeps what it has.",
    "stop": "The process stands still (SIGSTOP), the thread at the point not one step further; the test decides who dies.",
    "sleep": "`sleep:SECONDS`: whoever is there waits; all other work of that thread with it.",
    "eio": "What the code meets where the disk is broken: the error of SQLite within a transaction, `StoreError` elsewhere.",
    "enospc": "The same for a full disk: `StorageFull` outside a transaction.",
    "raise": "A bug: `RuntimeError`, which nothing expects.",
}

_HEAD = """# Failpoints

A failpoint is a named place between two steps that a crash may fall between. At the place stands
`if failpoints.armed: failpoints.hit("K9")`, which costs 0.04 µs while nothing is armed; nothing is armed unless the environment says so.
They are for tests of this program. No operator needs them, and a server that has one armed is not to be trusted with mail.

    EKIDEN_FAILPOINT=NAME:NTH:ACTION ekiden serve --config ekiden.toml

The NTH pass of the point NAME does ACTION, once; every other pass goes through. One point can be armed, once for each process. A name or
an action that does not exist ends the start with a message that lists the names. With `processes` above 1 the point is armed in the
first process of the doors (`door-1`) and in `delivery`, in their first life only: a successor is to live.

For example, `K9:2:kill`: the second message is committed, its sender never hears 250, and the next start has to have it once. How tests
use them: `tests/crash/faults.py` (`Failing`), `tests/crash/test_failpoints.py` (one process), `tests/crash/test_kill_points.py` (several,
and who of them dies), `tests/crash/test_kill_upkeep.py`. What is promised stands in [promises.md](promises.md), which fault is tried
where in [faults.md](faults.md).

A new point is a line in `POINTS` of `src/ekiden/base/failpoints.py`, its place in the code, a test that dies there, and this page, printed
by `python -m tests.house.failpoints_page > docs/failpoints.md`; tests see to all four.

## Points

K20 is kept for Sieve. "Transaction" marks points where the store is at work: what fails there
undoes all of it.

| point | what has happened there | where | |
|---|---|---|---|
"""


def places() -> dict[str, list[str]]:
    """The files in which each point lies."""
    found: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.name == "failpoints.py":
            continue
        for name in dict.fromkeys(_PLACED.findall(file.read_text("utf-8"))):
            found.setdefault(name, []).append(str(file.relative_to(PROJECT)))
    return found


def actions() -> set[str]:
    """What the program can do at a point; "raise" is what it does where nothing else is said."""
    return {*_ACTION.findall((PACKAGE / "app" / "failing.py").read_text("utf-8")), "raise"}


def page() -> str:
    """The whole page."""
    lines = [_HEAD.rstrip("\n")]
    where = places()
    for name, what in failpoints.POINTS.items():
        files = ", ".join(f"`{file}`" for file in where[name])
        lines.append(f"| {name} | {what} | {files} | {'transaction' if name in failpoints.IN_TRANSACTION else ''} |")
    lines += ["", "## Actions", "", "| action | what happens |", "|---|---|"]
    lines += [f"| `{name}` | {what} |" for name, what in ACTIONS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())

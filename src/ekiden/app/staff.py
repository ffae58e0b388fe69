"""The processes under a supervisor: how one is started, and what it does first.

A process inherits its own sockets and nobody else's; everything else that it needs to know is one JSON document in its
environment.
Source: house.md §11.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from ekiden.app import failing
from ekiden.app.channel import Channel
from ekiden.app.config import Config, load
from ekiden.app.roles import Part, Role
from ekiden.app.sockets import Holder
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import ConfigError, EkidenError
from ekiden.net.binding import endpoint_of

_HANDED_DOWN = "EKIDEN_WORKER"


class NotStarted(Exception):
    """The system gives us no process now."""


@dataclass(slots=True)
class Member:
    """One process. heard_at: its last sign of life. problems: what it said as it failed. killed_at: when it was found to hang."""

    part: Part
    process: subprocess.Popen[bytes]
    channel: Channel
    started_at: float
    heard_at: float
    serves: bool = False
    problems: list[str] = field(default_factory=list)
    killed_at: float | None = None
    retires_until: float = 0.0


def start(part: Part, config: Config, holder: Holder, effective: Path, generation: int, *, fresh: bool, lock: int) -> Member:
    """Start a process for a part. effective: the file of its configuration. lock: what outwait_former() gave. Raises NotStarted."""
    mine = holder.share(part.door, config.processes) if part.door is not None else {}
    numbers = {name: [sock.fileno() for sock in group] for name, group in mine.items()}
    ours, theirs = Channel.pair()
    handed = {
        "config": str(effective),
        "name": part.name,
        "roles": part.roles.value,
        "node": part.node(generation),
        "fresh": fresh,
        "sockets": numbers,
        "own": [(endpoint.host, endpoint.port) for endpoint in map(endpoint_of, holder.all())],
        "channel": theirs.fileno(),
        "lock": lock,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EKIDEN_")}
    if fresh and failing.VARIABLE in os.environ:  # its successor is to live
        environment[failing.VARIABLE] = os.environ[failing.VARIABLE]
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "ekiden.app.staff"],
            pass_fds=[*(number for group in numbers.values() for number in group), theirs.fileno(), lock],
            env={**environment, _HANDED_DOWN: json.dumps(handed)},
        )
    except OSError as error:
        ours.close()
        raise NotStarted(f"{error.strerror}") from error
    finally:
        theirs.close()
    now = time.monotonic()
    return Member(part, process, ours, now, now)


def work(handed: str) -> int:
    """What such a process does: serve with what was handed down, until its supervisor says otherwise or is gone."""
    import faulthandler

    from ekiden.app.worker import Given, run_loop, serve  # all that a server needs, which a supervisor does not

    faulthandler.enable()
    given = json.loads(handed)
    channel = Channel(socket.socket(fileno=int(given["channel"])))
    sockets = {name: [socket.socket(fileno=number) for number in numbers] for name, numbers in given["sockets"].items()}
    for sock in [sock for group in sockets.values() for sock in group]:
        sock.set_inheritable(False)
        sock.setblocking(False)  # before dup() makes it block: our predecessor accepts on the same one, and would wait there for ever
        sock.setblocking(False)  # as it is: a copy of one that believes to block would make it block in all processes that share it
    os.set_inheritable(int(given["lock"]), False)  # open until we end: who serves here next waits for that
    own = [Endpoint(host, port) for host, port in given["own"]]
    try:
        failing.arm(os.environ)
        config = load(Path(given["config"]), {})
        process = Given(
            Holder({}, sockets),
            roles=Role(given["roles"]),
            sockets=sockets,
            own=own,
            node=int(given["node"]),
            fresh=bool(given["fresh"]),
            channel=channel,
        )
        return run_loop(serve(config, process))
    except EkidenError as error:
        problems = error.problems if isinstance(error, ConfigError) else [str(error)]
        channel.tell("failed", [problem[:1000] for problem in problems[:50]])
        print("\n".join(problems), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(work(os.environ.pop(_HANDED_DOWN)))

"""ekiden reload: have the running server read its configuration again, and say what came of it."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path

import click

from ekiden.app.commandline import Cli, Failure, common, printable
from ekiden.app.reload import Outcome, read_outcome
from ekiden.app.running import NobodyServes, NotOurs, Running, running_on


@click.command("reload")
@click.option("--wait", "wait_s", type=click.FloatRange(0.1, 3600), default=110.0, show_default=True)
@common
def COMMAND(cli: Cli, wait_s: float) -> None:
    """Have the running server read its configuration again, and wait for what comes of it."""
    data = Path(cli.config().data_dir)  # what is wrong with the file itself is said here, and the server not asked
    cli.become_owner(data)
    try:
        with running_on(data) as server:
            outcome = _outcome(data, server, wait_s)
            if outcome is None:
                key = "reload.server-ended" if server.has_ended() else "reload.no-answer"
                raise Failure(cli.text(key, pid=server.pid, seconds=f"{wait_s:g}"))
    except NobodyServes:
        raise Failure(cli.text("cli.nobody-serves", path=data)) from None
    except NotOurs:
        raise Failure(cli.text("cli.not-our-server", path=data)) from None
    if outcome.problems:
        raise Failure("\n".join([cli.text("reload.failed"), *outcome.problems]))
    cli.give(asdict(outcome), lambda: printable("\n".join(_told(cli, outcome))))


def _outcome(data: Path, server: Running, wait_s: float) -> Outcome | None:
    """Ask, and wait for what comes of it."""
    if not server.wait_for(lambda: read_outcome(data, server.pid) is not None, wait_s):
        return None  # it has not begun to hear signals, and one might end it
    former = read_outcome(data, server.pid)
    mine = former.begun + 1 if former is not None else 1  # whatever begins from now on reads what is there now
    server.signal(signal.SIGHUP)

    def is_over() -> bool:
        now = read_outcome(data, server.pid)
        return now is not None and now.ended >= mine

    return read_outcome(data, server.pid) if server.wait_for(is_over, wait_s) else None


def _told(cli: Cli, outcome: Outcome) -> list[str]:
    lines = [cli.text("reload.done" if outcome.changed else "reload.done-same")]
    for name, before, now in outcome.changed:
        lines.append(f"  {name}: {before or '-'} → {now or '-'}")
    if outcome.needs_restart:
        lines.append(cli.text("reload.needs-restart", settings=", ".join(outcome.needs_restart)))
    return lines

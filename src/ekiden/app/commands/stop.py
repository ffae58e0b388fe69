"""ekiden stop: end the running server in good order."""

from __future__ import annotations

import signal

import click

from ekiden.app.commandline import Cli, Failure, common
from ekiden.app.running import NobodyServes, NotOurs, running_on


@click.command("stop")
@click.option("--wait", "wait_s", type=click.FloatRange(0.1, 3600), default=60.0, show_default=True)
@common
def COMMAND(cli: Cli, wait_s: float) -> None:
    """End the running server in good order, and wait until it has ended."""
    data = cli.data_dir()
    cli.become_owner(data)
    try:
        with running_on(data) as server:
            server.signal(signal.SIGTERM)
            if not server.has_ended(wait_s):
                raise Failure(cli.text("stop.still-there", pid=server.pid, seconds=f"{wait_s:g}"))
            cli.give({"pid": server.pid}, lambda: cli.text("stop.done", pid=server.pid))
    except NobodyServes:
        raise Failure(cli.text("cli.nobody-serves", path=data)) from None
    except NotOurs:
        raise Failure(cli.text("cli.not-our-server", path=data)) from None

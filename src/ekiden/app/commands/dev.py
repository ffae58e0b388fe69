"""ekiden dev: a whole mail server on this machine to try things out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from ekiden.app.commandline import Cli, common


@click.command("dev")
@click.option("--data", type=click.Path(path_type=Path), default=Path("dev-data"))
@click.option("--once", is_flag=True)
@common
def COMMAND(cli: Cli, data: Path, once: bool) -> None:
    """Serve on loopback with the accounts alice and bob, a DNS zone of its own, and a first message on its way."""
    from ekiden.app.dev import main  # the testing package and every door: only this command needs them

    settings = data / "ekiden.toml"  # its own configuration says the language, once it is there
    sys.exit(main(data, once, replace(cli, file=settings).lang))

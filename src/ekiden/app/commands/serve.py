"""ekiden serve: the production start."""

from __future__ import annotations

import os
import sys

import click

from ekiden.app import config as configuration
from ekiden.app.commandline import Cli, common


@click.command("serve")
@common
def COMMAND(cli: Cli) -> None:
    """Open the doors of the configuration and serve until SIGTERM or Ctrl-C."""
    config = cli.config()
    path, lang = cli.config_path(), cli.lang
    from ekiden.app import failing
    from ekiden.app.supervisor import serve  # sockets, TLS and the store: only this command needs them all

    failing.arm(os.environ)
    sys.exit(serve(config, lambda: configuration.load(path, os.environ, lang)))

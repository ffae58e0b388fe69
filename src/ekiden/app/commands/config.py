"""ekiden config: check a configuration, show what is in effect, print the reference page."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ekiden.app import config as configuration
from ekiden.app.commandline import Cli, Failure, common, printable


@click.group("config")
def COMMAND() -> None:
    """Check or show the configuration."""


@COMMAND.command()
@common
def check(cli: Cli) -> None:
    """Name everything that is wrong with the configuration, with file, line and key."""
    config = cli.config()
    unused = configuration.unknown_variables(os.environ, cli.lang)
    for line in unused:
        click.echo(printable(line), err=True)
    problems = [cli.text("config.no-such-file", name=name, path=path) for name, path in _files(config) if not os.path.isfile(path)]
    if problems:
        raise Failure("\n".join(problems))
    if config.tls.certificate is not None and config.tls.key is not None:
        from ekiden.net.tls import Certificate  # only where there is one to look at

        Certificate(Path(config.tls.certificate), Path(config.tls.key))
    cli.give({"ok": True, "unused_variables": unused}, lambda: cli.text("cli.config-ok", path=cli.config_path() or "EKIDEN_…"))


@COMMAND.command()
@common
def show(cli: Cli) -> None:
    """Print the configuration that is in effect, defaults and environment included."""
    config = cli.config()
    cli.give(configuration.as_table(config), lambda: configuration.show(config))


@COMMAND.command()
def docs() -> None:
    """Print the reference page of all settings, docs/settings.md."""
    from ekiden.app.settings_page import page

    click.echo(page(), nl=False)


def _files(config: configuration.Config) -> list[tuple[str, str]]:
    """The files that the configuration names, with their keys."""
    named = {
        "tls.certificate": config.tls.certificate,
        "tls.key": config.tls.key,
        "outbound.smarthost.password_file": config.outbound.smarthost.password_file,
    }
    found = [(key, path) for key, path in named.items() if path is not None]
    return found + [("policies", name.rpartition(":")[0]) for name in config.policies if not name.startswith("builtin:")]

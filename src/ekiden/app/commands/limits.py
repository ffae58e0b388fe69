"""ekiden limits: how much of anything is taken, and how long anybody may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import click

from ekiden.app import config as configuration
from ekiden.app.commandline import Cli, Misuse, common
from ekiden.app.settings_page import range_of


@click.command("limits")
@click.option("--changed", is_flag=True)
@common
def COMMAND(cli: Cli, changed: bool) -> None:
    """List every limit and deadline with its value, its default and its range."""
    try:
        table = configuration.as_table(cli.config())
    except Misuse:  # there is no configuration; a wrong one fails
        table = configuration.as_table(configuration.Config(hostname="localhost"))
    rows = []
    for entry in configuration.settings():
        if entry.place[0] not in ("limits", "timeouts", "queue") or entry.kind in ("table", "tables"):
            continue
        value = _value(table, entry.place)
        default = entry.default.replace('"', "").strip("[]")
        shown = ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)
        if not changed or shown != default:
            rows.append((".".join(entry.place), shown, default, range_of(entry), entry.setting.doc))
    cli.table(("key", "value", "default", "range", "what"), rows, "cli.no-limits-changed")


def _value(table: Mapping[str, object], place: tuple[str, ...]) -> object:
    value: object = table
    for key in place:
        value = cast("Mapping[str, object]", value)[key]  # as_table() nests dictionaries along each place
    return value

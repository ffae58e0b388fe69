"""ekiden rfc: where in the source an RFC is obeyed, and which tests hold it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

import ekiden
from ekiden.app.commandline import Cli, Misuse, common
from ekiden.base.settings import nearest

_PACKAGE = Path(ekiden.__file__).parent
_PROJECT = _PACKAGE.parents[1]
_NUMBER = re.compile(r"(?:RFC ?)?([0-9]{1,5})", re.IGNORECASE)
_CITED = re.compile(r"RFC ([0-9]{1,5})(?: §([0-9A-Z][0-9.]*[0-9A-Z]|[0-9A-Z]))?")


@dataclass(frozen=True, slots=True)
class Citation:
    """One place that names an RFC. file: from the project's folder. section: "" where none is named."""

    file: str
    line: int
    section: str
    text: str


@click.command("rfc")
@click.argument("number", required=False)
@click.option("--section")
@common
def COMMAND(cli: Cli, number: str | None, section: str | None) -> None:
    """Say where RFC NUMBER is obeyed: file, line and test. Without NUMBER, list all RFCs that are followed."""
    known = table()
    if number is None:
        cli.table(("rfc", "title", "status", "where"), [(key, *row) for key, row in known.items()], "cli.no-rfcs")
        return
    wanted = _NUMBER.fullmatch(number.strip(" "))
    if wanted is None or (wanted[1] not in known and not list(citations(wanted[1]))):
        near = nearest(number, list(known), count=3)
        raise Misuse(cli.text("cli.no-rfc-near" if near else "cli.no-rfc", number=number, nearest=", ".join(near)))
    rfc = wanted[1]
    found = [one for one in citations(rfc) if section is None or one.section == section or one.section.startswith(section + ".")]
    title, status, where = known.get(rfc, ("", "", ""))
    if cli.as_json:
        value = {"rfc": rfc, "title": title, "status": status, "where": where, "places": [asdict(one) for one in found]}
        cli.give(value, str)
        return
    click.echo(f"RFC {rfc}  {title}  ({status})".replace("  ()", ""))
    if where:
        click.echo(cli.text("cli.rfc-where", where=where))
    click.echo()
    cli.table(("place", "section", "text"), [(f"{one.file}:{one.line}", one.section, one.text) for one in found], "cli.no-places")


def table() -> dict[str, tuple[str, str, str]]:
    """docs/rfcs.tsv: number to title, status and where; empty where only the package is installed."""
    file = _PROJECT / "docs" / "rfcs.tsv"
    if not file.is_file():
        return {}
    rows = (line.split("\t") for line in file.read_text("utf-8").split("\n") if line and not line.startswith("#"))
    return {number: (title, status, where) for number, title, status, where in rows}


def citations(number: str) -> Iterator[Citation]:
    """Every place of the source and the tests that names an RFC, by file."""
    for folder in (_PACKAGE, _PROJECT / "tests"):
        for file in sorted((*folder.rglob("*.py"), *folder.rglob("*.sql"))):
            shown = str(file.relative_to(_PROJECT))
            for count, line in enumerate(file.read_text("utf-8").split("\n"), 1):
                for cited in _CITED.finditer(line):
                    if cited[1] == number:
                        yield Citation(shown, count, cited[2] or "", line.strip(" ")[:120])

"""ekiden alias: addresses that stand for others."""

from __future__ import annotations

import click

from ekiden.app.commandline import Cli, Misuse, common
from ekiden.app.commands.account import check_domain
from ekiden.base.settings import nearest
from ekiden.store import accounts
from ekiden.store.database import Tx


@click.group("alias")
def COMMAND() -> None:
    """Add, list and remove aliases, and set who gets mail for unknown addresses."""


@COMMAND.command()
@click.argument("address")
@click.argument("targets", nargs=-1, required=True)
@common
def add(cli: Cli, address: str, targets: tuple[str, ...]) -> None:
    """Mail for ADDRESS goes to each of TARGETS, here or elsewhere."""
    config = cli.config()

    def work(tx: Tx) -> None:
        check_domain(cli, config, tx, address)
        accounts.add_alias(tx, address, targets)

    cli.write(work)
    cli.say("cli.alias-added", address=address, targets=", ".join(targets))


@COMMAND.command("list")
@common
def list_all(cli: Cli) -> None:
    """List all aliases with their targets."""
    cli.table(("address", "target"), cli.read(accounts.list_aliases), "cli.no-aliases")


@COMMAND.command()
@click.argument("address")
@click.argument("target", required=False)
@common
def remove(cli: Cli, address: str, target: str | None) -> None:
    """Remove the alias ADDRESS, or only one TARGET of it."""

    def work(tx: Tx) -> None:
        if accounts.remove_alias(tx, address, target) == 0:
            near = nearest(address, sorted({one for one, _ in accounts.list_aliases(tx)}))
            raise Misuse(cli.text("cli.no-alias-near" if near else "cli.no-alias", address=address, nearest="".join(near)))

    cli.write(work)
    cli.say("cli.alias-removed", address=address)

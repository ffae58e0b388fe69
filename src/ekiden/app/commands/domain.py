"""ekiden domain: the domains whose mail is for us, and what has to stand in the DNS for them."""

from __future__ import annotations

import click

from ekiden.app.clock import SystemClock
from ekiden.app.commandline import Cli, Failure, Misuse, common
from ekiden.app.publish import Record, records_of, zone_text
from ekiden.base.errors import BadValue
from ekiden.mail.address import parse_domain
from ekiden.store import accounts
from ekiden.store.database import Conflict, Tx


@click.group("domain")
def COMMAND() -> None:
    """Add and list domains, and print the DNS records that they need."""


@COMMAND.command()
@click.argument("name")
@common
def add(cli: Cli, name: str) -> None:
    """Take mail for the domain NAME; a running server does so at once."""
    domain = domain_of(cli, name)
    if domain in cli.config().domains:
        raise Failure(cli.text("cli.domain-in-config", name=domain))
    try:
        cli.write(lambda tx: accounts.add_domain(tx, domain, SystemClock().now()))
    except Conflict:
        raise Failure(cli.text("cli.domain-exists", name=domain)) from None
    cli.say("cli.domain-added", name=domain)


@COMMAND.command("list")
@common
def list_all(cli: Cli) -> None:
    """List all domains, those of the configuration and those that were added."""
    config = cli.config()
    stored = cli.read(accounts.list_domains)
    catch_all = {one.name: one.catch_all for one in stored}
    rows = [(name, cli.text("cli.from-config"), catch_all.get(name)) for name in config.domains]
    rows += [(one.name, cli.text("cli.from-store"), one.catch_all) for one in stored if one.name not in config.domains]
    cli.table(("name", "from", "catch-all"), rows, "cli.no-domains")


@COMMAND.command("catch-all")
@click.argument("name")
@click.argument("address", required=False)
@common
def catch_all(cli: Cli, name: str, address: str | None) -> None:
    """Mail for unknown addresses of the domain NAME goes to ADDRESS; without ADDRESS it is refused."""
    domain = domain_of(cli, name)
    config = cli.config()

    def work(tx: Tx) -> None:
        if domain not in config.domains and not accounts.domain_exists(tx, domain):
            raise Misuse(cli.text("cli.not-our-domain", domain=domain))
        accounts.set_catch_all(tx, domain, address, SystemClock().now())

    cli.write(work)
    cli.say("cli.catch-all-set" if address else "cli.catch-all-off", name=domain, address=address or "")


@COMMAND.command()
@click.argument("name")
@common
def remove(cli: Cli, name: str) -> None:
    """Take no more mail for the domain NAME; accounts and their mail stay."""
    domain = domain_of(cli, name)
    if domain in cli.config().domains:
        raise Failure(cli.text("cli.domain-in-config", name=domain))
    if not cli.write(lambda tx: accounts.remove_domain(tx, domain)):
        raise Misuse(cli.text("cli.not-our-domain", domain=domain))
    cli.say("cli.domain-removed", name=domain)


@COMMAND.command()
@click.argument("name")
@common
def records(cli: Cli, name: str) -> None:
    """Print every DNS record to publish for the domain NAME, as lines of a zone file."""
    domain = domain_of(cli, name)
    found = records_of(cli.config(), domain)
    cli.give([_plain(cli, record) for record in found], lambda: zone_text(found, cli.lang))


def domain_of(cli: Cli, name: str) -> str:
    """A domain as the store knows it, in A-labels; else the command fails."""
    try:
        return parse_domain(name).ascii
    except BadValue:
        raise Misuse(cli.text("config.wrong", expected=cli.text("config.expects-domain"), found=repr(name))) from None


def _plain(cli: Cli, record: Record) -> dict[str, object]:
    return {"name": record.name, "type": record.type, "value": record.value, "why": cli.text(record.why), "note": record.note}

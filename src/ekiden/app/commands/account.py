"""ekiden account: the people who have mail here."""

from __future__ import annotations

import click

from ekiden.app.clock import SystemClock
from ekiden.app.commandline import Cli, Failure, Misuse, ask_password, common
from ekiden.app.config import Config
from ekiden.base.errors import BadValue
from ekiden.base.settings import nearest
from ekiden.base.units import parse_size, size_text
from ekiden.mail.address import Domain, parse_mailbox
from ekiden.sasl.passwords import Passwords, prepare_password
from ekiden.store import accounts
from ekiden.store.accounts import Account
from ekiden.store.database import Conflict, Tx


@click.group("account")
def COMMAND() -> None:
    """Add, list and remove accounts, and set their passwords."""


@COMMAND.command()
@click.argument("name")
@click.option("--address", "addresses", multiple=True)
@click.option("--quota")
@click.option("--password-stdin", is_flag=True)
@common
def add(cli: Cli, name: str, addresses: tuple[str, ...], quota: str | None, password_stdin: bool) -> None:
    """Make an account NAME: a name to sign in with, or the address itself."""
    config = cli.config()
    mine = addresses or ((name,) if "@" in name else ())
    if not mine:
        raise Misuse(cli.text("cli.account-needs-address", name=name))
    size = _size(cli, quota)
    stored = _hashed(cli, password_stdin)

    def work(tx: Tx) -> Account:
        for address in mine:
            check_domain(cli, config, tx, address)
        return accounts.create_account(tx, name, mine, stored, SystemClock().now(), size)

    try:
        made = cli.write(work)
    except Conflict:
        raise Failure(cli.text("cli.account-exists", name=name)) from None
    cli.give(_plain(made), lambda: cli.text("cli.account-added", name=made.name, addresses=", ".join(made.addresses)))


@COMMAND.command("list")
@common
def list_all(cli: Cli) -> None:
    """List all accounts."""
    found = cli.read(accounts.list_accounts)
    rows = [(one.name, list(one.addresses), _quota(one), cli.text("cli.yes") if one.disabled else "") for one in found]
    if cli.as_json:
        cli.give([_plain(one) for one in found], str)
    else:
        cli.table(("name", "addresses", "quota", "disabled"), rows, "cli.no-accounts")


@COMMAND.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True)
@common
def passwd(cli: Cli, name: str, password_stdin: bool) -> None:
    """Give the account NAME a new password."""
    cli.read(lambda tx: named(cli, tx, name))  # before anybody types a password for nobody
    stored = _hashed(cli, password_stdin)
    cli.write(lambda tx: accounts.set_password(tx, named(cli, tx, name).id, stored))
    cli.say("cli.password-set", name=name)


@COMMAND.command()
@click.argument("name")
@common
def disable(cli: Cli, name: str) -> None:
    """Let nobody sign in to NAME and take no mail for it; its mail stays."""
    cli.write(lambda tx: accounts.set_disabled(tx, named(cli, tx, name).id, True))
    cli.say("cli.account-disabled", name=name)


@COMMAND.command()
@click.argument("name")
@common
def enable(cli: Cli, name: str) -> None:
    """Undo `account disable`."""
    cli.write(lambda tx: accounts.set_disabled(tx, named(cli, tx, name).id, False))
    cli.say("cli.account-enabled", name=name)


@COMMAND.command()
@click.argument("name")
@click.option("--yes", is_flag=True)
@common
def remove(cli: Cli, name: str, yes: bool) -> None:
    """Remove the account NAME with all its mail."""
    cli.read(lambda tx: named(cli, tx, name))
    if not yes and not click.confirm(cli.text("cli.account-remove-sure", name=name), err=True):
        raise Failure(cli.text("cli.nothing-done"))
    cli.write(lambda tx: accounts.remove_account(tx, named(cli, tx, name).id))
    cli.say("cli.account-removed", name=name)


def named(cli: Cli, tx: Tx, name: str) -> Account:
    """The account with a name or an address; else the command fails and names the nearest."""
    found = accounts.account_named(tx, name)
    if found is None:
        near = nearest(name, [one.name for one in accounts.list_accounts(tx)])
        raise Misuse(cli.text("cli.no-account-near" if near else "cli.no-account", name=name, nearest="".join(near)))
    return found


def check_domain(cli: Cli, config: Config, tx: Tx, address: str) -> None:
    """Mail for the address must come to us; else the command fails and says what to do."""
    host = parse_mailbox(address).host
    if not isinstance(host, Domain):
        raise Misuse(cli.text("cli.address-needs-domain", address=address))
    if host.ascii not in config.domains and not accounts.domain_exists(tx, host.ascii):
        raise Misuse(cli.text("cli.not-our-domain", domain=host.ascii))


def _hashed(cli: Cli, from_stdin: bool) -> str:
    password = ask_password(cli, from_stdin=from_stdin)
    if not password:
        raise Misuse(cli.text("cli.password-empty"))
    return Passwords().hash(prepare_password(password.encode("utf-8", "surrogateescape")))


def _size(cli: Cli, given: str | None) -> int | None:
    try:
        return parse_size(given) if given is not None else None
    except BadValue:
        raise Misuse(cli.text("config.wrong", expected=cli.text("config.expects-size"), found=given)) from None


def _quota(account: Account) -> str:
    return "" if account.quota_bytes is None else size_text(account.quota_bytes)


def _plain(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "addresses": list(account.addresses),
        "quota_bytes": account.quota_bytes,
        "disabled": account.disabled,
    }

"""ekiden dkim: the keys that outgoing mail is signed with.

A key is made, its record is published in the DNS, then it is put to use: in two steps, because a signature that nobody can verify
is worse than none. The former key signs no more, but its record has to stay until what it has signed has been delivered.
Source: RFC 6376 §3.6.1, §B.3; docs/adr/0012-signing-and-forwarding.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from ekiden.app import failing
from ekiden.app.clock import SystemClock
from ekiden.app.commandline import Cli, Failure, Misuse, common, run
from ekiden.app.commands.domain import domain_of
from ekiden.app.config import Config
from ekiden.app.data_dir import vault_of
from ekiden.base.clock import Millis, moment
from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii
from ekiden.net.resolver import DnsResolver, ResolverSettings, system_servers
from ekiden.services.keys import (
    ALGORITHMS,
    KeysUnusable,
    Looked,
    Published,
    look_up,
    make_pair,
    purpose_of,
    record_name,
    record_text,
    zone_value,
)
from ekiden.store import accounts, dkim_keys, srs
from ekiden.store.changes import KEYS, Changes
from ekiden.store.database import Conflict, Tx
from ekiden.store.dkim_keys import DkimKey, KeyStatus

VERIFICATION_MS = 7 * 86_400_000
"""How long the record of a former key stays: longer than mail waits in any usual queue."""
_NODES = 2_000_000  # far above the numbers of processes that serve
_LABEL = 63


@click.group("dkim")
def COMMAND() -> None:
    """Make, publish, rotate and remove the keys that outgoing mail is signed with."""


@COMMAND.command()
@click.argument("domain")
@click.option("--selector")
@click.option("--algorithm", type=click.Choice([*ALGORITHMS, "both"]), default="both")
@common
def new(cli: Cli, domain: str, selector: str | None, algorithm: str) -> None:
    """Make keys for DOMAIN and print the records to publish; `dkim activate` puts them to use."""
    name = domain_of(cli, domain)
    _give_records(cli, _make(cli, name, selector, ALGORITHMS if algorithm == "both" else (algorithm,)), "cli.dkim-made")


@COMMAND.command("list")
@common
def list_all(cli: Cli) -> None:
    """List the keys of all domains."""
    rows = [
        (key.domain, key.selector, key.algorithm, cli.text(f"cli.dkim-{key.status.value}"), _since(cli, key.changed_at))
        for key in cli.read(dkim_keys.everything)
    ]
    cli.table(("domain", "selector", "algorithm", "status", "since"), rows, "cli.dkim-no-keys")


@COMMAND.command()
@click.argument("domain")
@click.argument("selector", required=False)
@common
def show(cli: Cli, domain: str, selector: str | None) -> None:
    """Print the records of the keys of DOMAIN, or of one SELECTOR, also as lines of a zone file."""
    _give_records(cli, _chosen(cli, cli.read(dkim_keys.everything), domain_of(cli, domain), selector))


@COMMAND.command()
@click.argument("domain")
@click.option("--selector")
@common
def rotate(cli: Cli, domain: str, selector: str | None) -> None:
    """Make a successor for each key that signs for DOMAIN; the former ones sign until `dkim activate`."""
    name = domain_of(cli, domain)
    known = cli.read(lambda tx: dkim_keys.of_domain(tx, name))
    begun = [key.selector for key in known if key.status is KeyStatus.NEW]
    if begun:
        raise Failure(cli.text("cli.dkim-rotation-begun", domain=name, selectors=", ".join(begun)))
    algorithms = tuple(dict.fromkeys(key.algorithm for key in known if key.status is KeyStatus.ACTIVE))
    if not algorithms:
        raise Failure(cli.text("cli.dkim-none-active", domain=name))
    _give_records(cli, _make(cli, name, selector, algorithms), "cli.dkim-made")


@COMMAND.command()
@click.argument("domain")
@click.argument("selector", required=False)
@click.option("--force", is_flag=True)
@common
def activate(cli: Cli, domain: str, selector: str | None, force: bool) -> None:
    """Sign with the new keys of DOMAIN, or with one SELECTOR, once the DNS shows their records; former ones sign no more."""
    name = domain_of(cli, domain)
    found = _chosen(cli, cli.read(dkim_keys.everything), name, selector)
    chosen = found if selector is not None else [key for key in found if key.status is KeyStatus.NEW]
    if not chosen:
        raise Failure(cli.text("cli.dkim-none-new", domain=name))
    if len({key.algorithm for key in chosen}) < len(chosen):
        raise Misuse(cli.text("cli.dkim-which", selectors=", ".join(key.selector for key in chosen)))
    if not force:
        _see_published(cli, chosen)
    vault = vault_of(cli.config())
    for key in chosen:  # what cannot be opened would stop all mail of the domain
        vault.open(key.sealed, purpose_of(key.domain, key.selector, key.algorithm))
    now = SystemClock().now()

    def work(tx: Tx) -> list[DkimKey]:
        there = {key.selector for key in dkim_keys.of_domain(tx, name)}
        if gone := [key.selector for key in chosen if key.selector not in there]:
            raise Failure(cli.text("cli.dkim-no-key", domain=name, selector=", ".join(gone)))
        return dkim_keys.activate(tx, chosen, now)

    failing.arm(os.environ)
    replaced = _change(cli, work)
    cli.say("cli.dkim-activated", domain=name, selectors=", ".join(key.selector for key in chosen))
    if replaced:
        until = _since(cli, Millis(now + VERIFICATION_MS))
        cli.say("cli.dkim-replaced", domain=name, selectors=", ".join(key.selector for key in replaced), until=until)


@COMMAND.command()
@click.argument("domain")
@click.argument("selector", required=False)
@click.option("--force", is_flag=True)
@common
def retire(cli: Cli, domain: str, selector: str | None, force: bool) -> None:
    """Delete the former keys of DOMAIN, or one SELECTOR, whose time is over, and say which records may go."""
    name, now = domain_of(cli, domain), SystemClock().now()
    found = [key for key in _chosen(cli, cli.read(dkim_keys.everything), name, selector) if key.status is KeyStatus.OLD]
    if not found:
        raise Failure(cli.text("cli.dkim-none-old", domain=name))
    due = [key for key in found if force or now - key.changed_at >= VERIFICATION_MS]
    if not due:
        last = min(key.changed_at for key in found)
        raise Failure(cli.text("cli.dkim-too-early", domain=name, until=_since(cli, Millis(last + VERIFICATION_MS))))
    _change(cli, lambda tx: dkim_keys.remove(tx, due))
    cli.say("cli.dkim-retired", names=", ".join(f"{record_name(key)}." for key in due))


@COMMAND.command()
@click.argument("domain")
@click.argument("selector")
@click.option("--yes", is_flag=True)
@common
def remove(cli: Cli, domain: str, selector: str, yes: bool) -> None:
    """Delete the key SELECTOR of DOMAIN, whatever it is used for."""
    name = domain_of(cli, domain)
    (key,) = _chosen(cli, cli.read(dkim_keys.everything), name, selector)
    question = cli.text("cli.dkim-remove-sure", domain=name, selector=key.selector, status=cli.text(f"cli.dkim-{key.status.value}"))
    if not yes and not click.confirm(question, err=True):
        raise Failure(cli.text("cli.nothing-done"))
    _change(cli, lambda tx: dkim_keys.remove(tx, [key]))
    cli.say("cli.dkim-retired", names=f"{record_name(key)}.")


# ---- making ----------------------------------------------------------------------------------------


def _make(cli: Cli, domain: str, selector: str | None, algorithms: Sequence[str]) -> list[DkimKey]:
    """New keys in the store, one for each algorithm, in one transaction."""
    config, now = cli.config(), SystemClock().now()
    stem = moment(now).strftime("%Y%m%d") if selector is None else _selector(cli, selector)
    with cli.store(create=True) as database:

        def known(tx: Tx) -> tuple[bool, bool, set[str]]:
            keys = dkim_keys.everything(tx)
            is_ours = domain in config.domains or accounts.domain_exists(tx, domain) or domain == config.hostname
            return is_ours, bool(keys or srs.secrets(tx)), {key.selector for key in keys if key.domain == domain}

        is_ours, has_secrets, taken = run(database.read(known))
        if not is_ours:
            raise Misuse(cli.text("cli.not-our-domain", domain=domain))
        vault = vault_of(config)
        if not has_secrets:
            vault.make()
        elif not vault.is_there():
            raise KeysUnusable(cli.text("cli.dkim-no-master"))
        made = []
        for algorithm in algorithms:
            name = _free(stem, algorithm, taken) if selector is None or len(algorithms) > 1 else stem
            public, private = make_pair(algorithm)
            sealed = vault.seal(private, purpose_of(domain, name, algorithm))
            made.append(DkimKey(domain, name, algorithm, KeyStatus.NEW, public, sealed, now))
        try:
            run(database.write(lambda tx: dkim_keys.add(tx, made)))
        except Conflict:
            raise Failure(cli.text("cli.dkim-taken", domain=domain, selector=", ".join(key.selector for key in made))) from None
    return made


def _selector(cli: Cli, given: str) -> str:
    """A selector in lower case: one label, or several with dots (RFC 6376 §3.1)."""
    try:
        name = to_ascii(given)
    except BadValue:
        name = ""
    if not name or len(name) > _LABEL - len("-ed25519"):
        raise Misuse(cli.text("cli.dkim-bad-selector", selector=given))
    return name


def _free(stem: str, algorithm: str, taken: set[str]) -> str:
    """A selector that the domain does not have yet: its record may still be in caches."""
    for number in range(1, len(taken) + 2):
        name = f"{stem}-{algorithm}" if number == 1 else f"{stem}-{number}-{algorithm}"
        if name not in taken:
            return name
    return f"{stem}-{len(taken) + 2}-{algorithm}"


# ---- what the others share -------------------------------------------------------------------------


def _chosen(cli: Cli, keys: Sequence[DkimKey], domain: str, selector: str | None) -> list[DkimKey]:
    """The keys of a domain, or the one with the selector; else the command fails."""
    found = [key for key in keys if key.domain == domain]
    if not found:
        raise Misuse(cli.text("cli.dkim-no-keys-of", domain=domain))
    if selector is None:
        return found
    for key in found:
        if key.selector == selector.lower():
            return [key]
    raise Misuse(cli.text("cli.dkim-no-key", domain=domain, selector=selector))


def _change(cli: Cli, work: Callable[[Tx], list[DkimKey] | int | None]) -> list[DkimKey]:
    """Do it and tell a server that runs, so that it looks at once and not only in a while."""
    changed = cli.write(work)
    run_dir = Path(cli.config().data_dir) / "run"
    if run_dir.is_dir():
        run(_poke(run_dir))
    return changed if isinstance(changed, list) else []


async def _poke(run_dir: Path) -> None:
    changes = Changes(run_dir, _NODES + os.getpid())
    changes.poke(KEYS)
    changes.close()


def _see_published(cli: Cli, keys: Sequence[DkimKey]) -> None:
    """The DNS shows the record of each key; else the command fails and says what it shows."""
    wrong = []
    for key, looked in zip(keys, run(_ask(cli.config(), keys)), strict=True):
        if looked.published is not Published.RIGHT:
            wrong.append(cli.text(f"cli.dkim-dns-{looked.published.value}", name=f"{record_name(key)}.", found=looked.found[:200]))
    if wrong:
        raise Failure("\n".join([*wrong, cli.text("cli.dkim-not-published")]))


async def _ask(config: Config, keys: Sequence[DkimKey]) -> list[Looked]:
    resolver = DnsResolver(ResolverSettings(config.dns.servers or system_servers()), SystemClock())
    try:
        return [await resolver.resolve(look_up(key)) for key in keys]
    finally:
        await resolver.close()


def _since(cli: Cli, at: Millis) -> object:
    return at if cli.as_json else moment(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def _give_records(cli: Cli, keys: Sequence[DkimKey], then: str | None = None) -> None:
    """What to publish: as values for a web form, and as lines of a zone file."""
    values = [
        {
            "domain": key.domain,
            "selector": key.selector,
            "algorithm": key.algorithm,
            "status": key.status.value,
            "name": record_name(key),
            "type": "TXT",
            "value": record_text(key),
            "zone": f"{record_name(key)}.  IN  TXT  {zone_value(record_text(key))}",
        }
        for key in keys
    ]

    def shown() -> str:
        lines = []
        for key, value in zip(keys, values, strict=True):
            status = cli.text(f"cli.dkim-{key.status.value}")
            lines.append(f"; {key.domain}, {key.selector}, {key.algorithm}: {status}")
            lines.append(f"; {cli.text('cli.dkim-as-text', name=value['name'])}")
            lines += [f";   {value['value']}", str(value["zone"]), ""]
        if then is not None:
            lines.append(f"; {cli.text(then, domain=keys[0].domain)}")
        return "\n".join(lines)

    cli.give(values, shown)

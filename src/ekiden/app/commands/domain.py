"""ekiden domain: the domains whose mail is for us, and what has to stand in the DNS for them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import click

from ekiden.app.clock import SystemClock
from ekiden.app.commandline import Cli, Failure, Misuse, common, printable, run
from ekiden.app.config import Config
from ekiden.app.publish import Record, records_of, zone_text
from ekiden.base.errors import BadValue
from ekiden.dns.mx import Ip, is_public
from ekiden.mail.address import parse_domain
from ekiden.net.resolver import DnsResolver, ResolverSettings, system_servers
from ekiden.services.domain_check import Check, Ours, Verdict, check_domain
from ekiden.services.timeline import columns, pad
from ekiden.store import accounts, dkim_keys
from ekiden.store.database import Conflict, Tx
from ekiden.store.dkim_keys import DkimKey

_QUESTIONS = 500  # of one finding: the bounds of its own lookups are lower
_SECONDS = 60.0


@click.group("domain")
def COMMAND() -> None:
    """Add and list domains, print the DNS records that they need, and check them."""


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
    config = cli.config()
    _, keys = _known(cli, config)
    found = records_of(config, domain, [key for key in keys if key.domain == domain])
    cli.give([_plain(cli, record) for record in found], lambda: zone_text(found, cli.lang))


@COMMAND.command()
@click.argument("name", required=False)
@common
def check(cli: Cli, name: str | None) -> None:
    """Ask the DNS whether all records of the domain NAME, or of all domains, are right; status 1 if one is not."""
    config = cli.config()
    stored, keys = _known(cli, config)
    ours = [*config.domains, *(each for each in stored if each not in config.domains)]
    domains = [domain_of(cli, name)] if name is not None else ours
    if not domains:
        raise Misuse(cli.text("cli.no-domains"))
    asked = [_ours(config, domain, keys, is_ours=domain in ours) for domain in domains]
    found = run(_ask(config, asked))
    if cli.as_json:
        cli.give([_finding(cli, config, one, each) for one, checks in zip(asked, found, strict=True) for each in checks], str)
    else:
        for one, checks in zip(asked, found, strict=True):
            _tell(cli, config, one, checks)
    wrong = sum(not each.is_right for checks in found for each in checks)
    if wrong:
        raise Failure(cli.text("domain-check.wrong", number=wrong))
    cli.say("domain-check.right")


async def _ask(config: Config, asked: Sequence[Ours]) -> list[tuple[Check, ...]]:
    servers = config.dns.servers or system_servers()
    clock = SystemClock()
    resolver = DnsResolver(ResolverSettings(servers, message_s=_SECONDS, most_questions=_QUESTIONS), clock)
    try:
        return [await check_domain(resolver, one, clock) for one in asked]
    finally:
        await resolver.close()


def _known(cli: Cli, config: Config) -> tuple[list[str], list[DkimKey]]:
    """Domains and keys of the store; none where there is no store yet: the DNS can be made ready before the server."""

    def work(tx: Tx) -> tuple[list[str], list[DkimKey]]:
        return [one.name for one in accounts.list_domains(tx)], dkim_keys.everything(tx)

    scheme, _, path = config.store_url.partition("://")
    if scheme == "sqlite" and not Path(path).exists():
        return [], []
    return cli.read(work)


def _ours(config: Config, domain: str, keys: Sequence[DkimKey], *, is_ours: bool) -> Ours:
    server = config.outbound.smarthost.server
    return Ours(
        domain,
        config.hostname,
        known=_public([each.host for each in config.listeners.mx] + list(config.outbound.source_addresses)),
        senders=_public(config.outbound.source_addresses),
        smarthost=server.host if server is not None else "",
        keys=tuple(key for key in keys if key.domain == domain),
        is_ours=is_ours,
    )


def _public(hosts: Sequence[str]) -> tuple[Ip, ...]:
    """Those of the addresses that others can reach; names, private addresses and "all addresses" tell nothing."""
    found: list[Ip] = []
    for host in hosts:
        try:
            address = ip_address(host)
        except ValueError:
            continue
        if is_public(address):
            found.append(address)
    return tuple(dict.fromkeys(found))


def _to_publish(config: Config, ours: Ours, check: Check) -> list[str]:
    """Lines of a zone file that would make it right; none where it is right, or where only a person can tell."""
    if check.verdict in (Verdict.GOOD, Verdict.UNKNOWN):
        return []
    if check.subject == "ptr":
        return [f"{check.name}. IN PTR {ours.hostname}."]
    kinds = ("A", "AAAA") if check.subject == "address" else (check.kind,)
    wanted = [record for record in records_of(config, ours.domain, ours.keys) if record.name == f"{check.name}." and record.type in kinds]
    return [f"{record.name} IN {record.type} {record.value}" for record in wanted if not record.note]


def _finding(cli: Cli, config: Config, ours: Ours, check: Check) -> dict[str, object]:
    return {
        "domain": ours.domain,
        "subject": check.subject,
        "verdict": check.verdict.value,
        "name": check.name,
        "type": check.kind,
        "found": list(check.found),
        "says": _sentence(cli, check),
        "publish": _to_publish(config, ours, check),
    }


def _sentence(cli: Cli, check: Check) -> str:
    fields = dict(check.fields)
    if "status" in fields:
        fields["status"] = cli.text(f"domain-check.status-{fields['status']}")
    return cli.text(f"domain-check.{check.says}", **fields)


def _tell(cli: Cli, config: Config, ours: Ours, checks: Sequence[Check]) -> None:
    """The findings for people: a mark, what it is about, the sentence, what stands there, and what to publish."""
    marks = {verdict: cli.text(f"domain-check.mark-{verdict.value}") for verdict in Verdict}
    subjects = {check.subject: cli.text(f"domain-check.subject-{check.subject}") for check in checks}
    mark_width, width = max(map(columns, marks.values())), max(map(columns, subjects.values()))
    lines = [f"{ours.domain}"]
    for check in checks:
        lines.append(f"  {pad(marks[check.verdict], mark_width)}  {pad(subjects[check.subject], width)}  {_sentence(cli, check)}")
        lead = " " * (6 + mark_width + width)
        if check.verdict is not Verdict.GOOD:
            lines += [lead + cli.text("domain-check.found", record=record) for record in check.found[:10]]
        lines += [lead + cli.text("domain-check.publish", record=record) for record in _to_publish(config, ours, check)]
    click.echo(printable("\n".join([*lines, ""])))


def domain_of(cli: Cli, name: str) -> str:
    """A domain as the store knows it, in A-labels; else the command fails."""
    try:
        return parse_domain(name).ascii
    except BadValue:
        raise Misuse(cli.text("config.wrong", expected=cli.text("config.expects-domain"), found=repr(name))) from None


def _plain(cli: Cli, record: Record) -> dict[str, object]:
    return {"name": record.name, "type": record.type, "value": record.value, "why": cli.text(record.why), "note": record.note}

"""ekiden check: what this installation consists of, found in the drop-in folders, whether it can run, and whether its mail is whole."""

from __future__ import annotations

import importlib
import pkgutil
import platform
import re
import shutil
import ssl
from dataclasses import asdict, dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import IO

import click

from ekiden import __version__
from ekiden.app.commandline import Cli, Failure, Misuse, common, plain, printable
from ekiden.base.endpoint import parse_ip
from ekiden.base.errors import BadValue, ConfigError, StoreError
from ekiden.mail.address import Ip, parse_mailbox
from ekiden.mail.headers import parse_headers
from ekiden.services import timeline
from ekiden.store import damage, evidence
from ekiden.store.database import Tx
from ekiden.store.inspect import Finding, inspect

FOLDERS = {
    "smtp-extension": "ekiden.smtp.extensions",
    "sasl-mechanism": "ekiden.sasl.mechanisms",
    "policy": "ekiden.policy.builtin",
    "imap-command": "ekiden.servers.imap.commands",
    "store-engine": "ekiden.store.engines",
    "blob-store": "ekiden.store.blobs",
    "command": "ekiden.app.commands",
}
"""The drop-in folders, by what lies in them."""

_RFC = re.compile(r"RFC [0-9]{1,5}")
_MBOX = re.compile(rb"\AFrom [^\r\n]*\r?\n")  # how mail programs that keep many messages in a file begin each


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a drop-in folder. error: why it cannot be imported, or ""."""

    kind: str
    name: str
    what: str
    rfcs: str
    file: str
    error: str = ""


@click.group("check", invoke_without_command=True)
@common
def COMMAND(cli: Cli) -> None:
    """List extensions, mechanisms, policies, commands and engines that were found, and the versions that they stand on."""
    if click.get_current_context().invoked_subcommand is None:
        _list(cli)


@COMMAND.command()
@click.option("--accept", is_flag=True)
@common
def store(cli: Cli, accept: bool) -> None:
    """Compare everything in the store with what it should be, beside a running server or without one."""
    path, blobs = sqlite_store(cli)
    cli.become_owner()
    found: list[Finding] = []
    try:
        found += inspect(path, blobs)
    except StoreError as error:
        raise Failure(str(error)) from error
    harmed = [one for one in found if one.is_damage]
    heads = ("kind", "what", "because")
    cli.table(heads, [(cli.text(f"cli.found-{one.kind}"), one.what, one.because) for one in found], "cli.store-whole")
    if not harmed:
        evidence.forget_note(path)
        cli.write(_forget_damage)
        return
    if accept:
        evidence.accept(path)
        cli.say("cli.store-accepted")
    else:
        raise Failure(cli.text("cli.store-damaged", number=len(harmed)))


def _forget_damage(tx: Tx) -> None:
    for one in damage.noted(tx):
        damage.forget(tx, one.message)


@COMMAND.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--from-ip", required=True)
@click.option("--helo", default="")
@click.option("--mail-from")
@common
def mail(cli: Cli, file: IO[bytes], from_ip: str, helo: str, mail_from: str | None) -> None:
    """Explain step by step whether a message comes from whom it says, as if it came in now."""
    from ekiden.app.check_mail import Claim, check_mail  # what other checks do without

    claim = Claim(_ip(cli, from_ip), helo, _sender(cli, mail_from))
    raw = _MBOX.sub(b"", file.read(), count=1)
    if claim.sender is None and not parse_headers(raw).count(b"return-path"):
        click.echo(f"ekiden: {cli.text('cli.mail-no-sender')}", err=True)
    told = check_mail(cli.config(), raw, claim)

    def shown() -> str:
        if told.refusal is not None:
            end = cli.text("cli.mail-refused", reply=told.refusal.text)
        else:
            end = cli.text("cli.mail-filed", folder=told.folder) if told.folder else cli.text("cli.mail-taken")
        return printable(timeline.render(told.steps, cli.lang, max(60, shutil.get_terminal_size((120, 24)).columns)) + end)

    reply = told.refusal.text if told.refusal is not None else None
    cli.give({"steps": timeline.as_json(told.steps, cli.lang), "refusal": reply, "folder": told.folder or None}, shown)


def _ip(cli: Cli, written: str) -> Ip:
    """The address as the door sees it: no brackets, no zone, IPv4 in IPv6 is IPv4."""
    try:
        ip = ip_address(parse_ip(written.removeprefix("[").removesuffix("]").removeprefix("IPv6:").partition("%")[0]))
    except BadValue:
        raise Misuse(cli.text("config.wrong", expected=cli.text("config.expects-ip"), found=repr(written))) from None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def _sender(cli: Cli, written: str | None) -> str | None:
    """The reverse path without its brackets, "" for the null one; None where none was given."""
    if written is None:
        return None
    plain = written.strip().removeprefix("<").removesuffix(">")
    try:
        if plain:
            parse_mailbox(plain)
    except BadValue:
        raise Misuse(cli.text("config.wrong", expected=cli.text("config.expects-address"), found=repr(written))) from None
    return plain


def sqlite_store(cli: Cli) -> tuple[Path, Path]:
    """The database and the folder of blobs; other engines have tools of their own for this."""
    config = cli.config()
    scheme, _, rest = config.store_url.partition("://")
    if scheme != "sqlite":
        raise Failure(cli.text("cli.only-sqlite", scheme=scheme))
    return Path(rest), Path(config.data_dir) / "blobs"


def _list(cli: Cli) -> None:
    found = found_files()
    told = versions()
    if cli.as_json:
        cli.give({"versions": told, "found": [asdict(one) for one in found]}, str)
    else:
        click.echo(plain(told))
        click.echo()
        rows = [(cli.text(f"cli.kind-{one.kind}"), one.name, one.what or one.error, one.rfcs, one.file) for one in found]
        cli.table(("kind", "name", "what", "rfc", "file"), rows, "cli.no-words")
    broken = [f"{one.file}: {one.error}" for one in found if one.error]
    if broken:
        raise Failure("\n".join(broken))


def found_files() -> list[Found]:
    """Every file of every drop-in folder, imported once to see that it can be."""
    found: list[Found] = []
    for kind, package in FOLDERS.items():
        folder = importlib.import_module(package)
        for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda info: info.name):
            if not info.name.startswith("_"):
                found.append(_look_at(kind, f"{package}.{info.name}"))
    return found


def versions() -> dict[str, object]:
    """What we run on."""
    import apsw  # the SQLite of the store, not that of the standard library

    return {
        "ekiden": __version__,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "tls": ssl.OPENSSL_VERSION,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _look_at(kind: str, module_name: str) -> Found:
    name = module_name.rpartition(".")[2]
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ConfigError, SyntaxError) as error:
        return Found(kind, name, "", "", module_name.replace(".", "/") + ".py", f"{type(error).__name__}: {error}")
    told = module.__doc__ or ""
    rfcs = ", ".join(dict.fromkeys(_RFC.findall(told)))
    file = Path(module.__file__ or "")
    return Found(kind, name, told.partition("\n")[0], rfcs, "/".join(file.parts[file.parts.index("ekiden") :]))

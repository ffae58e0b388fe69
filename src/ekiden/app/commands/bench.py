"""ekiden bench: a load on one's own server, with what it took."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import click

from ekiden.app.commandline import Cli, Failure, Misuse, as_json, common, print_table, printable
from ekiden.app.load.engine import HEADER, Load, LoadFailed, Plan, Result, auth_plain
from ekiden.app.load.progress import Board, LineBoard, RichBoard
from ekiden.app.load.talker import Manner
from ekiden.base.endpoint import Endpoint, parse_endpoint
from ekiden.base.errors import BadValue
from ekiden.base.units import parse_duration, parse_size
from ekiden.mail.address import format_path, parse_mailbox
from ekiden.net.tls import client_context

_DOORS = ("mx", "submission", "submissions")
_TLS = {"mx": "none", "submission": "starttls", "submissions": "implicit"}
_SHOW_S = 0.25
_TOLD = ("connect", "mail", "dot", "whole")


@dataclass(frozen=True, slots=True)
class _Target:
    endpoint: Endpoint
    door: str


@click.command("bench")
@click.option("--to", "recipients", multiple=True, required=True)
@click.option("--from", "sender")
@click.option("--server")
@click.option("--door", type=click.Choice(_DOORS), default="mx", show_default=True)
@click.option("--tls", type=click.Choice(["auto", "starttls", "implicit", "none"]), default="auto")
@click.option("--user")
@click.option("--password-file", type=click.Path(path_type=Path))
@click.option("--sessions", type=click.IntRange(1, 5000), default=10, show_default=True)
@click.option("--messages", type=click.IntRange(1, 100_000_000))
@click.option("--seconds")
@click.option("--rate", type=click.FloatRange(0.01, 1_000_000))
@click.option("--size", default="4KiB", show_default=True)
@click.option("--per-connection", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option("--yes-this-server-is-mine", "is_mine", is_flag=True)
@common
def COMMAND(
    cli: Cli, recipients: tuple[str, ...], sender: str | None, server: str | None, door: str, tls: str, user: str | None,
    password_file: Path | None, sessions: int, messages: int | None, seconds: str | None, rate: float | None, size: str,
    per_connection: int, is_mine: bool,
) -> None:
    """Put a load on a server of one's own and tell how fast it was."""
    target = _target(cli, server, door)
    _see_that_it_is_ours(cli, target.endpoint, is_mine)
    run = secrets.token_hex(6)
    plan = Plan(
        server=target.endpoint,
        manner=_manner(cli, target, tls, user, password_file),
        run=run,
        sender=_address(sender if sender is not None else user if user is not None and "@" in user else ""),
        recipients=tuple(_address(recipient) for recipient in recipients),
        sessions=sessions,
        messages=messages if messages is not None or seconds is not None else 1000,
        seconds=_seconds(seconds),
        rate=rate,
        size=_size(size),
        per_connection=per_connection,
    )
    if not cli.as_json:
        click.echo(cli.text("bench.begins", server=target.endpoint, run=run), err=True)
    try:
        result = _in_loop(plan, None if cli.as_json else _board(cli, plan))
    except LoadFailed as error:
        raise Failure(cli.text("bench.failed", server=target.endpoint, because=printable(str(error)))) from error
    if cli.as_json:
        click.echo(as_json(as_table(plan, result)))
    else:
        _show(cli, plan, result)
    if result.refused or result.lost:
        sys.exit(1)


# ---- what was asked for ------------------------------------------------------------------------------


def _target(cli: Cli, server: str | None, door: str) -> _Target:
    if server is not None:
        try:
            return _Target(parse_endpoint(server, {"mx": 25, "submission": 587, "submissions": 465}[door]), door)
        except BadValue:
            wrong = cli.text("config.wrong", expected=cli.text("config.expects-server"), found=repr(server))
            raise Misuse(wrong) from None
    doors: tuple[Endpoint, ...] = getattr(cli.config().listeners, door)
    if not doors:
        raise Misuse(cli.text("bench.no-door", door=door))
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(doors[0].host, doors[0].host)
    return _Target(Endpoint(host, doors[0].port), door)


def _see_that_it_is_ours(cli: Cli, endpoint: Endpoint, is_mine: bool) -> None:
    """This machine is ours; of any other somebody has to say so, because a load on a stranger's server is an attack."""
    if is_mine or _is_this_machine(endpoint):
        return
    if not sys.stdin.isatty():
        raise Misuse(cli.text("bench.not-ours", server=endpoint))
    typed = click.prompt(cli.text("bench.confirm", server=endpoint), err=True)
    if typed.strip() != endpoint.host:
        raise Misuse(cli.text("bench.not-ours", server=endpoint))


def _is_this_machine(endpoint: Endpoint) -> bool:
    """Whether every address of the host is a loopback address."""
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Failure(f"{endpoint.host}: {error.strerror}") from error
    return all(ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)


def _manner(cli: Cli, target: _Target, tls: str, user: str | None, password_file: Path | None) -> Manner:
    if (user is None) != (password_file is None):
        raise Misuse(cli.text("bench.user-and-password"))
    auth = b""
    if user is not None and password_file is not None:
        try:
            password = password_file.read_text("utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{password_file}: {error}") from error
        auth = auth_plain(user, password)
    wanted = _TLS[target.door] if tls == "auto" else tls
    if auth and wanted == "none" and not _is_this_machine(target.endpoint):
        raise Misuse(cli.text("bench.password-in-clear"))
    verify = not _is_this_machine(target.endpoint)
    context = None if wanted == "none" else client_context(verify=verify)
    return Manner("bench.localhost", wanted, context, target.endpoint.host, auth)


def _address(given: str) -> str:
    try:
        return format_path(parse_mailbox(given)) if given else ""
    except BadValue as error:
        raise Misuse(str(error)) from None


def _seconds(given: str | None) -> float | None:
    try:
        return None if given is None else float(given) if given.replace(".", "", 1).isdigit() else float(parse_duration(given))
    except BadValue as error:
        raise Misuse(str(error)) from None


def _size(given: str) -> int:
    try:
        return parse_size(given)
    except BadValue as error:
        raise Misuse(str(error)) from None


# ---- the run -------------------------------------------------------------------------------------------


def _board(cli: Cli, plan: Plan) -> Board:
    return RichBoard(cli.lang, plan.total()) if sys.stderr.isatty() else LineBoard(cli.lang)


def _in_loop(plan: Plan, board: Board | None) -> Result:
    if sys.platform == "win32":
        return asyncio.run(_run(plan, board))
    import uvloop  # not on every system

    return uvloop.run(_run(plan, board))


async def _run(plan: Plan, board: Board | None) -> Result:
    load = Load(plan)
    if board is None:
        return await load.run()
    with board:
        running = asyncio.get_running_loop().create_task(load.run())
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=_SHOW_S)
                board.show(load.result)
        finally:
            running.cancel()  # Ctrl-C; no effect on what has ended
        return await running


# ---- what is told ----------------------------------------------------------------------------------------


def as_table(plan: Plan, result: Result) -> dict[str, object]:
    """The report as plain JSON values; times in milliseconds."""
    return {
        "run": plan.run,
        "server": str(plan.server),
        "sessions": plan.sessions,
        "size": plan.size,
        "rate_wanted": plan.rate,
        "seconds": round(result.seconds, 3),
        "accepted": result.accepted,
        "refused": result.refused,
        "lost": result.lost,
        "rate": round(result.rate, 1),
        "connections": result.connections,
        "latest_start_ms": round(result.latest_start_s * 1000, 3),
        "replies": {str(code): count for code, count in sorted(result.codes.items())},
        "troubles": dict(result.troubles.most_common(20)),
        "client_cpu_us_a_message": round(result.cpu_s / max(1, result.done) * 1e6, 1),
        "ms": {name: getattr(result, name).summary() for name in _TOLD},
        "find": f"HEADER {HEADER} {plan.run}",
    }


def _show(cli: Cli, plan: Plan, result: Result) -> None:
    say = cli.text
    click.echo(say("bench.result", accepted=result.accepted, seconds=f"{result.seconds:.1f}", rate=f"{result.rate:.0f}"))
    if result.refused or result.lost:
        click.echo(say("bench.losses", refused=result.refused, lost=result.lost))
    shares = list(result.whole.summary())
    rows = [[say(f"bench.took-{name}"), *(f"{value:.2f}" for value in getattr(result, name).summary().values())] for name in _TOLD]
    print_table([say("bench.milliseconds"), *shares], rows)
    click.echo(say("bench.replies", replies=", ".join(f"{code}: {count}" for code, count in sorted(result.codes.items()))))
    for because, count in result.troubles.most_common(5):
        click.echo(say("bench.trouble", because=printable(because), count=count))
    if plan.rate is not None:
        click.echo(say("bench.latest", ms=f"{result.latest_start_s * 1000:.1f}"))
    click.echo(say("bench.client", us=f"{result.cpu_s / max(1, result.done) * 1e6:.0f}"))
    click.echo(say("bench.find", header=HEADER, run=plan.run))

"""ekiden send: a small SMTP client that shows the dialogue."""

from __future__ import annotations

import secrets
import sys
from ipaddress import ip_address
from pathlib import Path

import click

from ekiden.app.clock import SystemClock
from ekiden.app.commandline import Cli, Failure, Misuse, ask_password, common, printable, progress, run
from ekiden.app.config import Config, OutboundTimeouts
from ekiden.app.sending import Letter, NotSent, Route, Watcher, compose, send, with_crlf
from ekiden.base.endpoint import Endpoint, parse_endpoint
from ekiden.base.errors import BadValue
from ekiden.mail.address import format_path, parse_mailbox
from ekiden.mail.envelope import Tls
from ekiden.smtp.client_events import Exchange
from ekiden.smtp.replies import Reply

_SUBMISSIONS = 465  # RFC 8314 §3.3: TLS from the first byte
_QUIET_BYTES = 1_000_000


@click.command("send")
@click.option("--from", "sender", required=True)
@click.option("--to", "recipients", multiple=True, required=True)
@click.option("--subject", default="")
@click.option("--body", default="")
@click.option("--file", "file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--server")
@click.option("--tls", type=click.Choice(["auto", "starttls", "implicit", "none"]), default="auto")
@click.option("--insecure", is_flag=True)
@click.option("--user")
@click.option("--password-stdin", is_flag=True)
@click.option("-v", "--verbose", is_flag=True)
@common
def COMMAND(
    cli: Cli, sender: str, recipients: tuple[str, ...], subject: str, body: str, file: Path | None, server: str | None, tls: str,
    insecure: bool, user: str | None, password_stdin: bool, verbose: bool,
) -> None:
    """Send one message by SMTP and print what the server said for each recipient."""
    config = cli.config() if server is None else None
    endpoint, implicit = (_server(cli, server), False) if server is not None else _door(cli, config, user)
    letter = _letter(cli, sender, recipients, subject, body, file, config, by_stdin=password_stdin)
    password = ask_password(cli, from_stdin=password_stdin, twice=False) if user is not None else ""
    timeouts = config.timeouts.outbound if config is not None else OutboundTimeouts()
    route = Route(
        server=endpoint,
        hostname=config.hostname if config is not None else "localhost",
        tls="implicit" if tls == "auto" and (implicit or endpoint.port == _SUBMISSIONS) else tls,
        verify=not insecure and not _is_loopback(endpoint),
        user=user,
        password=password,
        deadlines=_deadlines(timeouts),
    )
    dialogue: list[Exchange] = []
    secured: list[Tls] = []
    quiet = cli.as_json or verbose or len(letter.raw) < _QUIET_BYTES
    with progress(cli.text("cli.sending"), len(letter.raw), quiet=quiet) as move:
        watcher = Watcher(
            lambda exchange: _on_exchange(exchange, dialogue, verbose and not cli.as_json),
            lambda agreed: _on_secured(agreed, secured, verbose and not cli.as_json),
            move,
        )
        try:
            replies = run(send(letter, route, watcher))
        except (NotSent, BadValue) as error:
            raise Failure(cli.text("cli.not-sent", server=endpoint, error=error)) from error
    _report(cli, letter, endpoint, secured, dialogue, replies)
    if not all(reply.is_positive for reply in replies):
        sys.exit(1)


def _server(cli: Cli, server: str) -> Endpoint:
    """host:port, or host with port 25."""
    try:
        return parse_endpoint(server, 25)
    except BadValue:
        raise Misuse(cli.text("config.wrong", expected=cli.text("config.expects-server"), found=repr(server))) from None


def _door(cli: Cli, config: Config | None, user: str | None) -> tuple[Endpoint, bool]:
    """A door of this very server, where people sign in or where other servers come; True where it begins with TLS."""
    if config is None:
        raise Misuse(cli.text("cli.send-where"))
    doors = config.listeners
    wanted = doors.submission or doors.submissions if user is not None else doors.mx
    if not wanted:
        raise Misuse(cli.text("cli.send-where"))
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(wanted[0].host, wanted[0].host)
    return Endpoint(host, wanted[0].port), wanted is doors.submissions


def _letter(
    cli: Cli, sender: str, recipients: tuple[str, ...], subject: str, body: str, file: Path | None, config: Config | None, *, by_stdin: bool
) -> Letter:
    try:
        given = format_path(parse_mailbox(sender)) if sender not in ("", "<>") else ""
        wanted = tuple(format_path(parse_mailbox(recipient)) for recipient in recipients)
    except BadValue as error:
        raise Misuse(str(error)) from None
    if file is None:
        domain = given.rpartition("@")[2] or (config.hostname if config is not None else "localhost")
        raw = compose(given, wanted, subject, body, message_id=f"{secrets.token_hex(12)}@{domain}", now=SystemClock().now())
        return Letter(given, wanted, raw)
    if str(file) == "-" and by_stdin:
        raise Misuse(cli.text("cli.send-stdin-twice"))
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from error
    return Letter(given, wanted, with_crlf(raw))


def _is_loopback(endpoint: Endpoint) -> bool:
    """Nobody stands between us and this machine, so that a certificate of its own making will do."""
    try:
        return ip_address(endpoint.host).is_loopback
    except ValueError:
        return endpoint.host == "localhost"


def _deadlines(timeouts: OutboundTimeouts) -> dict[str, float]:
    """Seconds for each name of SmtpClient.waiting_for."""
    return {
        "connect": float(timeouts.connect),
        "banner": float(timeouts.banner),
        "hello": float(timeouts.hello),
        "starttls": float(timeouts.handshake),
        "handshake": float(timeouts.handshake),
        "auth": float(timeouts.mail),
        "reset": float(timeouts.quit),
        "mail": float(timeouts.mail),
        "rcpt": float(timeouts.rcpt),
        "data-start": float(timeouts.data_start),
        "content": float(timeouts.data_block),
        "write": float(timeouts.data_block),
        "final": float(timeouts.data_end),
        "quit": float(timeouts.quit),
    }


def _on_exchange(exchange: Exchange, dialogue: list[Exchange], aloud: bool) -> None:
    dialogue.append(exchange)
    if aloud:
        if exchange.command:
            click.echo(printable(f"> {exchange.command}"))
        for number, line in enumerate(exchange.reply.lines, 1):
            joint = " " if number == len(exchange.reply.lines) else "-"
            enhanced = "{}.{}.{} ".format(*exchange.reply.enhanced) if exchange.reply.enhanced is not None else ""
            click.echo(printable(f"< {exchange.reply.code}{joint}{enhanced}{line}"))


def _on_secured(agreed: Tls, secured: list[Tls], aloud: bool) -> None:
    secured.append(agreed)
    if aloud:
        click.echo(f"* {agreed.version}, {agreed.cipher}")


def _report(
    cli: Cli, letter: Letter, endpoint: Endpoint, secured: list[Tls], dialogue: list[Exchange], replies: tuple[Reply, ...]
) -> None:
    answers = [(recipient, reply.text) for recipient, reply in zip(letter.recipients, replies, strict=True)]
    if not cli.as_json:
        cli.table(("recipient", "reply"), answers, "cli.no-words")
        return
    cli.give(
        {
            "server": str(endpoint),
            "tls": {"version": secured[0].version, "cipher": secured[0].cipher} if secured else None,
            "recipients": [{"recipient": recipient, "reply": reply} for recipient, reply in answers],
            "dialogue": [{"command": each.command, "reply": each.reply.text} for each in dialogue],
        },
        str,
    )

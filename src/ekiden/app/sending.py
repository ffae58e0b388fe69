"""Sending one message to one server, as `ekiden send` does: a small client that shows what is said.

Source: RFC 5321 §3.3, RFC 3207 §4, RFC 4954 §4.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

from ekiden.base.clock import Millis
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import EkidenError, ProtocolError, Unreachable
from ekiden.mail.address import Ip
from ekiden.mail.encodings import encode_words
from ekiden.mail.envelope import Tls
from ekiden.mail.trace import date_time
from ekiden.net.connection import Connection
from ekiden.net.dial import CallFailed, dial
from ekiden.net.tls import client_context
from ekiden.smtp.client import SmtpClient
from ekiden.smtp.client_events import (
    Broken,
    ClientEvent,
    Closed,
    ContentWanted,
    Exchange,
    MessageDone,
    Ready,
    RecipientAnswered,
    SignInAnswered,
    TlsReady,
    TlsRefused,
    Unwelcome,
)
from ekiden.smtp.replies import Reply

_PIECE = 65_536


class NotSent(EkidenError):
    """The conversation ended before the message was answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to send. raw: header and body with CRLF line ends."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """Where to send it and how.

    tls: "implicit", "starttls" (or fail), "auto" (where offered) or "none". verify: the certificate must be valid for the name.
    """

    server: Endpoint
    hostname: str
    tls: str = "auto"
    verify: bool = True
    user: str | None = None
    password: str = ""
    deadlines: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told while it goes on. exchange: one command and its reply. secured: TLS was agreed. sent: so many more bytes."""

    exchange: Callable[[Exchange], None] = lambda _: None
    secured: Callable[[Tls], None] = lambda _: None
    sent: Callable[[int], None] = lambda _: None


async def send(letter: Letter, route: Route, watcher: Watcher) -> tuple[Reply, ...]:
    """Have the conversation; the reply for each recipient, in order. Raises NotSent."""
    connection = await _connect(route)
    talk = _Talk(connection, letter, route, watcher)
    try:
        return await talk.until_done()
    except (ProtocolError, Unreachable) as error:
        raise NotSent(connection.broken or str(error)) from error
    finally:
        talk.tell()
        await connection.close()


def compose(sender: str, recipients: Sequence[str], subject: str, body: str, *, message_id: str, now: Millis) -> bytes:
    """A plain message in UTF-8. body: with any line ends."""
    head = [
        f"From: <{sender}>",
        "To: " + ",\r\n ".join(f"<{recipient}>" for recipient in recipients),
        "Subject: " + encode_words(subject).decode("ascii"),
        f"Date: {date_time(now)}",
        f"Message-ID: <{message_id}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Transfer-Encoding: {'7bit' if body.isascii() else '8bit'}",
    ]
    return with_crlf(("\n".join(head).replace("\r\n", "\n") + "\n\n" + body).encode("utf-8"))


def with_crlf(raw: bytes) -> bytes:
    """Every line end as CRLF, whatever it was, and one at the end."""
    plain = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return (plain if plain.endswith(b"\n") else plain + b"\n").replace(b"\n", b"\r\n")


async def addresses_of(server: Endpoint) -> list[Ip]:
    """The addresses of a server, as the system's resolver orders them. Raises NotSent."""
    with contextlib.suppress(ValueError):
        return [ip_address(server.host)]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotSent(f"{server.host}: {error.strerror or error}") from error
    return [ip_address(str(address[0])) for *_, address in found]


async def _connect(route: Route) -> Connection[ClientEvent]:
    loop = asyncio.get_running_loop()
    failures: list[str] = []

    def carry() -> Connection[ClientEvent]:
        return Connection(SmtpClient(route.hostname, secure=route.tls == "implicit"), route.deadlines, loop)

    for ip in await addresses_of(route.server):
        try:
            call = await dial(ip, route.server.port, timeout_s=route.deadlines.get("connect", 30.0))
        except CallFailed as error:
            failures.append(str(error))
            continue
        _, connection = await loop.create_connection(carry, sock=call.sock)
        await connection.opened
        return connection
    raise NotSent("; ".join(failures))


class _Talk:
    """One conversation, event by event."""

    def __init__(self, connection: Connection[ClientEvent], letter: Letter, route: Route, watcher: Watcher) -> None:
        self._connection = connection
        self._machine = cast(SmtpClient, connection.machine)  # _connect made it
        self._letter = letter
        self._route = route
        self._watcher = watcher
        self._signed_in = False
        self._results: tuple[Reply, ...] | None = None

    async def until_done(self) -> tuple[Reply, ...]:
        if self._route.tls == "implicit":
            await self._handshake()
        while (event := await self._connection.next_event()) is not None:
            self.tell()
            await self._on(event)
        if self._results is None:
            raise NotSent(self._connection.broken or "the server hung up")
        return self._results

    def tell(self) -> None:
        """Pass on what was said since the last call."""
        for exchange in self._machine.take_exchanges():
            self._watcher.exchange(exchange)

    async def _on(self, event: ClientEvent) -> None:
        match event:
            case Ready():
                self._next()
            case TlsReady():
                await self._handshake()
                self._machine.secured()
            case TlsRefused(reply):
                if self._route.tls == "starttls":
                    raise NotSent(reply.text)
                self._after_tls()
            case SignInAnswered(reply):
                if not reply.is_positive:
                    self._machine.quit()
                    raise NotSent(reply.text)
                self._signed_in = True
                self._begin()
            case ContentWanted():
                await self._content()
            case MessageDone(results):
                self._results = tuple(result.reply for result in results)
                self._machine.quit()
            case Unwelcome(_, reply):
                raise NotSent(reply.text)
            case Broken(problem, _, reply):
                if self._results is None:
                    raise NotSent(reply.text if reply is not None else problem)
            case RecipientAnswered() | Closed():
                pass

    def _next(self) -> None:
        """After a greeting: TLS if it is wanted and not there yet, then sign in, then the message."""
        offered = "STARTTLS" in self._machine.capabilities.keywords
        if self._connection.tls is None and self._route.tls in ("starttls", "auto"):
            if offered:
                self._machine.start_tls()
                return
            if self._route.tls == "starttls":
                raise NotSent("the server does not offer STARTTLS")
        self._after_tls()

    def _after_tls(self) -> None:
        if self._route.user is not None and not self._signed_in:
            self._machine.sign_in(self._route.user, self._route.password)
        else:
            self._begin()

    def _begin(self) -> None:
        letter = self._letter
        self._machine.send(letter.sender, letter.recipients, size=len(letter.raw), eight_bit=not letter.raw.isascii())

    async def _content(self) -> None:
        for at in range(0, len(self._letter.raw), _PIECE):
            if self._machine.answered_early:
                return
            piece = self._letter.raw[at : at + _PIECE]
            self._machine.content(piece)
            await self._connection.flush()
            self._watcher.sent(len(piece))
        self._machine.end_content()

    async def _handshake(self) -> None:
        context = client_context(verify=self._route.verify)
        self._watcher.secured(await self._connection.start_tls(context, server_side=False, hostname=self._route.server.host))

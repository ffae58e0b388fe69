"""One connection to a remote host, from its banner to QUIT: TLS as agreed, sign-in where asked for, messages one after another.

What goes wrong with a host is a value, not an exception: whoever called decides about another address, another host, another
day. Every exchange becomes a step of the journey of the message it was for.
Source: RFC 5321 §4.5.3.2 (deadlines), RFC 3207 §4.1, RFC 7435 §3 (opportunistic TLS), RFC 8314 §3.3.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

from ekiden.base import failpoints
from ekiden.base.clock import Clock
from ekiden.base.errors import BadValue, ProtocolError, Unreachable
from ekiden.mail import journey
from ekiden.mail.envelope import Tls
from ekiden.net.connection import Connection, DeadlinePassed
from ekiden.net.dial import Call
from ekiden.smtp.client import SmtpClient
from ekiden.smtp.client_events import (
    Broken,
    Capabilities,
    ClientEvent,
    Closed,
    ContentWanted,
    MessageDone,
    Ready,
    RecipientAnswered,
    Result,
    SignInAnswered,
    TlsReady,
    TlsRefused,
    Unwelcome,
)
from ekiden.smtp.replies import Reply, printable
from ekiden.smtp.reply_reader import USUAL, ReplyLimits

DEADLINES: Mapping[str, float] = {
    "banner": 300, "hello": 300, "starttls": 60, "handshake": 60, "auth": 60, "mail": 300, "rcpt": 300, "data-start": 120,
    "write": 180, "final": 600, "reset": 20, "quit": 20, "idle": 60,
}  # fmt: skip
"""Seconds that a host may take (RFC 5321 §4.5.3.2); "write" is one block of content."""

_CLOSING_S = 2.0

Context = Callable[[bool], ssl.SSLContext]
"""The TLS context of outgoing connections: True for one that verifies the host."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How we talk to hosts.

    tls: "opportunistic" takes what there is, "none" never asks, "starttls" and "implicit" need a verified certificate.
    login: user and password, sent under verified TLS only (row OU-17). own_names: a host that greets with one of them is
    ourselves (row OU-20).
    """

    hostname: str
    tls: str = "opportunistic"
    login: tuple[str, str] | None = None
    own_names: Container[str] = ()
    deadlines: Mapping[str, float] = field(default_factory=lambda: DEADLINES)
    replies: ReplyLimits = USUAL


@dataclass(frozen=True, slots=True)
class Failed:
    """Why no conversation began. is_remote: the reply is the host's own.

    same_host: whether another address of the same host may do better.
    """

    reply: Reply
    is_remote: bool = False
    same_host: bool = True


class TlsFailed(Exception):
    """The handshake did not succeed; opportunistic TLS tries once more in clear."""


class Conversation:
    """Made by converse(); close() it in the end. steps: where the journey of the present message is written.

    until: the loop's time at which the attempt of the present message is given up, None for never.
    """

    def __init__(self, host: str, call: Call, connection: Connection[ClientEvent], machine: SmtpClient, clock: Clock) -> None:
        self.host = host
        self.call = call
        self.tls: Tls | None = None
        self.steps: list[journey.Step] = []
        self.until: float | None = None
        self._connection = connection
        self._machine = machine
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """What the host offers."""
        return self._machine.capabilities

    @property
    def is_idle(self) -> bool:
        """Whether it can take another message."""
        return self._machine.is_idle and not self._connection.is_over

    def is_still_there(self) -> bool:
        """As is_idle, after a look at what the host may have said meanwhile (row OU-26)."""
        while self._machine.next_event() is not None:
            continue
        return self.is_idle

    async def send(
        self, sender: str, recipients: Sequence[str], pieces: AsyncIterator[bytes], *, size: int, eight_bit: bool
    ) -> MessageDone:
        """Hand one message over; pieces is its content, size bytes in all. Never raises for what the host does.

        Raises StoreError from pieces; the conversation is over then.
        """
        machine = self._machine
        try:
            machine.send(sender, recipients, size=size, eight_bit=eight_bit)
            while True:
                match await self._next():
                    case ContentWanted():
                        await self._content(pieces)
                    case MessageDone() as done:
                        return done
                    case RecipientAnswered():
                        continue
                    case _:
                        machine.fail("the conversation went astray")
        except BadValue as error:
            self.drop(str(error))
            reply = Reply(554, (5, 6, 0), (f"the message cannot be sent: {error.what}",))
            if error.what == "path":
                # gap: SMTPUTF8 (RFC 6531 §3.4); until then an address outside ASCII cannot be handed over.
                reply = Reply(553, (5, 6, 7), (f"an address that {self.host} cannot be told",))
            return MessageDone(tuple(Result(reply, is_remote=False) for _ in recipients))
        except BaseException:
            self._connection.abort()
            raise

    async def close(self) -> None:
        """Say QUIT and wait a little for the answer."""
        if not self.is_idle:
            self.drop("no longer needed")
            return
        try:
            self._machine.quit()
            while not isinstance(await self._next(), (Closed, Broken)):
                continue
            await self._connection.close()
            async with asyncio.timeout(_CLOSING_S):
                await self._connection.closed
        except TimeoutError:
            pass
        finally:
            self._connection.abort()

    def drop(self, problem: str) -> None:
        """Give it up without a word; a message on its way gets its MessageDone with the next event."""
        self._machine.fail(problem)
        self._connection.abort()

    async def open(self, manner: Manner, context: Context, *, with_tls: bool) -> Failed | None:
        """From the banner to readiness. Raises TlsFailed. None: ready to send."""
        needs_tls = manner.tls in ("starttls", "implicit")
        if manner.tls == "implicit":
            await self._handshake(context(True))
        failed = await self._until_ready(manner)
        if failed is not None or self.tls is not None:
            return failed or await self._sign_in(manner)
        if "STARTTLS" in self.capabilities.keywords and with_tls:
            self._machine.start_tls()
            event = await self._next()
            if isinstance(event, TlsReady):
                await self._handshake(context(needs_tls))
                self._machine.secured()
                failed = await self._until_ready(manner)
                return failed or await self._sign_in(manner)
            if not isinstance(event, TlsRefused):
                return self._went_wrong(event)
        if needs_tls:
            return Failed(Reply(454, (4, 7, 4), (f"{self.host} offers no TLS, and it is required",)))
        return await self._sign_in(manner)

    async def _until_ready(self, manner: Manner) -> Failed | None:
        event = await self._next()
        if isinstance(event, Ready):
            if event.capabilities.name.lower() in manner.own_names:
                return Failed(Reply(554, (5, 4, 6), (f"{self.host} is this server itself",)), same_host=False)
            return None
        return self._went_wrong(event)

    async def _sign_in(self, manner: Manner) -> Failed | None:
        if manner.login is None:
            return None
        if self.tls is None or self.tls.peer_name is None:
            return Failed(Reply(454, (4, 7, 0), (f"the password for {self.host} is not sent without verified TLS",)))
        try:
            self._machine.sign_in(*manner.login)
        except ProtocolError as error:
            return Failed(Reply(454, (4, 7, 0), (f"cannot sign in at {self.host}: {error}",)))
        event = await self._next()
        if not isinstance(event, SignInAnswered):
            return self._went_wrong(event)
        if event.reply.code == 235:
            return None
        # For good only as far as the host is concerned: the operator may mend the password, so the mail waits.
        return Failed(Reply(454, (4, 7, 0), (f"{self.host} refused our password: {event.reply.text}",)), same_host=False)

    def _went_wrong(self, event: ClientEvent) -> Failed:
        if isinstance(event, Unwelcome):
            return Failed(event.reply, is_remote=True, same_host=False)
        if isinstance(event, Broken):
            if event.reply is not None:
                return Failed(event.reply, is_remote=True, same_host=False)
            return Failed(Reply(451, (4, 4, 2), (printable(f"{self.host}: {event.problem}"),)))
        self._machine.fail("the conversation went astray")
        return Failed(Reply(451, (4, 5, 0), (f"{self.host}: the conversation went astray",)))

    async def _handshake(self, context: ssl.SSLContext) -> None:
        try:
            self.tls = await self._connection.start_tls(context, server_side=False, hostname=_tls_name(self.host))
        except (ProtocolError, Unreachable, ValueError) as error:  # ValueError: a name that TLS cannot carry
            self.drop(str(error))
            raise TlsFailed(str(error)) from error
        self.steps.append(
            journey.Secured(self._clock.now(), self.tls.version, self.tls.cipher, outgoing=True, verified=self.tls.peer_name)
        )

    async def _content(self, pieces: AsyncIterator[bytes]) -> None:
        machine, connection = self._machine, self._connection
        if failpoints.armed:
            failpoints.hit("K13")
        async for piece in pieces:
            machine.content(piece)
            try:
                async with asyncio.timeout_at(self.until):
                    await connection.flush()
            except (DeadlinePassed, TimeoutError):
                machine.fail("the host took no more of the message")
            if machine.answered_early or machine.wants_close or connection.is_over:
                return
            if failpoints.armed:
                failpoints.hit("K14")
        machine.end_content()
        if failpoints.armed:
            await connection.flush()
            failpoints.hit("K15")

    async def _next(self) -> ClientEvent:
        """The next event; trouble with the connection is one too."""
        machine = self._machine
        event: ClientEvent | None = None
        try:
            async with asyncio.timeout_at(self.until):
                event = await self._connection.next_event()
        except TimeoutError:
            machine.fail("the attempt took too long")
        except DeadlinePassed as passed:
            machine.fail(f"waited too long ({passed.what})")
        except (ProtocolError, Unreachable) as error:
            machine.fail(str(error))
        if event is None:
            event = machine.next_event()
        if event is None:
            machine.fail(self._connection.broken or "the connection ended")
            event = machine.next_event()
        for exchange in machine.take_exchanges():
            self.steps.append(journey.RemoteReplied(self._clock.now(), self.host, exchange.command, exchange.reply.text))
        return event if event is not None else Broken("the connection ended", machine.waiting_for)


def _tls_name(host: str) -> str:
    """A host as TLS names it: an address literal without its brackets."""
    return host.strip("[]").removeprefix("IPv6:")


async def converse(
    host: str, call: Call, manner: Manner, context: Context, clock: Clock, steps: list[journey.Step], *, with_tls: bool = True
) -> Conversation | Failed:
    """Begin a conversation over a connection that is open. Raises TlsFailed; the connection is closed then, as after Failed.

    host: its name, for TLS and for people. with_tls: False after opportunistic TLS has failed.
    """
    machine = SmtpClient(manner.hostname, secure=manner.tls == "implicit", limits=manner.replies)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection[ClientEvent](machine, manner.deadlines, loop), sock=call.sock)
    conversation = Conversation(host, call, connection, machine, clock)
    conversation.steps = steps
    try:
        failed = await conversation.open(manner, context, with_tls=with_tls and manner.tls != "none")
    except BaseException:
        connection.abort()
        raise
    if failed is None:
        return conversation
    await conversation.close()
    return failed

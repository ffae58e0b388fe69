"""One POP3 connection: the machine's questions put to login and to the INBOX of the account.

Promises: one session at a time has the maildrop of an account (RFC 1939 §3), and keeps it as long as it lives; messages are
removed at QUIT, in one transaction, or not at all; a message is never held in memory as a whole unless it is small.
Source: RFC 1939 §4 to §6, RFC 2449 §8.1.2, RFC 3206 §4; reliability.md rows PO-01 … PO-08.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol, assert_never

from ekiden.base import measures
from ekiden.base.errors import Damaged, ProtocolError, StoreError, Unreachable
from ekiden.base.ids import AccountId
from ekiden.base.machine import Machine
from ekiden.mail.envelope import Peer
from ekiden.net.connection import Connection, DeadlinePassed
from ekiden.net.listener import Door
from ekiden.pop3.events import (
    Answered,
    AuthResponse,
    AuthStart,
    Login,
    Maildrop,
    MoreToSend,
    Pop3Event,
    Quit,
    Retrieve,
    StartTls,
    Trouble,
)
from ekiden.pop3.machine import Pop3Server, Pop3Settings
from ekiden.pop3.multiline import LineCounter
from ekiden.sasl.mechanism import Challenge, Mechanism, Proof
from ekiden.services.login import LoginRefusal, SignedIn, count_login
from ekiden.services.mailbox import Content, Entry, Mailboxes, MailboxRefused, Snapshot, ranges_of

_RENEW_S = 200.0  # the lock of services.mailbox is for ten minutes
_REFUSALS = {
    LoginRefusal.WRONG: ("wrong name or password", Trouble.WRONG),
    LoginRefusal.TOO_MANY: ("too many failed logins from your network, try later", Trouble.NOT_NOW),
    LoginRefusal.BUSY: ("too many logins just now, try later", Trouble.NOT_NOW),
    LoginRefusal.BROKEN: ("accounts cannot be read just now, try later", Trouble.NOT_NOW),
}


class SignIn(Protocol):
    """Whoever judges names and passwords (services.login.Logins)."""

    async def login(self, name: str, password: bytes, peer: Peer, *, acting_as: str = "") -> SignedIn | LoginRefusal:
        """The account, or why not."""
        ...


@dataclass(frozen=True, slots=True)
class Pop3Services:
    """What the sessions of one door share. listener: "pop3" or "pop3s". log: takes an event name and fields."""

    listener: str
    mailboxes: Mailboxes
    logins: SignIn
    log: Callable[..., None]
    tls: Callable[[], ssl.SSLContext | None]
    mechanisms: Callable[[str], Mechanism | None]
    implicit_tls: bool = False


@dataclass(frozen=True, slots=True)
class _Opened:
    """A maildrop that this session has locked. owner: the name of its lock."""

    account: AccountId
    owner: str
    snapshot: Snapshot
    entries: list[Entry]


class Pop3Session:
    """Runs one connection to its end."""

    def __init__(self, connection: Connection[Pop3Event], machine: Pop3Server, services: Pop3Services) -> None:
        self._connection = connection
        self._machine = machine
        self._services = services
        self._peer = Peer(connection.peer_ip, connection.peer_port, services.listener)
        self._mechanism: Mechanism | None = None
        self._opened: _Opened | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._fetched: set[int] = set()

    async def run(self) -> None:
        """Serve until either side leaves. Raises nothing for what a peer does."""
        try:
            if self._services.implicit_tls:
                context = self._services.tls()
                if context is None:
                    return
                await self._secure(context)
            self._machine.greet()
            await self._converse()
        except DeadlinePassed:
            pass  # RFC 1939 §3: closed without a word, and nothing is removed
        except (ProtocolError, Unreachable) as error:
            self._services.log("connection-ended", peer=str(self._peer.ip), listener=self._peer.listener, because=str(error))
        finally:
            await self._let_go()

    async def _converse(self) -> None:
        while (event := await self._connection.next_event()) is not None:
            match event:
                case Answered():
                    continue
                case MoreToSend():
                    await self._connection.flush()
                case Retrieve():
                    await self._timed("RETR" if event.lines is None else "TOP", self._on_retrieve(event))
                case Login():
                    await self._timed("PASS", self._sign_in(Proof(event.name, event.password)))
                case AuthStart():
                    self._mechanism = self._services.mechanisms(event.mechanism)
                    await self._timed("AUTH", self._go_on(event.initial))
                case AuthResponse():
                    if event.data is not None:
                        await self._timed("AUTH", self._go_on(event.data))
                case StartTls():
                    await self._on_starttls()
                case Quit():
                    await self._timed("QUIT", self._on_quit(event))
                case _:
                    assert_never(event)

    async def _timed(self, command: str, work: Awaitable[None]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await work
        finally:
            measures.POP3_SECONDS.of(command).observe(loop.time() - began)

    # ---- who it is ------------------------------------------------------------------------------

    async def _on_starttls(self) -> None:
        context = self._services.tls()
        if context is None:
            self._machine.refuse("TLS is not to be had just now", Trouble.NOT_NOW)
            return
        self._machine.accept_tls()
        await self._secure(context)
        self._machine.secured()

    async def _secure(self, context: ssl.SSLContext) -> None:
        tls = await self._connection.start_tls(context, server_side=True)
        self._peer = replace(self._peer, tls=tls)

    async def _go_on(self, response: bytes | None) -> None:
        """One step of an AUTH exchange."""
        if self._mechanism is None:
            self._machine.refuse("unknown mechanism")
            return
        try:
            outcome = self._mechanism.step(response)
        except ValueError:
            self._machine.refuse("this is not what the mechanism wants")
            return
        if isinstance(outcome, Challenge):
            self._machine.challenge(outcome.text)
            return
        await self._sign_in(outcome, self._mechanism.name)

    async def _sign_in(self, proof: Proof, mechanism: str = "command") -> None:
        services = self._services
        found = await services.logins.login(proof.name, proof.password, self._peer, acting_as=proof.acting_as)
        count_login(self._peer.listener, mechanism, found)
        if isinstance(found, LoginRefusal):
            text, trouble = _REFUSALS[found]
            services.log("login-refused", peer=str(self._peer.ip), listener=self._peer.listener, name=proof.name, because=found.value)
            if found is LoginRefusal.TOO_MANY:
                self._machine.hang_up(text, trouble)
            else:
                self._machine.refuse(text, trouble)
            return
        try:
            opened = await self._open(found.account)
        except (StoreError, MailboxRefused) as error:
            services.log("maildrop-failed", account=found.name, because=str(error))
            self._machine.refuse("the maildrop cannot be opened just now", Trouble.NOT_NOW)
            return
        if opened is None:
            self._machine.refuse("another POP3 session has this maildrop", Trouble.IN_USE)
            return
        self._peer = replace(self._peer, account=found.account)
        uid_validity = opened.snapshot.uid_validity
        self._machine.open(
            Maildrop([entry.size for entry in opened.entries], [f"{uid_validity}.{entry.uid}" for entry in opened.entries])
        )

    # ---- the maildrop ---------------------------------------------------------------------------

    async def _open(self, account: AccountId) -> _Opened | None:
        """Lock and list the INBOX; None if another session has it."""
        mailboxes = self._services.mailboxes
        owner = secrets.token_hex(8)
        if not await mailboxes.lock_maildrop(account, owner):
            return None
        try:
            snapshot = await mailboxes.open(account, "INBOX", read_only=True)
            entries = await mailboxes.entries(snapshot.id, [(1, snapshot.uid_next - 1)]) if snapshot.uids else []
        except BaseException:
            await mailboxes.unlock_maildrop(account, owner)
            raise
        self._opened = _Opened(account, owner, snapshot, entries)
        self._keeper = asyncio.get_running_loop().create_task(self._keep(account, owner))
        return self._opened

    async def _keep(self, account: AccountId, owner: str) -> None:
        """Renew the lock while the session lives; without the lock there is no session."""
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                if await self._services.mailboxes.lock_maildrop(account, owner):
                    continue
            except StoreError:
                continue  # the lock has time for two more tries
            self._services.log("maildrop-lost", account=int(account), peer=str(self._peer.ip))
            self._connection.abort()
            return

    async def _let_go(self) -> None:
        """Give the lock back, whatever happened."""
        keeper, self._keeper = self._keeper, None
        opened, self._opened = self._opened, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        if opened is not None:
            try:
                await self._services.mailboxes.unlock_maildrop(opened.account, opened.owner)
            except StoreError as error:
                self._services.log("maildrop-failed", account=int(opened.account), because=str(error))

    async def _on_retrieve(self, event: Retrieve) -> None:
        opened = self._opened
        if opened is None:
            self._machine.refuse("sign in first")
            return
        entry = opened.entries[event.index]
        try:
            content = await self._services.mailboxes.content(opened.snapshot.id, entry.uid)
            pieces = _whole(content) if event.lines is None else _top(content, event.lines)
            first = await anext(pieces, b"")  # now, so that what cannot be read is refused and not broken off
        except MailboxRefused:
            self._machine.refuse("the message is gone, another program has removed it", Trouble.NEVER)
            return
        except Damaged:  # noted by who found it
            self._machine.refuse("the message is damaged on this server", Trouble.NEVER)
            return
        except StoreError as error:
            self._services.log("message-unreadable", account=int(opened.account), uid=int(entry.uid), because=str(error))
            self._machine.refuse("the message cannot be read just now", Trouble.NOT_NOW)
            return
        async with aclosing(pieces):
            sent = await self._send(first, pieces)
        if sent and event.lines is None and event.index not in self._fetched:
            self._fetched.add(event.index)
            self._services.mailboxes.note_fetched(opened.account, [entry], mailbox=opened.snapshot.id, protocol="POP3")

    async def _send(self, first: bytes, pieces: AsyncIterator[bytes]) -> bool:
        """Send a message; False, and the connection is gone, if it broke off in the middle."""
        machine = self._machine
        machine.begin_message()
        machine.send(first)
        try:
            async for piece in pieces:
                await self._connection.flush()
                if self._connection.is_over:
                    return False
                machine.send(piece)
        except StoreError as error:
            # A client takes what it has got for the message once it sees the end, so it must not see one.
            self._services.log("message-unreadable", peer=str(self._peer.ip), because=str(error))
            self._connection.abort()
            return False
        machine.end_message()
        return True

    async def _on_quit(self, event: Quit) -> None:
        """The UPDATE state (RFC 1939 §6)."""
        opened = self._opened
        removed = True
        if opened is not None and event.deleted:
            try:
                await self._services.mailboxes.remove(
                    opened.snapshot.id, ranges_of(opened.entries[index].uid for index in event.deleted)
                )
            except (StoreError, MailboxRefused) as error:
                self._services.log("maildrop-failed", account=int(opened.account), because=str(error))
                removed = False
        await self._let_go()  # before the reply, so that the client's next session finds the maildrop free
        self._machine.goodbye(removed=removed)


async def _whole(content: Content) -> AsyncGenerator[bytes, None]:
    whole = content.whole
    if whole is not None:
        yield whole
        return
    async for piece in content.chunks():
        yield piece


async def _top(content: Content, lines: int) -> AsyncGenerator[bytes, None]:
    """The header, the empty line, and so many lines of the body (RFC 1939 §7)."""
    body_at = len(content.details.top) + content.details.header_bytes
    yield await content.read(0, body_at)
    counter = LineCounter(lines)
    async for piece in content.chunks(body_at):
        if counter.left <= 0:
            return
        yield counter.feed(piece)


def session_of(services: Pop3Services) -> Callable[[Connection[Pop3Event]], Awaitable[None]]:
    """The session function that a listener calls for each connection."""

    async def session(connection: Connection[Pop3Event]) -> None:
        machine = connection.machine
        if isinstance(machine, Pop3Server):
            await Pop3Session(connection, machine, services).run()

    return session


def door_of(services: Pop3Services, settings: Pop3Settings, mechanisms: tuple[str, ...], deadlines: Mapping[str, float]) -> Door:
    """The POP3 door of a listener. mechanisms: names of SASL to offer. deadlines: "login", "idle", "write", "handshake"."""
    secure = services.implicit_tls

    def make_machine() -> Machine[Any]:
        offers_stls = not secure and services.tls() is not None
        return Pop3Server(settings, secure=secure, offers_stls=offers_stls, mechanisms=mechanisms)

    refusal = b"-ERR [SYS/TEMP] too many connections\r\n"
    return Door(services.listener, make_machine, session_of(services), deadlines, refusal, secure)

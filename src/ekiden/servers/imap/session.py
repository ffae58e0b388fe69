"""One IMAP connection: the machine's requests put to the services, and the selected mailbox kept in step.

What a command does is in its file in commands/; this module holds what they share: who is signed in, what is selected, how news
of the mailbox reaches the client, and what an error becomes.
Source: RFC 3501 §3, RFC 3501 §5.2, RFC 5530 §3, reliability.md §2.10.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ekiden.base import measures
from ekiden.base.clock import Clock
from ekiden.base.errors import BadValue, Damaged, ProtocolError, StoreError, Unreachable
from ekiden.base.ids import AccountId
from ekiden.imap.grammar import Command, Refusal, State
from ekiden.imap.machine import ImapEvent, ImapServer, Request
from ekiden.imap.responses import Kind
from ekiden.mail.envelope import Peer
from ekiden.net.connection import Connection, DeadlinePassed
from ekiden.net.listener import network_of
from ekiden.sasl.mechanism import Mechanism
from ekiden.servers.imap.view import View
from ekiden.services.login import Logins, SignedIn
from ekiden.services.mailbox import Mailboxes, MailboxRefused, Why

FLUSH_BYTES = 131_072
"""Output that may gather before the peer has to read it."""
_LOOK_AGAIN_S = 1.0


@dataclass(slots=True)
class Seats:
    """How many sessions each account has from each network, in this process."""

    limit: int = 20
    taken: Counter[tuple[AccountId, str]] = field(default_factory=Counter)

    def take(self, account: AccountId, network: str) -> bool:
        """Count one more; False if there are too many."""
        if self.taken[account, network] >= self.limit:
            return False
        self.taken[account, network] += 1
        return True

    def leave(self, account: AccountId, network: str) -> None:
        """Count one less."""
        self.taken[account, network] -= 1
        if not self.taken[account, network]:
            del self.taken[account, network]


@dataclass(frozen=True, slots=True)
class ImapServices:
    """What the sessions of one door share. offers: names of SASL mechanisms for a client with (True) or without TLS."""

    listener: str
    mailboxes: Mailboxes
    logins: Logins
    clock: Clock
    log: Callable[..., None]
    tls: Callable[[], ssl.SSLContext | None]
    mechanisms: Callable[[str], Mechanism | None]
    offers: Callable[[bool], Iterable[str]]
    seats: Seats
    implicit_tls: bool = False


class ImapSession:
    """Runs one connection to its end. The attributes are for the commands.

    login: who is signed in. view: what is selected. client: what the client calls itself (ID), printable.
    """

    def __init__(
        self,
        connection: Connection[ImapEvent[ImapSession]],
        machine: ImapServer[ImapSession],
        services: ImapServices,
        commands: Mapping[bytes, Command[ImapSession]],
    ) -> None:
        self.connection = connection
        self.machine = machine
        self.services = services
        self.mailboxes = services.mailboxes
        self.peer = Peer(connection.peer_ip, connection.peer_port, services.listener)
        self.login: SignedIn | None = None
        self.view: View | None = None
        self.client = ""
        self._commands = commands
        self._gathered = 0
        self._looked_at = 0.0

    async def run(self) -> None:
        """Serve until either side leaves. Raises nothing for what a peer does."""
        try:
            if self.services.implicit_tls and not await self._secure_first():
                return
            self.machine.greet("Ekiden is ready", b"CAPABILITY " + b" ".join(self.capabilities()))
            while (event := await self.connection.next_event()) is not None:
                if isinstance(event, Request):
                    await self._carry_out(event)
        except DeadlinePassed as passed:
            if passed.what != "write":
                self.machine.close("Nothing was heard for too long")
        except (ProtocolError, Unreachable) as error:
            self.services.log("connection-ended", peer=str(self.peer.ip), listener=self.peer.listener, because=str(error))
        finally:
            if self.login is not None:
                self.services.seats.leave(self.login.account, network_of(self.peer.ip))

    # ---- TLS and login --------------------------------------------------------------------------

    async def _secure_first(self) -> bool:
        context = self.services.tls()
        if context is None:
            return False
        await self.secure(context)
        return True

    async def secure(self, context: ssl.SSLContext) -> None:
        """Put TLS under the connection. Raises ProtocolError, DeadlinePassed, Unreachable."""
        tls = await self.connection.start_tls(context, server_side=True)
        self.peer = replace(self.peer, tls=tls)
        self.machine.secured()

    @property
    def account(self) -> AccountId:
        """Who is signed in. Raises ProtocolError before a login; the machine's states keep that from happening."""
        if self.login is None:
            raise ProtocolError("not signed in")
        return self.login.account

    def sign_in(self, login: SignedIn) -> bool:
        """The client has proved who it is; False if it has too many sessions already."""
        if not self.services.seats.take(login.account, network_of(self.peer.ip)):
            return False
        self.login = login
        self.peer = replace(self.peer, account=login.account)
        self.machine.state = State.AUTHENTICATED
        return True

    def capabilities(self) -> list[bytes]:
        """What we can do, as far as it is of use now (RFC 3501 §6.1.1)."""
        found = [b"IMAP4rev1", b"LITERAL+", b"SASL-IR"]
        state = self.machine.state
        if state is State.NOT_AUTHENTICATED:
            if self.machine.secure:
                found += [b"AUTH=" + name.encode("ascii") for name in self.services.offers(True)]
            else:
                found.append(b"LOGINDISABLED")  # RFC 3501 §6.2.3
        for command in self._commands.values():
            for name in command.capability.split(b" ") if command.capability else ():
                if name not in found and (name != b"STARTTLS" or self._may_start_tls()):
                    found.append(name)
        return found

    def _may_start_tls(self) -> bool:
        return not self.machine.secure and self.machine.state is State.NOT_AUTHENTICATED and self.services.tls() is not None

    # ---- the selected mailbox -------------------------------------------------------------------

    def selected(self) -> View:
        """The view of the selected mailbox. Raises ProtocolError where none is; the machine's states keep that from happening."""
        if self.view is None:
            raise ProtocolError("no mailbox is selected")
        return self.view

    def deselect(self) -> None:
        """No mailbox is selected any more."""
        self.view = None
        self.machine.state = State.AUTHENTICATED

    def writable(self) -> View:
        """The view of the selected mailbox. Raises Refusal if it was opened with EXAMINE."""
        view = self.selected()
        if view.snapshot.read_only:
            raise Refusal("The mailbox is open for reading only")
        return view

    async def look(self, *, expunge: bool, sparingly: bool = False) -> None:
        """Tell the client what has changed in the selected mailbox. sparingly: not if we looked a moment ago."""
        view = self.view
        if view is None:
            return
        now = self.services.clock.monotonic()
        if sparingly and now - self._looked_at < _LOOK_AGAIN_S:
            return
        self._looked_at = now
        snapshot = view.snapshot
        news = await self.mailboxes.news(snapshot.id, snapshot.modseq, snapshot.uid_next)
        if news.gone:
            # unverified: RFC 2180. The client can do nothing useful with a mailbox that is not there.
            self.machine.close("The selected mailbox was deleted")
            return
        lines = view.apply(news, expunge=expunge)
        if lines:
            self.machine.send(lines)
        if news.new and not snapshot.read_only:
            await self.mailboxes.recent_shown(snapshot.id)

    # ---- answering ------------------------------------------------------------------------------

    async def send(self, lines: bytes) -> None:
        """Untagged responses; returns when the peer reads fast enough."""
        self.machine.send(lines)
        self._gathered += len(lines)
        if self._gathered >= FLUSH_BYTES:
            self._gathered = 0
            await self.connection.flush()

    async def done(self, text: str, code: bytes = b"", *, expunge: bool = True, sparingly: bool = False) -> None:
        """OK to the present command, after what else there is to tell."""
        await self.look(expunge=expunge, sparingly=sparingly)
        if not self.machine.wants_close:
            self.machine.answer(Kind.OK, text, code)

    async def _carry_out(self, request: Request[ImapSession]) -> None:
        began = self.services.clock.monotonic()
        try:
            await request.command.run(self, request)
        except MailboxRefused as refused:
            self._answer_error(Kind.NO, _TEXTS[refused.why], refused.why.value.upper().encode("ascii"))
        except Refusal as refusal:
            self._answer_error(Kind.NO, refusal.text, refusal.code)
        except BadValue as error:
            self._answer_error(Kind.BAD, f"Expected {error.what}" + (f": {error.because}" if error.because else ""))
        except Damaged:  # RFC 5530 §3: trying again does not help; who found it has noted it
            self._answer_error(Kind.NO, DAMAGED, b"SERVERBUG")
        except StoreError as error:
            self.services.log("store-failed", command=request.command.name.decode("ascii"), because=str(error))
            self._answer_error(Kind.NO, "Nothing was changed, please try again", b"UNAVAILABLE")
        finally:
            measures.IMAP_COMMANDS.of(request.command.name.decode("ascii")).observe(self.services.clock.monotonic() - began)

    def _answer_error(self, kind: Kind, text: str, code: bytes = b"") -> None:
        if not self.machine.wants_close:
            self.machine.answer(kind, text, code)


DAMAGED = "The message is damaged on this server; its operator can see it"
_TEXTS = {
    Why.NONEXISTENT: "There is no such mailbox",
    Why.TRY_CREATE: "There is no such mailbox; it can be created",
    Why.ALREADY_EXISTS: "A mailbox of that name exists",
    Why.CANNOT: "That cannot be done with a mailbox of that name",
    Why.LIMIT: "There are too many of them already",
    Why.OVER_QUOTA: "The account is over its quota",
    Why.TOO_BIG: "The message is too big",
    Why.IN_USE: "The mailbox is in use",
    Why.HAS_CHILDREN: "The mailbox has children",
    Why.EXPUNGE_ISSUED: "Some of the messages are gone",
    Why.UNAVAILABLE: "There is no room for new messages just now",
}


def session_of(
    services: ImapServices, commands: Mapping[bytes, Command[ImapSession]]
) -> Callable[[Connection[ImapEvent[ImapSession]]], Awaitable[None]]:
    """The session function that a listener calls for each connection."""

    async def session(connection: Connection[ImapEvent[ImapSession]]) -> None:
        machine = connection.machine
        if isinstance(machine, ImapServer):
            await ImapSession(connection, machine, services, commands).run()

    return session

"""One SMTP connection: the machine's questions put to judgement, routing, login and arrival.

The same session serves the MX door and the submission doors; what differs between them (who may relay, whether a login is
needed, what is mended in a message) is in the Rules that mx.py and submission.py make.
Source: RFC 5321 §3, RFC 6409.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import assert_never

from ekiden.base import failpoints, measures
from ekiden.base.clock import Clock
from ekiden.base.errors import ProtocolError, StorageFull, StoreError, Unreachable
from ekiden.base.ids import IdMaker
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, Path, format_path
from ekiden.mail.envelope import Body, Envelope, Peer, Recipient
from ekiden.net.connection import Connection, DeadlinePassed
from ekiden.policy.chain import Chain, Judgement
from ekiden.policy.stage import ConnectContext, HelloContext, RecipientContext, SenderContext, Stage, World
from ekiden.sasl.mechanism import Challenge, Mechanism, Proof
from ekiden.services.arrive import Arrivals, Incoming
from ekiden.services.intake import Intake, Intakes
from ekiden.services.login import LoginRefusal, Logins, SignedIn, count_login
from ekiden.services.redirecting import redirected
from ekiden.services.routing import Refused, Route, Router
from ekiden.services.space import Space
from ekiden.services.verdicts import note
from ekiden.smtp import replies
from ekiden.smtp.replies import Reply
from ekiden.smtp.server import (
    AuthResponse,
    AuthStart,
    BodyChunk,
    BodyEnd,
    DataStart,
    Hello,
    MailFrom,
    Quit,
    RcptTo,
    Reset,
    ServerEvent,
    SmtpServer,
    StartTls,
)
from ekiden.smtp.server import (
    Refused as LineRefused,
)

_REFUSALS = {
    LoginRefusal.WRONG: replies.WRONG_CREDENTIALS,
    LoginRefusal.TOO_MANY: replies.TOO_MANY_FAILED_LOGINS,
    LoginRefusal.BUSY: replies.AUTH_NOT_NOW,
    LoginRefusal.BROKEN: replies.AUTH_NOT_NOW,
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What is particular to one door.

    needs_login: no MAIL before AUTH. mends: complete the message as RFC 6409 §8 allows. relays: a signed-in account may
    write to anybody.
    """

    listener: str
    needs_login: bool
    mends: bool
    relays: bool


@dataclass(frozen=True, slots=True)
class SmtpServices:
    """What the sessions of one door share."""

    rules: Rules
    policies: Chain
    world: World
    router: Router
    arrivals: Arrivals
    intakes: Intakes
    logins: Logins
    ids: IdMaker
    clock: Clock
    tls: Callable[[], ssl.SSLContext | None]
    mechanisms: Callable[[str], Mechanism | None]
    space: Space
    implicit_tls: bool = False


@dataclass(slots=True)
class _Transaction:
    """MAIL to end of data."""

    sender: Path = NULL_PATH
    body: Body = Body.SEVEN
    utf8: bool = False
    recipients: list[Recipient] = field(default_factory=list)
    routes: list[tuple[Route, ...]] = field(default_factory=list)
    steps: list[journey.Step] = field(default_factory=list)
    intake: Intake | None = None
    failure: Reply = replies.LOCAL_ERROR  # what the final dot hears where the intake has broken


class SmtpSession:
    """Runs one connection to its end."""

    def __init__(self, connection: Connection[ServerEvent], machine: SmtpServer, services: SmtpServices) -> None:
        self._connection = connection
        self._machine = machine
        self._services = services
        self._clock = services.clock
        self._peer = Peer(connection.peer_ip, connection.peer_port, services.rules.listener)
        self._steps: list[journey.Step] = []
        self._login: SignedIn | None = None
        self._mechanism: Mechanism | None = None
        self._transaction: _Transaction | None = None
        self._dots = measures.dots_of(services.rules.listener)

    async def run(self) -> None:
        """Serve until either side leaves. Raises nothing for what a peer does."""
        try:
            if await self._begin():
                await self._converse()
        except DeadlinePassed as passed:
            if passed.what != "write":
                self._machine.say(replies.TIMED_OUT)
        except (ProtocolError, Unreachable) as error:
            self._services.world.log("connection-ended", peer=str(self._peer.ip), listener=self._peer.listener, because=str(error))
        finally:
            await self._drop_transaction()

    async def _begin(self) -> bool:
        """TLS first where the door wants it, then the banner. False if the connection is to end."""
        if failpoints.armed:
            failpoints.hit("K1")
        self._steps.append(journey.Connected(self._clock.now(), str(self._peer.ip), self._peer.port, self._peer.listener))
        if self._services.implicit_tls:
            context = self._services.tls()
            if context is None:
                return False
            await self._secure(context)
        if self._services.policies.has(Stage.CONNECT):
            judged = await self._ask(Stage.CONNECT, ConnectContext(self._peer, self._services.world))
            if judged.refusal is not None:
                self._machine.greet(judged.refusal.reply)
                return True
        self._machine.greet()
        return True

    async def _converse(self) -> None:
        next_event = self._connection.next_event
        while (event := await next_event()) is not None:
            match event:
                case BodyChunk():
                    await self._on_chunk(event)
                case MailFrom():
                    await self._on_mail(event)
                case RcptTo():
                    await self._on_rcpt(event)
                case DataStart():
                    self._on_data()
                case BodyEnd():
                    await self._on_end(event)
                case Hello():
                    await self._on_hello(event)
                case Reset():
                    await self._drop_transaction()
                case StartTls():
                    await self._on_starttls()
                case AuthStart():
                    await self._on_auth(event)
                case AuthResponse():
                    await self._on_auth_response(event)
                case LineRefused() | Quit():
                    continue
                case _:
                    assert_never(event)

    # ---- before a transaction ---------------------------------------------------------------------

    async def _on_hello(self, event: Hello) -> None:
        await self._drop_transaction()
        self._peer = replace(self._peer, hello=event.name, extended=event.verb != "HELO")
        step = journey.Greeted(self._clock.now(), event.verb, event.name)
        self._steps = [known for known in self._steps if not isinstance(known, journey.Greeted)]
        self._steps.append(step)
        if self._services.policies.has(Stage.HELLO):
            judged = await self._ask(Stage.HELLO, HelloContext(self._peer, self._services.world))
            if judged.refusal is not None:
                self._machine.answer(judged.refusal.reply)
                return
        self._machine.accept()
        if failpoints.armed:
            await self._pass("K2")

    async def _on_starttls(self) -> None:
        context = self._services.tls()
        if context is None:
            self._machine.answer(replies.TLS_NOT_NOW)
            return
        await self._drop_transaction()
        self._machine.accept()
        if self._machine.wants_close:
            return  # something followed STARTTLS in the clear; the machine has said so
        await self._secure(context)
        self._machine.secured()

    async def _secure(self, context: ssl.SSLContext) -> None:
        tls = await self._connection.start_tls(context, server_side=True)
        self._peer = replace(self._peer, tls=tls, hello="")
        self._steps = [known for known in self._steps if not isinstance(known, journey.Greeted)]
        self._steps.append(journey.Secured(self._clock.now(), tls.version, tls.cipher))

    async def _on_auth(self, event: AuthStart) -> None:
        self._mechanism = self._services.mechanisms(event.mechanism)
        if self._mechanism is None:
            self._machine.answer(replies.UNKNOWN_MECHANISM)
            return
        await self._go_on(self._mechanism, event.initial)

    async def _on_auth_response(self, event: AuthResponse) -> None:
        if event.data is None or self._mechanism is None:
            self._mechanism = None
            return  # cancelled; the machine has answered
        await self._go_on(self._mechanism, event.data)

    async def _go_on(self, mechanism: Mechanism, response: bytes | None) -> None:
        try:
            outcome = mechanism.step(response)
        except ValueError:
            self._mechanism = None
            self._machine.answer(replies.BAD_AUTH_EXCHANGE)
            return
        if isinstance(outcome, Challenge):
            self._machine.challenge(outcome.text)
            return
        self._mechanism = None
        await self._prove(outcome, mechanism.name)

    async def _prove(self, proof: Proof, mechanism: str) -> None:
        found = await self._services.logins.login(proof.name, proof.password, self._peer, acting_as=proof.acting_as)
        count_login(self._peer.listener, mechanism, found)
        if isinstance(found, LoginRefusal):
            self._machine.answer(_REFUSALS[found])
            return
        self._login = found
        self._peer = replace(self._peer, account=found.account)
        self._steps.append(journey.SignedIn(self._clock.now(), found.name, mechanism))
        self._machine.answer(replies.SIGNED_IN)

    # ---- the transaction --------------------------------------------------------------------------

    async def _on_mail(self, event: MailFrom) -> None:
        services = self._services
        if services.rules.needs_login and self._login is None:
            self._machine.answer(replies.SIGN_IN_FIRST)
            return
        if services.space.refusal is not None:
            self._machine.answer(services.space.refusal)
            return
        transaction = _Transaction(event.path, event.body, event.utf8)
        if services.policies.has(Stage.SENDER):
            context = SenderContext(self._peer, services.world, event.path, self._owned())
            judged = await self._ask(Stage.SENDER, context, transaction.steps)
            if judged.refusal is not None:
                self._machine.answer(judged.refusal.reply)
                return
        reply = replies.SENDER_OK
        transaction.steps.append(journey.SenderGiven(self._clock.now(), format_path(event.path), reply.text))
        self._transaction = transaction
        self._machine.answer(reply)

    async def _on_rcpt(self, event: RcptTo) -> None:
        transaction = self._transaction
        if transaction is None:
            self._machine.answer(replies.MAIL_FIRST)
            return
        reply = await self._recipient(transaction, event.recipient)
        shown = format_path(event.recipient.path) or "postmaster"
        transaction.steps.append(journey.RecipientGiven(self._clock.now(), shown, reply.text))
        self._machine.answer(reply)
        if failpoints.armed:
            await self._pass("K3")

    async def _recipient(self, transaction: _Transaction, recipient: Recipient) -> Reply:
        services = self._services
        try:
            relay = services.rules.relays and self._login is not None
            routes = await services.router.route(recipient.path, relay=relay, bounce=transaction.sender == NULL_PATH)
        except StoreError as error:
            services.world.log("routing-failed", recipient=format_path(recipient.path), because=str(error))
            return replies.LOCAL_ERROR
        if isinstance(routes, Refused):
            return routes.reply
        if services.policies.has(Stage.RECIPIENT):
            context = RecipientContext(self._peer, services.world, transaction.sender, recipient.path)
            judged = await self._ask(Stage.RECIPIENT, context, transaction.steps)
            if judged.refusal is not None:
                return judged.refusal.reply
            if judged.discard is not None:
                routes = ()
            elif judged.redirects:
                return await self._redirected(transaction, recipient, judged)
        transaction.recipients.append(recipient)
        transaction.routes.append(routes)
        return replies.RECIPIENT_OK

    async def _redirected(self, transaction: _Transaction, recipient: Recipient, judged: Judgement) -> Reply:
        services = self._services
        try:
            routes = await redirected(services.router, judged.redirects, services.world.log, bounce=transaction.sender == NULL_PATH)
        except StoreError as error:
            services.world.log("routing-failed", recipient=format_path(recipient.path), because=str(error))
            return replies.LOCAL_ERROR
        if isinstance(routes, Refused):
            return routes.reply
        transaction.recipients.append(recipient)
        transaction.routes.append(routes)
        return replies.RECIPIENT_OK

    def _on_data(self) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            self._machine.answer(replies.MAIL_FIRST)
            return
        transaction.intake = self._services.intakes.begin()
        self._machine.accept()

    async def _on_chunk(self, event: BodyChunk) -> None:
        transaction = self._transaction
        if transaction is not None and transaction.intake is not None:
            try:
                await transaction.intake.add(event.data)
            except StoreError as error:
                self._services.world.log("intake-failed", because=str(error))
                await transaction.intake.discard()
                transaction.intake = None
                transaction.failure = _failure(error)

    async def _on_end(self, event: BodyEnd) -> None:
        transaction, self._transaction = self._transaction, None
        began = self._clock.monotonic()
        if event.problem is not None:
            if transaction is not None and transaction.intake is not None:
                await transaction.intake.discard()
            self._machine.answer(event.problem)
            self._dots.count(event.problem.code, self._clock.monotonic() - began)
            return
        if transaction is None or transaction.intake is None:
            self._machine.answer(replies.LOCAL_ERROR if transaction is None else transaction.failure)
            return
        reply = await self._arrive(transaction, transaction.intake, event.lines)
        self._machine.answer(reply)
        self._dots.count(reply.code, self._clock.monotonic() - began)
        if failpoints.armed:
            await self._pass("K10")

    async def _arrive(self, transaction: _Transaction, intake: Intake, lines: int) -> Reply:
        services = self._services
        envelope = Envelope(
            services.ids.envelope_id(),
            transaction.sender,
            tuple(transaction.recipients),
            self._peer,
            self._clock.now(),
            transaction.body,
            transaction.utf8,
        )
        steps = [*self._steps, *transaction.steps]
        incoming = Incoming(envelope, tuple(transaction.routes), steps, self._owned(), services.rules.mends, lines)
        try:
            return await services.arrivals.arrive(incoming, intake, services.policies)
        except StoreError as error:
            services.world.log("arrival-failed", envelope=envelope.id, because=str(error))
            return _failure(error)
        finally:
            await intake.discard()

    async def _pass(self, failpoint: str) -> None:
        """What has been answered is with the system before the point is passed."""
        await self._connection.flush()
        failpoints.hit(failpoint)

    async def _drop_transaction(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None and transaction.intake is not None:
            await transaction.intake.discard()

    # ---- judgement --------------------------------------------------------------------------------

    def _owned(self) -> frozenset[str]:
        return self._login.addresses if self._login is not None else frozenset()

    async def _ask(
        self,
        stage: Stage,
        context: ConnectContext | HelloContext | SenderContext | RecipientContext,
        steps: list[journey.Step] | None = None,
    ) -> Judgement:
        judged = await self._services.policies.ask(stage, context)
        note(judged, stage, self._clock.now(), self._steps if steps is None else steps)
        return judged


def _failure(error: StoreError) -> Reply:
    return replies.STORAGE_FULL if isinstance(error, StorageFull) else replies.LOCAL_ERROR


def session_of(services: SmtpServices) -> Callable[[Connection[ServerEvent]], Awaitable[None]]:
    """The session function that a listener calls for each connection."""

    async def session(connection: Connection[ServerEvent]) -> None:
        machine = connection.machine
        if isinstance(machine, SmtpServer):
            await SmtpSession(connection, machine, services).run()

    return session

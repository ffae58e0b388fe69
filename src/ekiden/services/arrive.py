"""The one way in: judge, place, store in one transaction, then say yes.

Whatever comes by SMTP, LMTP or submission, and every report that we write ourselves, becomes mail through here. The reply is
returned only after the commit has been synced (house.md §1 (4)).
Source: house.md §6 (A6 … A10, B3 … B5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

from ekiden.base import failpoints, measures
from ekiden.base.clock import Clock, Millis
from ekiden.base.errors import Damaged
from ekiden.base.ids import AccountId, BlobId, EnvelopeId, id_text
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, Domain, Path, format_path
from ekiden.mail.envelope import Blob, Envelope, Recipient
from ekiden.mail.headers import USUAL, HeaderLimits, Headers, over_limits
from ekiden.mail.trace import received, with_keyword
from ekiden.policy.chain import NO_OPINION, Chain, Judgement, folder_of
from ekiden.policy.learned import NOT_LEARNED, Learned
from ekiden.policy.rules import NO_LISTS, Listings
from ekiden.policy.stage import MessageContext, Stage, World
from ekiden.policy.verdict import Defer, Quarantine
from ekiden.services.deposit import Analysis, analyse, new_message
from ekiden.services.forwarding import Forward, Forwarding, Loop
from ekiden.services.intake import INLINE_BYTES, Intake, Stored
from ekiden.services.keys import KeysUnusable
from ekiden.services.likeness import Likenesses
from ekiden.services.listings import MessageListings
from ekiden.services.origins import UNASKED, Origin, Origins
from ekiden.services.redirecting import redirected
from ekiden.services.refusals import Refusals
from ekiden.services.routing import Local, Refused, Remote, Route, Router
from ekiden.services.signing import Signing
from ekiden.services.submit import mend
from ekiden.services.verdicts import note
from ekiden.smtp import replies
from ekiden.smtp.replies import Reply
from ekiden.store import journeys, mailboxes, messages, queue
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx
from ekiden.store.messages import NewMessage

_FEW_COPIES = 10
_SLOW_S = 30.0
_RETURN_PATH_BYTES = len("Return-Path: <>\r\n")
_DELIVERED_TO_BYTES = len("Delivered-To: \r\n")


class Incoming(NamedTuple):
    """A message at its final dot. routes: for each recipient of the envelope, in order; none for one to discard.

    mends: complete it (submission). owned: the addresses of the signed-in account. steps: the journey so far. lines: how many line
    ends the content has, where that is known.
    """

    envelope: Envelope
    routes: tuple[tuple[Route, ...], ...]
    steps: list[journey.Step]
    owned: frozenset[str] = frozenset()
    mends: bool = False
    lines: int | None = None


class Placement(NamedTuple):
    """What one transaction does: copies into mailboxes, copies into the queue; each copy once."""

    local: tuple[Local, ...]
    remote: tuple[tuple[Recipient, Remote], ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """How mail for other servers is treated: status "due", or "held" with the reason."""

    status: str = "due"
    because: str = ""


class _Form(NamedTuple):
    """A message that comes in, as far as it has come. prefix: our fields on top."""

    raw: bytes
    intake: Intake
    analysis: Analysis
    prefix: bytes


class _Arrival(NamedTuple):
    """All that one transaction needs to know of a message. outside: the envelope of copies for other servers. keep: done with it."""

    envelope: Envelope
    message: NewMessage
    placement: Placement
    quarantines: tuple[Quarantine, ...]
    steps: Sequence[journey.Step]
    reply: Reply
    outside: Envelope
    keep: Callable[[Tx], None] | None = None


class Arrivals:
    """Takes messages in for one process.

    on_queued is called after a commit that put something into the queue; judging_s: what all policies of a message may take together,
    else it is put off with 451 4.4.5 (reliability.md §1.3, C8); changes hears which accounts to look at; hops: how many Received
    fields make a loop (RFC 5321 §6.3: at least 100). router: where a policy may send mail instead. seals: what an alias sends
    on is to be sealed when it leaves.
    """

    def __init__(
        self,
        database: Database,
        changes: Changes,
        clock: Clock,
        world: World,
        hostname: str,
        *,
        outside: Outside = Outside(),
        on_queued: Callable[[], None] = lambda: None,
        judging_s: float = 120.0,
        origins: Origins | None = None,
        hops: int = 100,
        headers: HeaderLimits = USUAL,
        signing: Signing | None = None,
        forwarding: Forwarding | None = None,
        seals: bool = False,
        router: Router | None = None,
        likenesses: Likenesses | None = None,
    ) -> None:
        self._database = database
        self._changes = changes
        self._clock = clock
        self._world = world
        self._hostname = hostname
        self._outside = outside
        self._on_queued = on_queued
        self._judging_s = judging_s
        self._origins = origins
        self._hops = hops
        self._headers = headers
        self._signing = signing
        self._forwarding = forwarding
        self._seals = seals
        self._router = router
        self._refusals = Refusals(database, clock, world.log)
        self._likenesses = likenesses

    async def arrive(self, incoming: Incoming, intake: Intake, policies: Chain | None) -> Reply:
        """Judge and store one message; the reply that its sender may hear. Raises StoreError (nothing is stored then)."""
        envelope = incoming.envelope
        if not any(incoming.routes):
            return self._discarded(envelope)
        raw = await intake.read_back()
        measures.RECEIVED_BYTES.of(envelope.peer.listener).value += len(raw)
        analysis = await self._analyse(raw, lines=incoming.lines)
        steps = incoming.steps
        steps.append(journey.ContentReceived(self._clock.now(), len(raw), analysis.message_id))
        refusal = self._sane(analysis)
        if refusal is not None:
            return await self._refusals.keep(envelope, steps, refusal)
        judged = await self._judge(incoming, analysis, raw, policies)
        if judged.refusal is not None:
            return await self._refusals.keep(envelope, steps, judged.refusal.reply)
        if judged.discard is not None:
            return self._discarded(envelope)
        if judged.redirects and self._router is not None:
            routes = await redirected(self._router, judged.redirects, self._world.log, bounce=envelope.sender == NULL_PATH)
            if isinstance(routes, Refused):
                return await self._refusals.keep(envelope, steps, routes.reply)
            incoming = incoming._replace(routes=tuple(routes if given else () for given in incoming.routes))
        prefix = b"".join(b"%s: %s\r\n" % (tag.field, tag.value) for tag in judged.tags)
        raw, intake, analysis, prefix = await self._kept_form(incoming, _Form(raw, intake, analysis, prefix))
        placement = place(envelope, incoming.routes)
        try:
            forward, prefix = await self._on_top(incoming, placement, analysis.headers, prefix, raw)
        except Loop:
            return await self._refusals.keep(envelope, steps, replies.LOOP_FOUND)
        except (KeysUnusable, Damaged) as error:  # what should be signed never leaves without (docs/adr/0012-signing-and-forwarding.md)
            self._world.log("keys-unusable", level="error", envelope=id_text(envelope.id), because=str(error))
            return await self._refusals.keep(envelope, steps, replies.CANNOT_SIGN)
        steps += forward.steps
        if failpoints.armed:
            failpoints.hit("K5")
        stored = await intake.finish()
        if failpoints.armed:
            failpoints.hit("K7")
        reply = replies.accepted(envelope.id)
        message = _message(envelope, analysis, stored, prefix)
        item = _Arrival(envelope, message, placement, judged.quarantines, steps, reply, forward.envelope, forward.keep)
        few = len(placement.local) + len(placement.remote) <= _FEW_COPIES and stored.blob.size <= INLINE_BYTES
        touched = await self._database.write_each(self._store, item, brief=few)
        intake.kept()  # before anything else: what fails from here on must not delete what a row names
        if failpoints.armed:
            failpoints.hit("K9")
        for account in touched:
            self._changes.poke(account)
        if failpoints.armed:
            failpoints.hit("K11")
        if placement.remote:
            self._on_queued()
        return reply

    async def _kept_form(self, incoming: Incoming, form: _Form) -> _Form:
        """Without forged words of ours; what our own people send, with what it lacks."""
        raw, intake, analysis, prefix = form
        envelope, steps = incoming.envelope, incoming.steps
        if self._origins is not None:
            honest, forged = self._origins.without_forged(analysis.headers, raw)
            if forged:
                steps += [journey.Stripped(self._clock.now(), name, count) for name, count in forged.items()]
                raw = honest
                intake = await intake.replaced_by(raw)
                analysis = await self._analyse(raw)
        if incoming.mends:
            mended = mend(raw, analysis.headers, envelope.id, envelope.received_at, self._hostname)
            if mended.amended:
                steps.append(journey.Amended(self._clock.now(), ", ".join(mended.amended)))
            prefix = mended.prefix + prefix
            if mended.raw is not raw:
                raw = mended.raw
                intake = await intake.replaced_by(raw)
            if mended.amended:
                analysis = await self._analyse(mended.prefix + raw, len(mended.prefix))
        return _Form(raw, intake, analysis, prefix)

    def prepare(
        self, envelope: Envelope, routes: Sequence[Sequence[Route]], raw: bytes, steps: Sequence[journey.Step], prefix: bytes = b""
    ) -> Callable[[Tx], tuple[AccountId, ...]]:
        """What takes in a small message that we have written ourselves, as part of a transaction of the caller's.

        prefix: fields to put on top, such as its signatures. Returns the accounts to poke after the commit. For a report, which has to be
        there together with what it tells of (house.md §7, Q5).
        """
        analysis = analyse(raw)
        stored = Stored(Blob(BlobId(""), len(raw), sha256(raw).digest()), raw)
        placement = place(envelope, routes)
        reply = replies.accepted(envelope.id)
        item = _Arrival(envelope, _message(envelope, analysis, stored, prefix), placement, (), steps, reply, envelope)
        return lambda tx: self._store(tx, (item,))[0]

    async def _on_top(
        self, incoming: Incoming, placement: Placement, headers: Headers, prefix: bytes, raw: bytes
    ) -> tuple[Forward, bytes]:
        """How copies for other servers go on, and all that is put on top of raw. Raises Loop, KeysUnusable, Damaged, StoreError."""
        signatures = await self._signatures(incoming, prefix, raw)
        forward = await self._forward(incoming, placement, headers)
        prefix = forward.prefix + signatures + self._trace(incoming.envelope) + prefix
        if self._seals and forward.by is not None and isinstance(forward.by.host, Domain):
            forward = replace(forward, envelope=replace(forward.envelope, seal_by=forward.by.host.ascii))
        return forward, prefix

    async def _signatures(self, incoming: Incoming, top: bytes, raw: bytes) -> bytes:
        """The signatures of what our people submit; top: what we have put on raw so far. Raises KeysUnusable, Damaged, StoreError."""
        if not incoming.mends or self._signing is None:
            return b""
        signed = await self._signing.sign(top, raw)
        incoming.steps.extend(signed.steps)
        return signed.fields

    async def _forward(self, incoming: Incoming, placement: Placement, headers: Headers) -> Forward:
        """How copies for other servers go on. Raises Loop, KeysUnusable, Damaged, StoreError."""
        envelope = incoming.envelope
        if self._forwarding is None or not placement.remote or envelope.peer.account is not None:
            return Forward(envelope)
        by = [
            recipient.path
            for recipient, routes in zip(envelope.recipients, incoming.routes, strict=True)
            if any(isinstance(route, Remote) and not route.ours and not route.back for route in routes)
        ]
        if not by:
            return Forward(envelope)
        return await self._forwarding.ahead(envelope, by, headers, stays=bool(placement.local))

    def _discarded(self, envelope: Envelope) -> Reply:
        """Accepted and kept nowhere, as a policy wants it (policy.verdict.Discard)."""
        self._world.log("message-discarded", level="debug", envelope=id_text(envelope.id), sender=format_path(envelope.sender))
        return replies.accepted(envelope.id)

    def _sane(self, analysis: Analysis) -> Reply | None:
        if analysis.hops >= self._hops:
            return replies.LOOP_FOUND
        if over_limits(analysis.headers, self._headers):
            return replies.HEADER_TOO_BIG
        return None

    async def _analyse(self, raw: bytes, top: int = 0, lines: int | None = None) -> Analysis:
        """The facts of a message; top: how many of its first bytes are prefix and not content."""
        if len(raw) <= INLINE_BYTES:
            return analyse(raw, top, lines)
        return await asyncio.to_thread(analyse, raw, top, lines)

    async def _judge(self, incoming: Incoming, analysis: Analysis, raw: bytes, policies: Chain | None) -> Judgement:
        if policies is None or not policies.has(Stage.MESSAGE):
            return NO_OPINION
        envelope = incoming.envelope
        headers = analysis.headers
        origin = self._origins.begin(envelope, headers, raw) if self._origins is not None else UNASKED
        context = MessageContext(
            envelope.peer,
            self._world,
            envelope,
            envelope.recipients,
            headers,
            len(raw),
            incoming.owned,
            authentication=origin.checks,
            listings=self._listings(origin, envelope, headers, raw),
            accounts=tuple(route.account if isinstance(route, Local) else None for routes in incoming.routes for route in routes),
            resolver=origin.dns,
            learned=self._learned(incoming, headers, raw),
        )
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._judging_s):
                judged = await policies.ask(Stage.MESSAGE, context)
        except TimeoutError:
            # RFC 1047: who answers too late makes duplicates. Nothing has been stored yet, so nothing has to be undone.
            judged = Judgement(Defer(replies.TOOK_TOO_LONG, f"judging took more than {self._judging_s:g} s"))
        if (took := self._clock.monotonic() - began) > _SLOW_S:
            self._world.log("judging-slow", level="warning", envelope=id_text(envelope.id), seconds=round(took, 1))
        if self._origins is not None:
            incoming.steps.extend(await self._origins.end(origin, envelope, judged, self._clock.now()))
        note(judged, Stage.MESSAGE, self._clock.now(), incoming.steps)
        return judged

    def _listings(self, origin: Origin, envelope: Envelope, headers: Headers, raw: bytes) -> Listings:
        """What lists in the DNS have of a message from outside, if any list is to be asked."""
        lists = self._world.rules.lists
        if lists is None or origin.dns is None or not origin.checks.applies:
            return NO_LISTS
        return MessageListings(lists, envelope, headers, raw, origin.checks.author.domain, origin.dns)

    def _learned(self, incoming: Incoming, headers: Headers, raw: bytes) -> Learned:
        """What readers have taught about mail like this; of what our own people submit nothing is asked."""
        if self._likenesses is None or incoming.envelope.peer.account is not None:
            return NOT_LEARNED
        accounts = {route.account for routes in incoming.routes for route in routes if isinstance(route, Local)}
        return self._likenesses.about(raw, headers, accounts)

    def _trace(self, envelope: Envelope) -> bytes:
        peer = envelope.peer
        if peer.listener == "house":
            return b""
        recipients = envelope.recipients
        return received(
            hello=peer.hello,
            ip=peer.ip,
            name=peer.name,
            by=self._hostname,
            with_protocol=with_keyword(
                extended=peer.extended,
                lmtp=peer.listener == "lmtp",
                tls=peer.tls is not None,
                auth=peer.account is not None,
                utf8=envelope.utf8,
            ),
            id=id_text(envelope.id),
            at=envelope.received_at,
            for_recipient=recipients[0].path if len(recipients) == 1 and recipients[0].path.host is not None else None,
            tls_version=peer.tls.version if peer.tls is not None else "",
            tls_cipher=peer.tls.cipher if peer.tls is not None else "",
        )

    def _store(self, tx: Tx, arrivals: Sequence[_Arrival]) -> list[tuple[AccountId, ...]]:
        """The transaction of A8 and B4, for many: the messages, their copies, their deliveries and their journeys."""
        now = self._clock.now()
        messages.insert_all(tx, [arrival.message for arrival in arrivals])
        copies: list[messages.Copy] = []
        names: list[str] = []
        for arrival in arrivals:
            message = arrival.message
            size = _RETURN_PATH_BYTES + len((message.sender or "").encode()) + len(message.prefix) + message.blob.size
            for local in arrival.placement.local:
                folder = folder_of(arrival.quarantines, local.account) if arrival.quarantines else ""
                mailbox, name = mailboxes.inbox_or(tx, local.account, local.inbox, folder or local.folder, now)
                whole = size + len(local.delivered_to.encode()) + _DELIVERED_TO_BYTES
                copies.append(messages.Copy(mailbox, message.id, message.received_at, whole, local.delivered_to))
                names.append(name)
        uids = messages.deposit_all(tx, copies)
        if failpoints.armed:
            failpoints.hit("K19")
        begun: list[tuple[EnvelopeId, Sequence[journey.Step]]] = []
        at = 0
        for arrival in arrivals:
            steps = list(arrival.steps)
            for local in arrival.placement.local:
                steps.append(journey.Deposited(now, local.delivered_to, local.name, names[at], uids[at]))
                at += 1
            if arrival.placement.remote:
                self._enqueue(tx, arrival.outside, arrival.placement.remote, steps, now)
            if arrival.keep is not None:
                arrival.keep(tx)
            steps.append(journey.Committed(now, arrival.reply.text))
            begun.append((arrival.envelope.id, steps))
        journeys.begin_all(tx, begun)
        if failpoints.armed:
            failpoints.hit("K8")
        return [tuple({local.account for local in arrival.placement.local}) for arrival in arrivals]

    def _enqueue(
        self, tx: Tx, envelope: Envelope, remote: Sequence[tuple[Recipient, Remote]], steps: list[journey.Step], now: Millis
    ) -> None:
        for recipient, route in remote:
            how = Outside() if route.ours else self._outside
            queue.enqueue(tx, envelope, recipient, route.next_hop, status=how.status, because=how.because, now=now)
            steps.append(journey.Queued(now, format_path(recipient.path), route.next_hop, how.status, how.because))


def _message(envelope: Envelope, analysis: Analysis, stored: Stored, prefix: bytes) -> NewMessage:
    return new_message(
        envelope.id,
        analysis,
        stored.blob,
        stored.inline,
        sender=format_path(envelope.sender),
        prefix=prefix,
        received_at=envelope.received_at,
    )


def place(envelope: Envelope, routes: Sequence[Sequence[Route]]) -> Placement:
    """All copies that the routes ask for, each once: one a mailbox, one a remote address (row SS-26)."""
    if len(routes) == 1 and len(routes[0]) == 1 and isinstance(routes[0][0], Local):
        return Placement((routes[0][0],), ())
    local: dict[tuple[AccountId, str], Local] = {}
    remote: dict[Path, tuple[Recipient, Remote]] = {}
    for recipient, targets in zip(envelope.recipients, routes, strict=True):
        for target in targets:
            if isinstance(target, Local):
                local.setdefault((target.account, target.folder), target)
            else:
                sent_on = recipient if recipient.path == target.path else Recipient(target.path, recipient.original, recipient.notify)
                remote.setdefault(target.path, (sent_on, target))
    return Placement(tuple(local.values()), tuple(remote.values()))

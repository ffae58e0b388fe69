"""One try to hand the copies of one envelope over to one next hop.

Hosts in the order of the DNS, their addresses one after another, never one of our own listeners; opportunistic TLS with one
more try in clear; what a host has answered is an Outcome for each recipient, and so is everything that goes wrong.
Source: RFC 5321 §5.1, §4.5.4.1, RFC 7505 §4.2, RFC 3207 §4.1; house.md §6 (B6, B7).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Container, Sequence
from dataclasses import dataclass, field, replace

from ekiden.base.clock import Clock
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import BadValue, StoreError
from ekiden.base.ids import BlobId
from ekiden.dns.mx import Hop, MailHosts, Problem, is_public, mail_hosts
from ekiden.dns.questions import Lookup, Resolver, ask_anyhow, records_of
from ekiden.dns.records import A, Aaaa, Mx
from ekiden.mail import journey
from ekiden.mail.address import Ip, format_path, parse_address_literal
from ekiden.mail.envelope import Body, Tls
from ekiden.net.dial import Call, CallFailed, Sources, WouldCallOurselves, dial
from ekiden.services.conversation import Context, Conversation, Failed, Manner, TlsFailed, converse
from ekiden.services.sealing import Sealing
from ekiden.smtp.client_events import MessageDone, Result
from ekiden.smtp.replies import Reply, printable
from ekiden.store.blob import BlobStore
from ekiden.store.messages import Sendable
from ekiden.store.queue import Batch, Delivery

_RECIPIENTS_AT_ONCE = 100  # RFC 5321 §4.5.3.1.8: what every host must take
_PIECE_BYTES = 262_144
_TOO_MANY_RECIPIENTS = 452  # RFC 5321 §4.5.3.1.10: the rest may be sent at once, in another transaction


@dataclass(frozen=True, slots=True)
class AttemptSettings:
    """Where mail goes, and how.

    port: of other mail servers. smarthost: takes everything instead. sources: the addresses we call from.
    connect_s: for one address; attempt_s: for all of one try. may_dial: which addresses may be dialled at all; is_ours: whether
    an address and port are a listener of our own. own_names: by which we are known as a mail host.
    """

    manner: Manner
    port: int = 25
    smarthost: Endpoint | None = None
    sources: Sources = field(default_factory=Sources)
    connect_s: float = 30.0
    attempt_s: float = 1800.0
    may_dial: Callable[[Ip], bool] = is_public
    is_ours: Callable[[Ip, int], bool] = lambda ip, port: False
    own_names: Container[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one copy. host, tls: where it was, "" and None if nobody was reached. is_remote: the host said it.

    ambiguous: the host may have the message all the same (RFC 1047).
    """

    delivery: Delivery
    reply: Reply
    host: str = ""
    is_remote: bool = False
    ambiguous: bool = False
    tls: Tls | None = None


@dataclass(slots=True)
class Attempted:
    """The end of an attempt: an outcome for each delivery of the batch, what to add to the journey.

    conversation: still open, for another message to the same next hop; whoever has it closes it. reached: a host answered.
    """

    outcomes: list[Outcome]
    steps: list[journey.Step] = field(default_factory=list)
    conversation: Conversation | None = None
    reached: bool = True


class Attempts:
    """Makes attempts with what one process has: resolver, clock, blobs, TLS contexts."""

    def __init__(
        self,
        settings: AttemptSettings,
        resolver: Resolver,
        clock: Clock,
        blobs: BlobStore,
        context: Context,
        *,
        shuffle: Callable[[list[Mx]], None] = random.shuffle,
        sealing: Sealing | None = None,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._clock = clock
        self._blobs = blobs
        self._context = context
        self._shuffle = shuffle
        self._sealing = sealing

    async def attempt(self, batch: Batch, sendable: Sendable, reuse: Conversation | None = None) -> Attempted:
        """Try once. reuse: an idle conversation with the same next hop; it is taken over. Never raises for what hosts do."""
        tries = 1 + max(delivery.attempts for delivery in batch.deliveries)
        steps: list[journey.Step] = [journey.Leased(self._clock.now(), batch.next_hop, tries, len(batch.deliveries))]
        until = asyncio.get_running_loop().time() + self._settings.attempt_s
        try:
            sendable = await self._sealed(batch, sendable, steps)
        except BaseException:
            if reuse is not None:
                reuse.drop("given up")
            raise
        if reuse is not None and reuse.is_still_there():
            attempted = await self._hand_over(reuse, batch, sendable, steps, until, is_reused=True)
            if isinstance(attempted, Attempted):
                return attempted
        elif reuse is not None:
            await reuse.close()
        try:
            async with asyncio.timeout_at(until):
                found = await self._reach(batch.next_hop, steps, until)
        except TimeoutError:
            found = Failed(Reply(451, (4, 4, 1), ("no host could be reached in time",)))
        while not isinstance(found, Failed):
            try:
                attempted = await self._hand_over(found.conversation, batch, sendable, steps, until)
            except BaseException:
                found.conversation.drop("given up")
                raise
            if isinstance(attempted, Attempted):
                return attempted
            found = await self._first_of(found.rest, steps, until, attempted)
        return Attempted([Outcome(each, found.reply, is_remote=found.is_remote) for each in batch.deliveries], steps, reached=False)

    # ---- where to -----------------------------------------------------------------------------------

    async def _reach(self, next_hop: str, steps: list[journey.Step], until: float) -> _Reached | Failed:
        """A conversation that is ready, with the first host that has one."""
        hosts = await self._hosts(next_hop, steps)
        if hosts.problem is not None:
            return Failed(_reply_of(hosts.problem))
        return await self._first_of(_addresses(hosts.hops), steps, until, None)

    async def _hosts(self, next_hop: str, steps: list[journey.Step]) -> MailHosts:
        settings = self._settings
        lookup: Lookup[MailHosts]
        if settings.smarthost is not None:
            lookup = _smarthost(settings.smarthost.host)
        else:
            domain: str | Ip = next_hop
            if next_hop.startswith("["):
                try:
                    domain = parse_address_literal(next_hop)
                except BadValue:
                    return MailHosts(next_hop, (), Problem((5, 1, 2), f"{next_hop} is no address"), (), ())
            lookup = mail_hosts(domain, shuffle=self._shuffle, allowed=settings.may_dial, own_names=settings.own_names)
        hosts = await self._resolver.resolve(lookup)
        now = self._clock.now()
        steps += [journey.DnsAnswered(now, printable(str(each.question)), printable(each.brief())) for each in hosts.answers]
        steps += [journey.DnsAnswered(now, printable(each.host), f"not used: {each.because}") for each in hosts.skipped]
        return hosts

    async def _first_of(
        self, addresses: Sequence[tuple[str, Ip]], steps: list[journey.Step], until: float, failed: Failed | None
    ) -> _Reached | Failed:
        """The first of these addresses that is ready to talk, with those after it; else the failure that leaves most hope."""
        refused_by = ""
        for at, (host, ip) in enumerate(addresses):
            if host == refused_by:
                continue
            begun = await self._begin(host, ip, steps, until)
            if isinstance(begun, Conversation):
                return _Reached(begun, addresses[at + 1 :])
            if not begun.same_host:
                refused_by = host
            if failed is None or not (failed.reply.is_temporary and begun.reply.is_permanent):
                failed = begun
        return failed if failed is not None else Failed(Reply(451, (4, 4, 4), ("there is no host to try",)))

    async def _begin(self, host: str, ip: Ip, steps: list[journey.Step], until: float) -> Conversation | Failed:
        """Dial one address and get ready; once more in clear if opportunistic TLS fails."""
        for with_tls in (True, False):
            call = await self._dial(host, ip, steps)
            if isinstance(call, Failed):
                return call
            manner = self._settings.manner
            try:
                async with asyncio.timeout_at(until):
                    return await converse(host, call, manner, self._context, self._clock, steps, with_tls=with_tls)
            except TlsFailed as error:
                steps.append(journey.Dialled(self._clock.now(), host, str(call.ip), call.port, error=printable(f"TLS: {error}")))
                failed = Failed(Reply(454, (4, 7, 5), (printable(f"TLS with {host} failed: {error}"),)))
                if manner.tls != "opportunistic":
                    return failed
            except TimeoutError:
                return Failed(Reply(451, (4, 4, 2), (f"{host} was not ready in time",)))
            except OSError as error:
                return Failed(Reply(451, (4, 4, 2), (printable(f"{host} [{ip}]: {error.strerror or error}"),)))
        return failed

    async def _dial(self, host: str, ip: Ip, steps: list[journey.Step]) -> Call | Failed:
        settings = self._settings
        port = settings.smarthost.port if settings.smarthost is not None else settings.port
        try:
            call = await dial(ip, port, sources=settings.sources, timeout_s=settings.connect_s, is_ours=settings.is_ours)
        except CallFailed as error:
            steps.append(journey.Dialled(self._clock.now(), host, str(error.ip), error.port, error.took_ms, error.error))
            if isinstance(error, WouldCallOurselves):
                return Failed(Reply(554, (5, 4, 6), (f"{host} [{ip}] port {port} is this server itself",)))
            return Failed(Reply(451, (4, 4, 1), (f"{host} [{ip}] port {port}: {error.error}",)))
        steps.append(journey.Dialled(self._clock.now(), host, str(call.ip), call.port, call.took_ms))
        return call

    async def _sealed(self, batch: Batch, sendable: Sendable, steps: list[journey.Step]) -> Sendable:
        """With a seal on top, if there is to be one (ARC)."""
        domain = batch.envelope.seal_by
        if not domain or self._sealing is None:
            return sendable
        seal = await self._sealing.seal(sendable.prefix, self._content(sendable), domain)
        steps += seal.steps
        return replace(sendable, prefix=seal.fields + sendable.prefix) if seal.fields else sendable

    # ---- handing over -------------------------------------------------------------------------------

    async def _hand_over(
        self,
        conversation: Conversation,
        batch: Batch,
        sendable: Sendable,
        steps: list[journey.Step],
        until: float,
        *,
        is_reused: bool = False,
    ) -> Attempted | Failed:
        """All recipients of a batch over one conversation.

        Failed if the host was gone before it said anything about them: that is as good as not having reached it.
        """
        conversation.steps, conversation.until = steps, until
        size = len(sendable.prefix) + sendable.size
        eight_bit = _is_eight_bit(batch, sendable)
        refusal = _unfit(conversation, size, eight_bit)
        if refusal is not None:
            outcomes = [Outcome(each, refusal, conversation.host, tls=conversation.tls) for each in batch.deliveries]
            return Attempted(outcomes, steps, conversation)
        outcomes = []
        waiting = list(batch.deliveries)
        limit = _RECIPIENTS_AT_ONCE
        while waiting:
            if outcomes and not conversation.is_idle:
                outcomes += [Outcome(each, _lost(conversation.host), conversation.host, tls=conversation.tls) for each in waiting]
                break
            now, waiting = waiting[:limit], waiting[limit:]
            paths = [format_path(each.recipient.path) for each in now]
            sender = format_path(batch.envelope.sender)
            try:
                done = await conversation.send(sender, paths, self._pieces(sendable), size=size, eight_bit=eight_bit)
            except StoreError as error:
                reply = Reply(451, (4, 3, 0), (printable(f"our copy of the message cannot be read: {error}"),))
                done = MessageDone(tuple(Result(reply, is_remote=False) for _ in now))
            # A goodbye that crosses the first message after a pause is none to that message (row OU-26).
            crossed = is_reused and all(result.reply.code == 421 for result in done.results)
            if (done.untouched or crossed) and not outcomes and not conversation.is_idle:
                await conversation.close()
                return Failed(done.results[0].reply, done.results[0].is_remote)
            taken = sum(result.reply.is_positive for result in done.results)
            for delivery, result in zip(now, done.results, strict=True):
                if result.reply.code == _TOO_MANY_RECIPIENTS and taken and conversation.is_idle:
                    waiting.append(delivery)
                    limit = min(limit, taken)
                else:
                    outcomes.append(_outcome(delivery, result, conversation, done.ambiguous))
        if conversation.is_idle:
            return Attempted(outcomes, steps, conversation)
        await conversation.close()
        return Attempted(outcomes, steps)

    async def _pieces(self, sendable: Sendable) -> AsyncIterator[bytes]:
        """Prefix and content. Raises StoreError."""
        if sendable.content is not None:
            yield sendable.prefix + sendable.content
            return
        yield sendable.prefix
        async for piece in self._content(sendable):
            yield piece

    async def _content(self, sendable: Sendable) -> AsyncIterator[bytes]:
        """What lies below the prefix. Raises StoreError."""
        if sendable.content is not None:
            yield sendable.content
            return
        at = 0
        while at < sendable.size:
            piece = await asyncio.to_thread(self._blobs.read, BlobId(sendable.blob_id or ""), at, _PIECE_BYTES)
            if not piece:
                raise StoreError(f"blob {sendable.blob_id} is shorter than its row says")
            yield piece
            at += len(piece)


@dataclass(frozen=True, slots=True)
class _Reached:
    """A conversation, and the addresses that were not tried yet."""

    conversation: Conversation
    rest: Sequence[tuple[str, Ip]]


def _addresses(hops: Sequence[Hop]) -> list[tuple[str, Ip]]:
    return [(hop.host, ip) for hop in hops for ip in hop.ips]


def _smarthost(host: str) -> Lookup[MailHosts]:
    """The addresses of the operator's own relay: no MX, and any network (it is his decision)."""
    try:
        literal = parse_address_literal(host if host.startswith("[") else f"[IPv6:{host}]" if ":" in host else f"[{host}]")
    except BadValue:
        pass
    else:
        return MailHosts(host, (Hop(host, (literal,), 0),), None, (), ())
    six = yield from ask_anyhow(Aaaa, host)
    four = yield from ask_anyhow(A, host)
    found: list[Ip] = [each.ip for each in records_of(Aaaa, six)]
    found += [each.ip for each in records_of(A, four)]
    if found:
        return MailHosts(host, (Hop(host, tuple(found), 0),), None, (six, four), ())
    return MailHosts(host, (), Problem((4, 4, 3), f"the relay {host} has no address"), (six, four), ())


def _reply_of(problem: Problem) -> Reply:
    """The problem of a lookup in the form of a reply."""
    return Reply(550 if problem.is_permanent else 450, problem.enhanced, (printable(problem.because),))


def _lost(host: str) -> Reply:
    return Reply(451, (4, 4, 2), (f"{host} ended the connection",))


def _is_eight_bit(batch: Batch, sendable: Sendable) -> bool:
    """Whether content has bytes above 127; for content in a file the word of who sent it counts."""
    if sendable.content is None:
        return batch.envelope.body is not Body.SEVEN
    return not (sendable.content.isascii() and sendable.prefix.isascii())


def _unfit(conversation: Conversation, size: int, eight_bit: bool) -> Reply | None:
    """Why a host cannot take a message, known without asking it (rows OU-13, OU-19)."""
    limit = conversation.capabilities.size_limit
    if limit is not None and size > limit:
        return Reply(552, (5, 3, 4), (f"{conversation.host} takes messages of at most {limit} bytes, this one has {size}",))
    if eight_bit and "8BITMIME" not in conversation.capabilities.keywords:
        # RFC 6152 §3: return it, or convert it to seven bits. gap: conversion, which has to come before signing.
        return Reply(554, (5, 6, 3), (f"{conversation.host} does not take messages with 8-bit content",))
    return None


def _outcome(delivery: Delivery, result: Result, conversation: Conversation, ambiguous: bool) -> Outcome:
    return Outcome(
        delivery,
        result.reply,
        conversation.host,
        result.is_remote,
        ambiguous and not result.is_remote,
        conversation.tls,
    )

"""What `ekiden check mail` finds out: who really sent a message, step by step, and what would become of it here."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from types import ModuleType

from ekiden.app.clock import SystemClock
from ekiden.app.config import Config
from ekiden.app.rules import rules_of
from ekiden.app.ways import ways_of
from ekiden.base.errors import BadValue, ConfigError
from ekiden.base.ids import EnvelopeId
from ekiden.dns.questions import Resolver
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, Ip, Path, parse_mailbox
from ekiden.mail.envelope import Envelope, Peer
from ekiden.mail.headers import parse_headers
from ekiden.net.resolver import DnsResolver, ResolverSettings, system_servers
from ekiden.policy.chain import Chain
from ekiden.policy.loader import load
from ekiden.policy.rules import NO_LISTS
from ekiden.policy.stage import MessageContext, Stage, World
from ekiden.services.listings import MessageListings
from ekiden.services.origins import Origins, Resolvers
from ekiden.services.verdicts import note
from ekiden.smtp.replies import Reply

_RETURN_PATH = re.compile(rb"<([^<>]*)>")
_LONE_LF = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Claim:
    """How a message is said to have come. sender: None for what its Return-Path says."""

    ip: Ip
    helo: str
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What was found. steps: in order. refusal: what the sender would hear, or None. folder: where it would be filed."""

    steps: tuple[journey.Step, ...]
    refusal: Reply | None
    folder: str


def check_mail(config: Config, raw: bytes, claim: Claim, resolvers: Resolvers | None = None) -> Told:
    """Ask the DNS about one message; nothing is kept. raw: with either kind of line ends. Raises BadValue for a sender that is none."""
    return asyncio.run(_check(config, _LONE_LF.sub(b"\r\n", raw), claim, resolvers))


async def _check(config: Config, raw: bytes, claim: Claim, resolvers: Resolvers | None) -> Told:
    clock = SystemClock()
    own = DnsResolver(ResolverSettings(config.dns.servers or system_servers()), clock) if resolvers is None else None
    headers = parse_headers(raw)
    peer = Peer(claim.ip, 0, "mx", hello=claim.helo, extended=True)
    envelope = Envelope(EnvelopeId(0), _sender(claim.sender, headers.first(b"return-path")), (), peer, clock.now())
    source = resolvers or own
    if source is None:
        raise RuntimeError("there is a resolver in either case")
    try:
        origin = Origins(source, ways_of(config)).begin(envelope, headers, raw)
        world = World(clock, _dns(source), _count, lambda event, **fields: None, rules_of(config, clock))
        lists, dns, author = world.rules.lists, origin.dns, origin.checks.author.domain
        asked = MessageListings(lists, envelope, headers, raw, author, dns) if lists is not None and dns is not None else NO_LISTS
        context = MessageContext(
            peer, world, envelope, (), headers, len(raw), authentication=origin.checks, listings=asked, resolver=dns
        )
        await origin.checks.evidence()
        judged = await _judges(config).ask(Stage.MESSAGE, context)
        steps = origin.steps(clock.now())
        note(judged, Stage.MESSAGE, clock.now(), steps)
    finally:
        if own is not None:
            await own.close()
    refusal = judged.refusal.reply if judged.refusal is not None else None
    return Told(tuple(steps), refusal, judged.quarantine.mailbox if judged.quarantine is not None else "")


def _judges(config: Config) -> Chain:
    """DMARC, and the score where it is on; an operator's own policies may need more than a message in a file."""
    names = ["builtin:dmarc", *(name for name in config.policies if name == "builtin:score")]
    return Chain(load(names, _no_file), asyncio.timeout)


def _no_file(path: str) -> ModuleType:
    raise ConfigError([f"policies: {path} is not builtin"])


def _dns(source: Resolvers) -> Resolver:
    return source.for_message()


async def _count(key: str, per_s: int) -> int:
    return 1


def _sender(given: str | None, return_path: bytes | None) -> Path:
    """The reverse path; the null one where the message has none, or one that is no path. Raises BadValue for what was given."""
    if given is not None or return_path is None or (match := _RETURN_PATH.search(return_path)) is None:
        return parse_mailbox(given) if given else NULL_PATH
    try:
        return parse_mailbox(match[1].decode("utf-8", "replace")) if match[1] else NULL_PATH
    except BadValue:
        return NULL_PATH

"""The five stages at which policies are asked, what is known at each, and the decorators that name them.

A context is frozen and carries all that a policy may use: a policy reaches the world through nothing else.
Source: house.md §9.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar

from ekiden.base.clock import Clock
from ekiden.base.ids import AccountId
from ekiden.dns.questions import Resolver
from ekiden.mail.address import Path
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.mail.headers import Headers
from ekiden.policy.authentication import NOT_ASKED, Authentication
from ekiden.policy.learned import NOT_LEARNED, Learned
from ekiden.policy.rules import NO_LISTS, Listings, Rules
from ekiden.policy.verdict import Defer, Said


class Stage(Enum):
    """When a policy is asked; each once for each fact, whatever the peer pipelines."""

    CONNECT = "connect"
    HELLO = "hello"
    SENDER = "sender"
    RECIPIENT = "recipient"
    MESSAGE = "message"


class Count(Protocol):
    """A counter over a sliding window, shared by all doors."""

    def __call__(self, key: str, per_s: int) -> Awaitable[int]:
        """Add one to key and say how many there were in the last per_s seconds, this one included."""
        ...


class Log(Protocol):
    """A structured log line: an event name and printable fields."""

    def __call__(self, event: str, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """What every context offers beside its facts. rules: what builtin policies go by here."""

    clock: Clock
    dns: Resolver
    count: Count
    log: Log
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True, slots=True)
class Context:
    """What is known from the first moment: who connected."""

    peer: Peer
    world: World

    @property
    def dns(self) -> Resolver:
        """Asks what DNS lookups ask."""
        return self.world.dns

    @property
    def rules(self) -> Rules:
        """What builtin policies go by."""
        return self.world.rules

    @property
    def count(self) -> Count:
        """Counts over a window."""
        return self.world.count

    @property
    def log(self) -> Log:
        """Writes a log line."""
        return self.world.log


@dataclass(frozen=True, slots=True)
class ConnectContext(Context):
    """Before the banner."""


@dataclass(frozen=True, slots=True)
class HelloContext(Context):
    """After EHLO or HELO; the name is peer.hello."""


@dataclass(frozen=True, slots=True)
class SenderContext(Context):
    """At MAIL. owned: the addresses of the signed-in account, lower case "local@domain"; empty where nobody signed in."""

    sender: Path
    owned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RecipientContext(Context):
    """At RCPT, after routing has found the recipient to be ours or allowed."""

    sender: Path
    recipient: Path


@dataclass(frozen=True, slots=True)
class MessageContext(Context):
    """After the final dot, before anything is stored. size in bytes of the content as the peer sent it.

    authentication: asks SPF, DKIM, ARC, DMARC and the reverse name, each once, whoever asks.
    learned: says how much the message is like what its readers threw away. listings: says what lists in the DNS have of it.
    accounts: whose mailboxes its copies go to; None stands for a copy that goes elsewhere. resolver: that of this message, whose
    questions have one budget and are steps of its journey.
    """

    envelope: Envelope
    recipients: tuple[Recipient, ...]
    headers: Headers
    size: int
    owned: frozenset[str] = frozenset()
    facts: Mapping[str, object] = field(default_factory=dict)
    authentication: Authentication = NOT_ASKED
    learned: Learned = NOT_LEARNED
    listings: Listings = NO_LISTS
    accounts: tuple[AccountId | None, ...] = ()
    resolver: Resolver | None = None

    @property
    def dns(self) -> Resolver:
        """Asks what DNS lookups ask, for this message."""
        return self.world.dns if self.resolver is None else self.resolver


TIMEOUT_S = 10.0
"""How long a policy may take that says nothing else."""

Judge = Callable[[Any], Awaitable[Said]]
J = TypeVar("J", bound=Judge)


@dataclass(frozen=True, slots=True)
class Policy:
    """One judgement. timeout_s: how long it may take, 0 for one that waits for nothing without a limit of its own.

    when_broken: None means to go on as if it had said nothing.
    """

    name: str
    stage: Stage
    judge: Judge
    timeout_s: float = TIMEOUT_S
    when_broken: type[Defer] | None = Defer


def stage_of(judge: object) -> Stage | None:
    """The stage that a decorator gave to a function, or None for any other object."""
    found = getattr(judge, "ekiden_stage", None)
    return found if isinstance(found, Stage) else None


def _marks(stage: Stage) -> Callable[[J], J]:
    def mark(judge: J) -> J:
        judge.ekiden_stage = stage  # type: ignore[attr-defined]  # functions carry attributes; read by stage_of
        return judge

    return mark


connect = _marks(Stage.CONNECT)
"""Asked before the banner: `async def f(ctx: ConnectContext) -> Verdict | None`."""
hello = _marks(Stage.HELLO)
"""Asked at EHLO and HELO, with a HelloContext."""
sender = _marks(Stage.SENDER)
"""Asked at MAIL, with a SenderContext."""
recipient = _marks(Stage.RECIPIENT)
"""Asked at each RCPT, with a RecipientContext."""
message = _marks(Stage.MESSAGE)
"""Asked after the final dot, with a MessageContext."""

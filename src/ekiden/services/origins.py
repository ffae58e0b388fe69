"""Who really sent a message, as a part of its arrival: checks are begun, told as steps of the journey, and forged claims taken out.

Source: RFC 8601 §5 (fields that claim to be ours), policy.authentication.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ekiden.base.clock import Millis
from ekiden.dns.questions import Answer, Resolver
from ekiden.mail import journey
from ekiden.mail.envelope import Envelope
from ekiden.mail.headers import Headers
from ekiden.mailauth.auth_results import forged_fields
from ekiden.policy.authentication import NOT_ASKED, Authentication, Ways
from ekiden.services.checks import Checks, Subject
from ekiden.smtp.replies import printable


class Asked(Protocol):
    """One question that was asked for a message, and what came back. at: when."""

    @property
    def at(self) -> Millis: ...

    @property
    def answer(self) -> Answer: ...


class OfMessage(Resolver, Protocol):
    """A resolver for one message, which remembers what it was asked."""

    @property
    def trail(self) -> Sequence[Asked]: ...


class Resolvers(Protocol):
    """Where the resolvers of messages come from."""

    def for_message(self) -> OfMessage: ...


class Origin:
    """The checks of one message, and what they asked the DNS."""

    def __init__(self, checks: Authentication, dns: OfMessage | None = None) -> None:
        self.checks = checks
        self._dns = dns

    def steps(self, now: Millis) -> list[journey.Step]:
        """All that was asked and found, in order."""
        steps: list[journey.Step] = []
        for asked in self._dns.trail if self._dns is not None else ():
            answer = asked.answer
            steps.append(journey.DnsAnswered(asked.at, printable(str(answer.question)), printable(str(answer))))
        for each in self.checks.made():
            about = " ".join(f"{name}={value}" for name, value in each.about.items())
            steps.append(journey.Authenticated(now, each.method, each.result.value, printable(about), printable(each.because)))
        return steps


UNASKED = Origin(NOT_ASKED)


class Origins:
    """The checks of all messages that come to a process."""

    def __init__(self, resolvers: Resolvers, ways: Ways) -> None:
        self._resolvers = resolvers
        self._ways = ways

    def without_forged(self, headers: Headers, raw: bytes) -> tuple[bytes, int]:
        """The content without fields that claim to be our Authentication-Results, and how many there were.

        Whoever sends them: what a filter behind us believes must be what we wrote.
        """
        spans = forged_fields(headers, self._ways.authserv_id)
        kept: list[bytes] = []
        at = 0
        for start, end in spans:
            kept.append(raw[at:start])
            at = end
        return (b"".join((*kept, raw[at:])) if spans else raw), len(spans)

    def begin(self, envelope: Envelope, headers: Headers, raw: bytes) -> Origin:
        """For one message; nothing is asked before a policy wants to know. Our own people and our own reports are not checked."""
        peer = envelope.peer
        if peer.account is not None or peer.listener == "house":
            return UNASKED
        dns = self._resolvers.for_message()
        return Origin(Checks(self._ways, Subject(envelope, headers, raw, envelope.received_at), dns), dns)

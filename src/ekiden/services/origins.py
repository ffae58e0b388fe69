"""Who really sent a message, as a part of its arrival: checks are begun, told and counted, and forged claims taken out.

Source: RFC 8601 §5 (fields that claim to be ours), policy.authentication.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ekiden.base.clock import Millis
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH, Domain, Path
from ekiden.mail.envelope import Envelope
from ekiden.mail.headers import Headers
from ekiden.mailauth.auth_results import forged_fields
from ekiden.mailauth.dmarc import Disposition
from ekiden.policy.authentication import NOT_ASKED, Authentication, Ways
from ekiden.policy.chain import Judgement
from ekiden.policy.verdict import Defer, Reject
from ekiden.services import checks
from ekiden.services.checks import Checks, Subject
from ekiden.services.dmarc_counts import Judged
from ekiden.services.dmarc_counts import judged as judged_by_dmarc
from ekiden.smtp.replies import printable

SCORE = "X-Ekiden-Score"
"""The field of builtin:score; from outside it is worth nothing, whoever wrote it."""


class Asked(Protocol):
    """One question that was asked for a message, and what came back. at: when. words: both, printable."""

    @property
    def at(self) -> Millis: ...

    @property
    def words(self) -> tuple[str, str]: ...


class OfMessage(checks.OfMessage, Protocol):
    """A resolver for one message, which knows what it was asked."""

    @property
    def trail(self) -> Sequence[Asked]: ...


class Resolvers(Protocol):
    """Where the resolvers of messages come from."""

    def for_message(self) -> OfMessage: ...


class Origin:
    """The checks of one message, and what they asked the DNS."""

    def __init__(self, checks: Authentication, dns: OfMessage | None = None) -> None:
        self.checks = checks
        self.dns = dns
        """The resolver of the message; None where nobody is asked."""

    async def counted(self, envelope: Envelope, judged: Judgement, now: Millis) -> Judged | None:
        """What the author's domain is to hear of the message in its report. None where DMARC was not asked, or wants no report."""
        if not any(each.method == "dmarc" for each in self.checks.made()) or (outcome := await self.checks.dmarc()) is None:
            return None
        done = _disposition(judged)
        wanted = outcome.disposition.value
        reasons = [("local_policy", "")] if done != wanted and not outcome.overrides else []
        first = envelope.recipients[0].path if envelope.recipients else NULL_PATH
        return judged_by_dmarc(
            outcome, await self.checks.spf(), await self.checks.dkim(), envelope.peer.ip, _domain_of(envelope.sender), _domain_of(first),
            disposition=done, now=now, reasons=reasons, method="treewalk" if self.checks.ways.suffixes is None else "psl",
        )  # fmt: skip

    def steps(self, now: Millis) -> list[journey.Step]:
        """All that was asked and found, in order."""
        steps: list[journey.Step] = []
        for asked in self.dns.trail if self.dns is not None else ():
            steps.append(journey.DnsAnswered(asked.at, *asked.words))
        for each in self.checks.made():
            about = " ".join(f"{name}={value}" for name, value in each.about.items())
            steps.append(journey.Authenticated(now, each.method, each.result.value, printable(about), printable(each.because)))
        return steps


def spans_of(headers: Headers, name: bytes) -> tuple[tuple[int, int], ...]:
    """Where the fields of a name (lower case) stand, as (start, end) in headers.block, in order; end is behind the line end."""
    if not headers.count(name):
        return ()
    found = []
    at = 0
    for (each, _), whole in zip(headers.fields, headers.whole(), strict=True):
        if each.lower() == name:
            found.append((at, at + len(whole)))
        at += len(whole)
    return tuple(found)


def _disposition(judged: Judgement) -> str:
    """What really becomes of a message, in the words of the report; one that is put off comes again and is counted then."""
    if isinstance(judged.refusal, Reject):
        return Disposition.REJECT.value
    return Disposition.QUARANTINE.value if judged.quarantine is not None else Disposition.NONE.value


def _domain_of(path: Path) -> str:
    return path.host.ascii if isinstance(path.host, Domain) else ""


UNASKED = Origin(NOT_ASKED)


class Origins:
    """The checks of all messages that come to a process."""

    def __init__(self, resolvers: Resolvers, ways: Ways, note: Callable[[Judged | None], None] | None = None) -> None:
        self._resolvers = resolvers
        self._ways = ways
        self._note = note

    async def end(self, origin: Origin, envelope: Envelope, judged: Judgement, now: Millis) -> list[journey.Step]:
        """A message has been judged: it is counted for the report to its domain; what was asked and found, as steps."""
        if self._note is not None and not isinstance(judged.refusal, Defer):
            self._note(await origin.counted(envelope, judged, now))
        return origin.steps(now)

    def without_forged(self, headers: Headers, raw: bytes) -> tuple[bytes, dict[str, int]]:
        """The content without fields that claim to be ours, Authentication-Results and X-Ekiden-Score; how many of each there were.

        Whoever sends them: what a filter behind us believes must be what we wrote.
        """
        spans = {"Authentication-Results": forged_fields(headers, self._ways.authserv_id), SCORE: spans_of(headers, SCORE.lower().encode())}
        if not any(spans.values()):
            return raw, {}
        kept: list[bytes] = []
        at = 0
        for start, end in sorted(span for found in spans.values() for span in found):
            kept.append(raw[at:start])
            at = end
        return b"".join((*kept, raw[at:])), {name: len(found) for name, found in spans.items() if found}

    def begin(self, envelope: Envelope, headers: Headers, raw: bytes) -> Origin:
        """For one message; nothing is asked before a policy wants to know. Our own people and our own reports are not checked."""
        peer, dns = envelope.peer, self._resolvers.for_message()
        if peer.account is not None or peer.listener == "house":
            return Origin(NOT_ASKED, dns)  # what an operator's policies ask has one budget and is told, too
        return Origin(Checks(self._ways, Subject(envelope, headers, raw, envelope.received_at), dns), dns)

"""What DMARC said of each message, counted for the reports that its domain asks for.

Whoever has judged a message calls Counts.note(), once, when he knows what becomes of it:

    counts.note(judged(outcome, spf, signatures, peer.ip, envelope_from, envelope_to, disposition="reject", now=clock.now()))

That is one entry of a dictionary; it costs a delivery nothing. Every half minute, and at the end, what has been counted is written in
one transaction. A crash loses at most what has been counted since: a report then says less than happened, and no mail depends on it.
Source: RFC 9990, RFC 7489 §7.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from ekiden.base.clock import Millis, Timer
from ekiden.base.errors import StoreError
from ekiden.mail.address import Ip
from ekiden.mailauth.dmarc import DmarcOutcome
from ekiden.mailauth.results import Result
from ekiden.policy.stage import Log
from ekiden.store import dmarc
from ekiden.store.database import Database, Tx
from ekiden.store.dmarc import Detail, PolicyFound

DAY_MS = 86_400_000
_EVERY_MS = 30_000
_KINDS_MOST = 5000
_SIGNATURES_MOST = 8
_REASONS_MOST = 4
_CHARACTERS = 253


class Judged(NamedTuple):
    """One message that was judged by a policy that asks for reports.

    day: since 1970, UTC. policy_domain: where the record lies. mail: what is told of the message.
    """

    day: int
    policy_domain: str
    policy: PolicyFound
    mail: Detail


class SpfSeen(Protocol):
    """What a report says of SPF."""

    @property
    def result(self) -> Result:
        """What the check says."""
        ...

    @property
    def domain(self) -> str:
        """The domain that was checked."""
        ...


class SignatureSeen(SpfSeen, Protocol):
    """What a report says of one signature."""

    @property
    def selector(self) -> str:
        """Its s=."""
        ...


def judged(
    outcome: DmarcOutcome,
    spf: SpfSeen | None,
    signatures: Iterable[SignatureSeen],
    source: Ip,
    envelope_from: str,
    envelope_to: str,
    *,
    disposition: str,
    now: Millis,
    reasons: Iterable[tuple[str, str]] = (),
    method: str = "treewalk",
) -> Judged | None:
    """What to note of a message; None where nobody wants to know (no policy, or one that asks for no reports).

    spf: the check that DMARC went by. envelope_from, envelope_to: domains, "" for the null path; of several recipients the first one.
    disposition: what really becomes of the message by DMARC: none, quarantine or reject. reasons: (type, comment) beside those of the
    outcome, where that is not what the policy asks for; types are those of RFC 9990. method: "psl" where the list was used. Of a message
    that passed both are left out: what other filters make of it is not said here (RFC 9990 counts it all the same).
    """
    record = outcome.record
    if record is None or not record.rua or outcome.result in (Result.NONE, Result.TEMPERROR):
        return None
    why = [*((each.type.value, each.comment) for each in outcome.overrides), *reasons]
    if outcome.dkim_aligned or outcome.spf_aligned:
        disposition, why = "none", []
    mail = Detail(
        source=str(source),
        header_from=_short(outcome.author_domain),
        envelope_from=_short(envelope_from),
        envelope_to=_short(envelope_to),
        disposition=disposition,
        dkim_aligned=outcome.dkim_aligned,
        spf_aligned=outcome.spf_aligned,
        spf=(_short(spf.domain), spf.result.value) if spf is not None else None,
        signatures=_ordered(signatures, outcome),
        reasons=tuple((type, _short(comment)) for type, comment in why[:_REASONS_MOST]),
    )
    return Judged(now // DAY_MS, outcome.policy_domain, PolicyFound(record.text, outcome.organisation, method), mail)


def _ordered(signatures: Iterable[SignatureSeen], outcome: DmarcOutcome) -> tuple[tuple[str, str, str], ...]:
    """Those that are aligned first, then others that passed, then the rest (RFC 9990 says which to tell of where there are many)."""

    def rank(one: tuple[str, str, str]) -> int:
        domain, _, result = one
        if result != Result.PASS.value:
            return 3
        return 0 if domain == outcome.author_domain else 1 if domain in outcome.dkim_domains else 2

    found = [(_short(each.domain), _short(each.selector), each.result.value) for each in signatures]
    return tuple(sorted(found, key=rank)[:_SIGNATURES_MOST])


def _short(text: str) -> str:
    return text[:_CHARACTERS].lower()


class Counts:
    """The counts of one process until they are written."""

    def __init__(self, database: Database, timer: Timer, log: Log) -> None:
        self._database = database
        self._timer = timer
        self._log = log
        self._counts: dict[Judged, int] = {}
        self._lost = 0

    def note(self, seen: Judged | None) -> None:
        """One message more."""
        if seen is None:
            return
        count = self._counts.get(seen, 0)
        if count == 0 and len(self._counts) >= _KINDS_MOST:
            self._lost += 1  # a flood of mail of which each is of another kind
            return
        self._counts[seen] = count + 1

    async def run(self) -> None:
        """Write what has been counted, now and then, until cancelled."""
        while True:
            await self._timer.sleep_until(Millis(self._timer.now() + _EVERY_MS))
            await self.flush()

    async def flush(self) -> None:
        """Write what has been counted; what cannot be written is kept for the next time."""
        if not self._counts:
            return
        counts, self._counts = self._counts, {}
        by_domain: dict[tuple[int, str], tuple[PolicyFound, dict[Detail, int]]] = {}
        for seen, count in counts.items():
            _, mails = by_domain.setdefault((seen.day, seen.policy_domain), (seen.policy, {}))
            by_domain[seen.day, seen.policy_domain] = (seen.policy, mails)  # the last one is the newest
            mails[seen.mail] = mails.get(seen.mail, 0) + count

        def work(tx: Tx) -> int:
            return sum(dmarc.add(tx, day, domain, policy, mails) for (day, domain), (policy, mails) in by_domain.items())

        try:
            lost = await self._database.write(work) + self._lost
        except StoreError as error:
            self._log("dmarc-counts-kept-back", level="warning", error=error)
            for seen, count in counts.items():
                if seen in self._counts or len(self._counts) < _KINDS_MOST:
                    self._counts[seen] = self._counts.get(seen, 0) + count
            return
        self._lost = 0
        if lost:
            self._log("dmarc-not-counted", level="warning", messages=lost)

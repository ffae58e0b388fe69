"""DMARC: whether mail comes from the domain that its From names, and what that domain wants done if it does not.

`evaluate` takes what SPF and DKIM found and asks the DNS for the policy. Nothing here refuses mail: the outcome says what
the domain asks for, and the caller decides; one that decides otherwise says why with `overridden`, for the report.

- Only what passed and is aligned counts. A signature that covers a part of the body only (l=) counts for nothing.
- Where SPF or DKIM of an aligned domain could not be told now, or the policy could not be found, the outcome is
  neither pass nor fail: DEFER where the policy would refuse or set aside, never a refusal (RFC 9989 §5.3.6).
- spf is the check of MAIL FROM; for the null path that of postmaster@HELO (RFC 7208 §2.4). A check of HELO alone is no
  ground for DMARC and is not to be given here (RFC 9989 §4.4.2).

Source: RFC 9989, RFC 7489, RFC 8601 §2.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol

from ekiden.dns.questions import Lookup, NoAnswer
from ekiden.mailauth.dmarc_record import DmarcRecord, Policy
from ekiden.mailauth.organisation import Records, canonical, exists, is_at_or_below, organisation_of, policy_of
from ekiden.mailauth.public_suffix import SuffixList
from ekiden.mailauth.results import Evidence, Result

MOST_SIGNATURES = 8
"""How many signatures are looked at, those nearest to the author domain first."""


class SpfLike(Protocol):
    """What DMARC needs of an SPF outcome."""

    @property
    def result(self) -> Result:
        """What the check says."""
        ...

    @property
    def domain(self) -> str:
        """The domain that was checked."""
        ...


class DkimLike(SpfLike, Protocol):
    """What DMARC needs of the outcome of one signature; domain is its d=."""

    @property
    def partial(self) -> bool:
        """The signature leaves a part of the body uncovered."""
        ...


class Disposition(Enum):
    """What is to become of the message by its author domain's wish. DEFER: ask again later, 451 4.7.1."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"
    DEFER = "defer"


class OverrideType(Enum):
    """Why a receiver did otherwise, in the words of the report (RFC 7489 appendix C, PolicyOverrideType)."""

    FORWARDED = "forwarded"
    SAMPLED_OUT = "sampled_out"
    TRUSTED_FORWARDER = "trusted_forwarder"
    MAILING_LIST = "mailing_list"
    LOCAL_POLICY = "local_policy"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Override:
    """One reason why the policy was not applied as published. comment: for the report, may be ""."""

    type: OverrideType
    comment: str = ""


@dataclass(frozen=True, slots=True)
class DmarcOutcome:
    """What DMARC says of one message.

    result: NONE where no policy applies, PASS, FAIL, TEMPERROR, or PERMERROR where the record cannot be used.
    author_domain: as in canonical(). organisation: its organisational domain, as far as it had to be found; else "".
    policy_domain: where the record lies, else "". policy: what it asks for, before testing, sampling and overrides; tag:
    the tag that says so ("p", "sp", "np"). spf_aligned: SPF passed for an aligned domain; dkim_domains: those of
    the whole signatures that passed and are aligned, nearest first.
    """

    result: Result
    disposition: Disposition
    author_domain: str
    organisation: str = ""
    policy_domain: str = ""
    record: DmarcRecord | None = None
    policy: Policy | None = None
    tag: str = ""
    spf_aligned: bool = False
    dkim_domains: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    because: str = ""

    @property
    def dkim_aligned(self) -> bool:
        """A signature that counts is of an aligned domain."""
        return bool(self.dkim_domains)

    def overridden(self, type: OverrideType, comment: str = "", to: Disposition = Disposition.NONE) -> DmarcOutcome:
        """The same outcome where the receiver decides otherwise and says why. The result stays: it failed all the same."""
        return replace(self, disposition=to, overrides=(*self.overrides, Override(type, comment)))

    def evidence(self) -> Evidence:
        """As Authentication-Results says it (RFC 9989 §9.1, RFC 9989 §9.2)."""
        about = {"header.from": self.author_domain}
        if self.policy is not None and self.disposition is not Disposition.DEFER:
            about["policy.dmarc"] = self.disposition.value
        return Evidence("dmarc", self.result, about, self.because)


def evaluate(
    author_domain: str,
    spf: SpfLike | None,
    dkim: Sequence[DkimLike],
    *,
    suffixes: SuffixList | None = None,
    draw: int = 0,
) -> Lookup[DmarcOutcome]:
    """Find the policy of the author domain and what it makes of these results. Never raises.

    author_domain: of author.author_of(). suffixes: go by this list and by RFC 7489; None: by the tree of the DNS (RFC 9989).
    draw: 0 … 99, a fresh random number, for the percentage that RFC 7489 §6.6.4 has; RFC 9989 knows none.
    """
    return _Evaluation(canonical(author_domain), spf, dkim, suffixes, draw).run()


@dataclass(slots=True)
class _Evaluation:
    """One run. open: domains that might be aligned and whose check nobody could finish."""

    author: str
    spf: SpfLike | None
    dkim: Sequence[DkimLike]
    suffixes: SuffixList | None
    draw: int
    records: Records = field(default_factory=Records)
    organisation: str = ""
    open: list[str] = field(default_factory=list)

    def run(self) -> Lookup[DmarcOutcome]:
        if not self.author:
            return DmarcOutcome(Result.NONE, Disposition.NONE, "", because="no author domain")
        try:
            found = yield from policy_of(self.records, self.author, self.suffixes)
        except NoAnswer as unknown:
            return self._without_policy(unknown)
        if found is None:
            return DmarcOutcome(Result.NONE, Disposition.NONE, self.author, because="no policy published")
        name, record = found
        if not record.is_usable:
            because = f"the record of {name} has no valid policy"
            return DmarcOutcome(Result.PERMERROR, Disposition.NONE, self.author, "", name, record, because=because)
        spf_aligned, domains = yield from self._aligned(record)
        if not spf_aligned and not domains:
            return (yield from self._failed(record, name))
        policy, tag = record.asks(below=name != self.author)
        because = "aligned: spf, dkim" if spf_aligned and domains else "aligned: spf" if spf_aligned else "aligned: dkim"
        return DmarcOutcome(
            Result.PASS, Disposition.NONE, self.author, self.organisation, name, record, policy, tag, spf_aligned, domains, (), because
        )

    def _without_policy(self, unknown: NoAnswer) -> DmarcOutcome:
        """The policy could not be found. What passed for just this domain would pass under any; all else must wait."""
        spf, dkim = self._passed()
        because = f"no answer about {unknown.answer.question.name}"
        if self.author in (spf, *dkim):
            return DmarcOutcome(Result.TEMPERROR, Disposition.NONE, self.author, because=because)
        return DmarcOutcome(Result.TEMPERROR, Disposition.DEFER, self.author, because=because)

    def _passed(self) -> tuple[str, list[str]]:
        """The domain of MAIL FROM if SPF passed, else ""; those of whole signatures that passed, each once."""
        spf = canonical(self.spf.domain) if self.spf is not None and self.spf.result is Result.PASS else ""
        whole = [canonical(each.domain) for each in self.dkim if each.result is Result.PASS and not each.partial]
        return spf, list(dict.fromkeys(whole))

    def _aligned(self, record: DmarcRecord) -> Lookup[tuple[bool, tuple[str, ...]]]:
        """Whether SPF is aligned, and the domains of signatures that are. Fills open."""
        spf, dkim = self._passed()
        aligned: list[str] = []
        for domain in sorted(dkim, key=self._distance)[:MOST_SIGNATURES]:
            if (yield from self._is_aligned(domain, record.adkim)):
                aligned.append(domain)
        spf_aligned = bool(spf) and (yield from self._is_aligned(spf, record.aspf))
        if spf_aligned or aligned:
            return spf_aligned, tuple(aligned)
        undecided = [(canonical(each.domain), record.adkim) for each in self.dkim if each.result is Result.TEMPERROR]
        if self.spf is not None and self.spf.result is Result.TEMPERROR:
            undecided.append((canonical(self.spf.domain), record.aspf))
        for domain, strict in undecided[:MOST_SIGNATURES]:
            if domain not in self.open and (yield from self._is_aligned(domain, strict)):
                self.open.append(domain)
        return False, ()

    def _distance(self, domain: str) -> int:
        """How far a domain is from the author domain, in labels; large for one of another tree."""
        if is_at_or_below(self.author, domain) or is_at_or_below(domain, self.author):
            return abs(domain.count(".") - self.author.count("."))
        return 1000

    def _is_aligned(self, domain: str, strict: bool) -> Lookup[bool]:
        """Whether an authenticated domain stands for the author domain. Where nobody could tell: False, and it is open."""
        if domain == self.author:
            return True  # RFC 9989 §4.10.2: then no walk is needed
        if strict or not domain or domain.rpartition(".")[2] != self.author.rpartition(".")[2]:
            return False
        try:
            if not self.organisation:
                self.organisation = yield from organisation_of(self.records, self.author, self.suffixes)
            # An organisational domain is the name itself or above it, so a stranger's name needs no question.
            if not is_at_or_below(domain, self.organisation):
                return False
            return (yield from organisation_of(self.records, domain, self.suffixes)) == self.organisation
        except NoAnswer:
            if domain not in self.open:
                self.open.append(domain)
            return False

    def _failed(self, record: DmarcRecord, name: str) -> Lookup[DmarcOutcome]:
        """Nothing is aligned: the policy by its tag, and the disposition of it."""
        below = name != self.author
        policy, tag = record.asks(below=below)
        unknown = f"no answer about {', '.join(self.open)}" if self.open else ""
        if below and record.np not in (None, policy) and not record.is_damaged:
            try:
                policy, tag = record.asks(below=True, exists=(yield from exists(self.author)))
            except NoAnswer:
                unknown = unknown or f"no answer about {self.author}"
                policy, tag = max((policy, tag), record.asks(below=True, exists=False), key=lambda choice: _SEVERITY[choice[0]])
        applied, overrides = self._softened(policy, record)
        if unknown:
            result, because = Result.TEMPERROR, unknown
            disposition = Disposition.NONE if applied is Policy.NONE else Disposition.DEFER
        else:
            result, because = Result.FAIL, f"nothing aligned with {self.author}, {tag}={policy.value} of {name}"
            disposition = _DISPOSITIONS[applied]
        return DmarcOutcome(
            result, disposition, self.author, self.organisation, name, record, policy, tag, overrides=overrides, because=because
        )

    def _softened(self, policy: Policy, record: DmarcRecord) -> tuple[Policy, tuple[Override, ...]]:
        """The policy to apply: one step milder in a test (RFC 9989 §4.7) or outside the sample (RFC 7489 §6.6.4)."""
        if policy is Policy.NONE:
            return policy, ()
        if record.testing:
            return policy.milder, (Override(OverrideType.LOCAL_POLICY, "t=y"),)
        if self.suffixes is not None and self.draw >= record.pct:
            return policy.milder, (Override(OverrideType.SAMPLED_OUT, f"pct={record.pct}"),)
        return policy, ()


_DISPOSITIONS = {policy: Disposition(policy.value) for policy in Policy}
_SEVERITY = {Policy.NONE: 0, Policy.QUARANTINE: 1, Policy.REJECT: 2}

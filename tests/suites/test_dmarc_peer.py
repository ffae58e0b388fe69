"""DMARC beside libopendmarc: both go by RFC 7489 and the list of Debian here, and say the same of every message."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from tests.peers import catalogue, opendmarc
from tests.peers.opendmarc import Case, Verdict

from ekiden.mailauth.dmarc import evaluate
from ekiden.mailauth.public_suffix import SuffixList
from ekiden.mailauth.results import Result
from ekiden.testing.dns import FakeZone

_DOMAINS = (
    "example.com", "mail.example.com", "a.b.mail.example.com", "example.net", "notexample.com", "example.co.jp", "mail.example.co.jp",
    "other.co.jp", "EXAMPLE.com", "blogspot.com", "one.blogspot.com", "two.blogspot.com", "com",
)  # fmt: skip
_TAGS = (("adkim", ("r", "s")), ("aspf", ("r", "s")), ("sp", ("none", "quarantine", "reject")), ("pct", ("100",)))


@dataclass(frozen=True, slots=True)
class Passed:
    """SPF or one signature, of this domain."""

    domain: str
    result: Result = Result.PASS
    partial: bool = False


def _cases(suffixes: SuffixList) -> list[Case]:
    """Messages by chance: an author, what passed, and a record at the author domain or at its organisational domain."""
    chance = random.Random(7489)
    found = []
    for _ in range(3_000):
        author = chance.choice([domain for domain in _DOMAINS if suffixes.registrable(domain)])
        tags = [f"{tag}={chance.choice(values)}" for tag, values in _TAGS if chance.random() < 0.5]
        record = "; ".join(["v=DMARC1", f"p={chance.choice(['none', 'quarantine', 'reject'])}", *tags])
        organisation = suffixes.registrable(author)
        above = organisation if organisation != author.lower() and chance.random() < 0.5 else None
        spf = chance.choice(_DOMAINS) if chance.random() < 0.6 else None
        found.append(Case(author, record, above, spf, chance.sample(_DOMAINS, chance.randrange(3))))
    return found


def _ours(case: Case, suffixes: SuffixList) -> Verdict:
    at = (case.organisation or case.author).lower()
    zone = FakeZone({f"_dmarc.{at}": [f"TXT {case.record}"]})
    spf = Passed(case.spf) if case.spf is not None else None
    outcome = zone.run(evaluate(case.author, spf, [Passed(domain) for domain in case.dkim], suffixes=suffixes))
    policy = "pass" if outcome.result is Result.PASS else outcome.disposition.value
    return Verdict(policy, outcome.spf_aligned, outcome.dkim_aligned)


def _is_known(case: Case, suffixes: SuffixList) -> bool:
    """Where the library is against the text of the RFC.

    It takes a public suffix for aligned with what is registered below it (RFC 7489 §3.1.1 has just that example, "d=com"), and
    in strict mode also a name below the author domain (RFC 7489 §3.1: strict is an exact match).
    """
    author = case.author.lower()
    strict = [*(case.dkim if "adkim=s" in case.record else ()), *([case.spf or ""] if "aspf=s" in case.record else ())]
    passed = [*case.dkim, *([case.spf] if case.spf else ())]
    return any(suffixes.registrable(domain) is None for domain in passed) or any(
        domain.lower().endswith("." + author) for domain in strict
    )


@pytest.mark.peer("libopendmarc", "publicsuffix")
def test_three_thousand_messages_are_judged_alike() -> None:
    file = catalogue.tree("publicsuffix").root / "usr/share/publicsuffix/public_suffix_list.dat"
    suffixes = SuffixList.parse(file.read_text("utf-8"))
    cases = _cases(suffixes)
    theirs = opendmarc.verdicts(cases, file)
    assert {verdict.policy for verdict in theirs} == {"pass", "none", "quarantine", "reject"}
    assert {(verdict.spf_aligned, verdict.dkim_aligned) for verdict in theirs} == {
        (False, False), (False, True), (True, False), (True, True),
    }  # fmt: skip
    different = [(case, their) for case, their in zip(cases, theirs, strict=True) if _ours(case, suffixes) != their]
    assert [each for each in different if not _is_known(each[0], suffixes)] == []
    assert len(different) < 300

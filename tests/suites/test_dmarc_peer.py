"""DMARC beside the programs of others: by RFC 7489 beside libopendmarc, by RFC 9989 beside mailauth. They judge every message alike."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from tests.peers import catalogue, mailauth, opendmarc
from tests.peers.opendmarc import Case, Verdict

from ekiden.dns.questions import Finding, Question
from ekiden.dns.records import A, Cname, Txt
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


_TREE = (
    "com", "example.com", "a.example.com", "b.a.example.com", "c.b.a.example.com", "x.example.com", "y.x.example.com", "other.com", "net",
    "example.net", "a.example.net", "1.2.3.4.5.6.a.example.com", "1.2.3.4.5.6.7.8.9.a.example.com", "z.3.4.5.6.7.8.9.a.example.com",
)  # fmt: skip
_POLICIES = ("none", "quarantine", "reject")
_CHANCES = (
    ("p", (*_POLICIES * 6, "bad"), 0.93), ("sp", (*_POLICIES * 6, "bad"), 0.4), ("np", _POLICIES, 0.4), ("adkim", ("r", "s"), 0.3),
    ("aspf", ("r", "s"), 0.3), ("t", ("y", "n"), 0.2), ("psd", ("y", "n", "u"), 0.35), ("rua", ("mailto:a@b.test", "bad"), 0.4),
    ("pct", ("0", "50"), 0.2),
)  # fmt: skip
_ERRORS = {Finding.FAILED: "ESERVFAIL", Finding.NO_NAME: "ENOTFOUND", Finding.NO_DATA: "ENODATA"}


def _published(chance: random.Random) -> str:
    """A record of DMARC, another one, or a failure."""
    if chance.random() < 0.08:
        return chance.choice(["SERVFAIL", "TXT v=spf1 -all"])
    tags = [f"{tag}={chance.choice(values)}" for tag, values, often in _CHANCES if chance.random() < often]
    chance.shuffle(tags)
    return "TXT " + chance.choice(["v=DMARC1; ", "v=DMARC1;", "V = DMARC1 ; "]) + chance.choice(["; ", ";", " ; "]).join(tags)


def _some_zone(chance: random.Random) -> FakeZone:
    zone = FakeZone({})
    for name in _TREE:
        if chance.random() < 0.35:
            zone["_dmarc." + name] = [_published(chance) for _ in range(2 if chance.random() < 0.07 else 1)]
        if chance.random() < 0.3:
            zone[name] = [chance.choice(["A 192.0.2.1", "MX 0 .", "CNAME nowhere.test.", "SERVFAIL"])]
    return zone


def _answer(zone: FakeZone, question: Question) -> list[list[str]] | str:
    answer = zone.answer(question)
    if answer.finding is not Finding.FOUND:
        return _ERRORS[answer.finding]
    return [[part.decode() for part in record.strings] if isinstance(record, Txt) else [str(record)] for record in answer.records]


def _tree_case(chance: random.Random, zone: FakeZone) -> mailauth.Case:
    author = chance.choice(_TREE)
    spf = chance.choice((*_TREE, *[None] * 6))
    dkim = chance.sample(_TREE, chance.choice([0, 0, 1, 2, 3]))
    questions = {Question(A, author), Question(Cname, author)}
    for domain in (author, *dkim, *([spf] if spf else ())):
        labels = domain.split(".")
        questions |= {Question(Txt, "_dmarc." + ".".join(labels[at:])) for at in range(len(labels))}
    return mailauth.Case(author, spf, dkim, {f"{each.kind.TYPE} {each.name}": _answer(zone, each) for each in questions})


@pytest.mark.nightly
@pytest.mark.peer("mailauth")
@pytest.mark.parametrize("seed", [9989, 9990, 9991])
def test_ten_thousand_trees_are_walked_alike(seed: int) -> None:
    """By RFC 9989: result, alignment, where the policy lies, the organisation, and what becomes of what fails."""
    chance = random.Random(seed)
    zones = [_some_zone(chance) for _ in range(10_000)]
    cases = [_tree_case(chance, zone) for zone in zones]
    results: dict[str, int] = {}
    for zone, case, their in zip(zones, cases, mailauth.verdicts(cases), strict=True):
        spf = Passed(case.spf) if case.spf is not None else None
        ours = zone.run(evaluate(case.author, spf, [Passed(domain) for domain in case.dkim]))
        # What RFC 9989 §4.10.1 lets us leave alone we call permerror (RFC 9989 §9.2), the other says none.
        assert ours.result.value == their.result or (ours.result is Result.PERMERROR and their.result == "none"), (case, ours, their)
        if ours.result in (Result.PASS, Result.FAIL):
            assert (ours.spf_aligned, ours.dkim_aligned, ours.policy_domain) == (
                their.spf_aligned, their.dkim_aligned, their.policy_domain,
            ), (case, ours, their)  # fmt: skip
            assert ours.organisation in ("", their.organisation), (case, ours, their)
        if ours.result is Result.FAIL:
            assert ours.disposition.value == their.policy, (case, ours, their)
        results[their.result] = results.get(their.result, 0) + 1
    assert min(results.get(each, 0) for each in ("pass", "fail", "none", "temperror")) > 300

"""DMARC of one message: alignment, policy, disposition; the examples of the RFCs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.dns.questions import Answer, observed
from ekiden.mailauth.dmarc import (
    Disposition,
    DkimLike,
    DmarcOutcome,
    Override,
    OverrideType,
    SpfLike,
    evaluate,
)
from ekiden.mailauth.dmarc_record import Policy
from ekiden.mailauth.public_suffix import SuffixList
from ekiden.mailauth.results import Evidence, Result
from ekiden.testing.dns import FakeZone

LIST = SuffixList.parse("com\nnet\nexample\n")


@dataclass(frozen=True, slots=True)
class Spf:
    domain: str
    result: Result = Result.PASS


@dataclass(frozen=True, slots=True)
class Dkim:
    domain: str
    result: Result = Result.PASS
    partial: bool = False


def _zone(records: Mapping[str, str | Sequence[str]]) -> FakeZone:
    """DMARC records by domain; a list is the records of the name as they stand."""
    zone = FakeZone({})
    for name, record in records.items():
        if isinstance(record, str):
            zone["_dmarc." + name] = ["TXT " + record]
        else:
            zone[name] = record
    return zone


def _outcome(
    records: Mapping[str, str | Sequence[str]],
    author: str,
    spf: SpfLike | None = None,
    dkim: Sequence[DkimLike] = (),
    *,
    suffixes: SuffixList | None = None,
    draw: int = 0,
) -> DmarcOutcome:
    return _zone(records).run(evaluate(author, spf, dkim, suffixes=suffixes, draw=draw))


REJECT = {"example.com": "v=DMARC1; p=reject"}


# RFC 9989 §B.1, which are also the examples of RFC 7489 §B.1
@pytest.mark.parametrize("suffixes", [None, LIST], ids=["tree", "list"])
@pytest.mark.parametrize(
    ("author", "authenticated", "aligned"),
    [
        ("example.com", "example.com", True),
        ("example.com", "child.example.com", True),
        ("child.example.com", "example.net", False),
        ("child.example.com", "example.com", True),
        ("news.example.com", "foo.example.com", True),  # RFC 9989 §4.4, table 1
        ("news.example.com", "news.example.com", True),
        ("news.example.com", "foo.example.net", False),
        ("example.com", "com", False),
        ("example.com", "notexample.com", False),
        ("example.com", "EXAMPLE.com", True),
    ],
)
def test_relaxed_alignment(author: str, authenticated: str, aligned: bool, suffixes: SuffixList | None) -> None:
    by_spf = _outcome(REJECT, author, Spf(authenticated), suffixes=suffixes)
    by_dkim = _outcome(REJECT, author, None, [Dkim(authenticated)], suffixes=suffixes)
    for outcome in (by_spf, by_dkim):
        assert outcome.result is (Result.PASS if aligned else Result.FAIL)
        assert outcome.disposition is (Disposition.NONE if aligned else Disposition.REJECT)
        assert outcome.policy_domain == "example.com"
    assert (by_spf.spf_aligned, by_spf.dkim_aligned) == (aligned, False)
    assert (by_dkim.spf_aligned, by_dkim.dkim_aligned) == (False, aligned)


@pytest.mark.parametrize(
    ("tags", "spf", "dkim", "passes"),
    [
        ("aspf=s", "example.com", "", True),
        ("aspf=s", "child.example.com", "", False),
        ("adkim=s", "child.example.com", "", True),
        ("adkim=s", "", "child.example.com", False),
        ("adkim=s", "", "example.com", True),
        ("aspf=s", "", "child.example.com", True),
        ("aspf=s; adkim=s", "child.example.com", "child.example.com", False),
    ],
)
def test_strict_alignment_is_the_same_name(tags: str, spf: str, dkim: str, passes: bool) -> None:
    """RFC 9989 §3.2.10.2."""
    outcome = _outcome(
        {"example.com": f"v=DMARC1; p=reject; {tags}"}, "example.com", Spf(spf) if spf else None, [Dkim(dkim)] if dkim else []
    )
    assert (outcome.result is Result.PASS) is passes


def test_the_example_of_the_session() -> None:
    """RFC 9989 §B.3.1."""
    outcome = _outcome(
        {"example.com": "v=DMARC1; p=reject; aspf=r; rua=mailto:dmarc-feedback@example.com"},
        "example.com",
        Spf("mail.example.com"),
        [Dkim("example.com")],
    )
    assert (outcome.result, outcome.disposition, outcome.spf_aligned, outcome.dkim_domains) == (
        Result.PASS, Disposition.NONE, True, ("example.com",),
    )  # fmt: skip


SIGNING = {"example.com": "v=DMARC1; p=reject", "signing.example.com": "v=DMARC1; p=none"}


@pytest.mark.parametrize("author", ["example.com", "a.b.c.d.e.f.g.h.i.j.k.example.com"])
def test_the_examples_of_simple_and_deep_walks(author: str) -> None:
    """RFC 9989 §B.4.1, RFC 9989 §B.4.2."""
    outcome = _outcome(SIGNING, author, Spf("example.com"), [Dkim("signing.example.com")])
    assert (outcome.result, outcome.organisation, outcome.policy_domain) == (Result.PASS, "example.com", "example.com")
    assert (outcome.spf_aligned, outcome.dkim_domains) == (True, ("signing.example.com",))


def test_the_example_of_a_public_suffix_with_a_record() -> None:
    """RFC 9989 §B.4.3."""
    records = {"bank.example": "v=DMARC1; p=reject; psd=y", "giant.bank.example": "v=DMARC1; p=quarantine"}
    outcome = _outcome(records, "giant.bank.example", Spf("mail.giant.bank.example"), [Dkim("mail.mega.bank.example")])
    assert (outcome.result, outcome.organisation, outcome.policy_domain) == (
        Result.PASS, "giant.bank.example", "giant.bank.example",
    )  # fmt: skip
    assert (outcome.spf_aligned, outcome.dkim_aligned) == (True, False)
    stranger = _outcome(records, "mega.bank.example", Spf("mail.giant.bank.example"))
    assert (stranger.result, stranger.policy_domain, stranger.disposition) == (
        Result.FAIL, "bank.example", Disposition.REJECT,
    )  # fmt: skip


def test_ax_22_the_author_domain_is_a_public_suffix() -> None:
    """AX-22: its own record applies to it, it is its own organisation, and its children are not of it."""
    records = {"com": "v=DMARC1; p=reject; psd=y"}
    assert _outcome(records, "com", Spf("com")).result is Result.PASS
    child = _outcome(records, "com", Spf("example.com"))
    assert (child.result, child.disposition, child.tag, child.organisation) == (Result.FAIL, Disposition.REJECT, "p", "com")


def test_ax_22_a_domain_of_forty_labels_asks_at_most_eight_names() -> None:
    """AX-22: also with many signatures of names as deep, for those below no common organisation ask nothing."""
    deep = ".".join("x" * 39) + ".com"
    asked: list[str] = []
    lookup = evaluate(deep, Spf(deep), [Dkim(f"s{n}.{deep}") for n in range(8)] + [Dkim(f"{n}.evil.com") for n in range(8)])
    outcome = FakeZone({}).run(observed(lookup, lambda answer: asked.append(answer.question.name)))
    assert outcome.result is Result.NONE
    assert len(asked) == 8
    asked.clear()
    lookup = evaluate(deep, None, [Dkim(f"a.b.c.d.e.f.g.{n}.evil.com") for n in range(50)])
    zone = _zone({deep: "v=DMARC1; p=reject; psd=n"})
    assert zone.run(observed(lookup, lambda answer: asked.append(answer.question.name))).result is Result.FAIL
    assert len(asked) == 1


def test_the_number_of_questions_for_many_signatures_of_one_organisation_is_bounded() -> None:
    asked: list[str] = []
    lookup = evaluate("example.com", None, [Dkim(f"a.b.c.d.e.f.{n}.evil.example.com") for n in range(100)])
    zone = _zone({"example.com": "v=DMARC1; p=reject", "evil.example.com": "v=DMARC1; psd=n"})
    assert zone.run(observed(lookup, lambda answer: asked.append(answer.question.name))).result is Result.FAIL
    assert len(asked) <= 2 + 8 * 7


@pytest.mark.parametrize(
    ("zone", "author", "disposition", "tag"),
    [
        ({"example.com": "v=DMARC1; p=none; sp=reject"}, "example.com", "none", "p"),
        ({"example.com": "v=DMARC1; p=none; sp=reject"}, "a.example.com", "reject", "sp"),
        ({"example.com": "v=DMARC1; p=none; sp=quarantine; np=reject"}, "a.example.com", "reject", "np"),
        ({"example.com": "v=DMARC1; p=none; sp=reject; np=none", "a.example.com": ["A 192.0.2.1"]}, "a.example.com", "reject", "sp"),
        ({"example.com": "v=DMARC1; p=reject; np=none", "a.example.com": ["MX 0 ."]}, "a.example.com", "reject", "p"),
        ({"example.com": "v=DMARC1; p=reject; np=none"}, "a.example.com", "none", "np"),
        ({"com": "v=DMARC1; p=none; np=reject; psd=y"}, "example.com", "reject", "np"),  # the use for which np was made
        ({"com": "v=DMARC1; p=none; np=reject; psd=y", "example.com": ["A 192.0.2.1"]}, "example.com", "none", "p"),
        ({"a.example.com": "v=DMARC1; p=quarantine", "example.com": "v=DMARC1; p=none; sp=reject"}, "a.example.com", "quarantine", "p"),
    ],
)
def test_the_policy_for_subdomains(zone: Mapping[str, str | Sequence[str]], author: str, disposition: str, tag: str) -> None:
    """RFC 9989 §4.10.1."""
    outcome = _outcome(zone, author)
    assert (outcome.result, outcome.disposition.value, outcome.tag) == (Result.FAIL, disposition, tag)


@pytest.mark.parametrize(
    ("record", "draw", "suffixes", "disposition", "overrides"),
    [
        ("p=reject; t=y", 0, None, "quarantine", [OverrideType.LOCAL_POLICY]),  # RFC 9989 §4.7
        ("p=quarantine; t=y", 0, None, "none", [OverrideType.LOCAL_POLICY]),
        ("p=none; t=y", 0, None, "none", []),
        ("p=reject; t=n", 0, None, "reject", []),
        ("p=reject; pct=0", 99, None, "reject", []),  # RFC 9989 §A.6: there is no pct any more
        ("p=reject; pct=0", 0, LIST, "quarantine", [OverrideType.SAMPLED_OUT]),  # RFC 7489 §6.6.4
        ("p=quarantine; pct=20", 20, LIST, "none", [OverrideType.SAMPLED_OUT]),
        ("p=quarantine; pct=20", 19, LIST, "quarantine", []),
        ("p=reject; pct=100", 99, LIST, "reject", []),
        ("p=reject; pct=0; t=y", 99, LIST, "quarantine", [OverrideType.LOCAL_POLICY]),  # one step, not two
    ],
)
def test_tests_and_samples(
    record: str, draw: int, suffixes: SuffixList | None, disposition: str, overrides: list[OverrideType]
) -> None:
    outcome = _outcome({"example.com": f"v=DMARC1; {record}"}, "example.com", suffixes=suffixes, draw=draw)
    assert outcome.result is Result.FAIL
    assert outcome.disposition.value == disposition
    assert [override.type for override in outcome.overrides] == overrides


@pytest.mark.parametrize("policy", ["reject", "quarantine"])
@pytest.mark.parametrize(
    ("spf", "dkim"),
    [
        (Spf("example.com", Result.TEMPERROR), []),
        (Spf("bounces.example.com", Result.TEMPERROR), [Dkim("example.com", Result.FAIL)]),
        (Spf("example.com", Result.FAIL), [Dkim("example.com", Result.TEMPERROR)]),
        (None, [Dkim("evil.test"), Dkim("mail.example.com", Result.TEMPERROR)]),
    ],
)
def test_ax_23_what_could_not_be_told_is_neither_refused_nor_passed(
    policy: str, spf: Spf | None, dkim: list[Dkim]
) -> None:
    """AX-23: 451 4.7.1 (RFC 9989 §5.3.6)."""
    outcome = _outcome({"example.com": f"v=DMARC1; p={policy}"}, "example.com", spf, dkim)
    assert (outcome.result, outcome.disposition) == (Result.TEMPERROR, Disposition.DEFER)
    assert not outcome.spf_aligned
    assert not outcome.dkim_aligned


@pytest.mark.parametrize(
    ("record", "spf", "dkim", "result", "disposition"),
    [
        # another check has passed: nothing is open
        ("p=reject", Spf("example.com", Result.TEMPERROR), [Dkim("example.com")], Result.PASS, "none"),
        # a stranger's check could not have helped
        ("p=reject", Spf("evil.com", Result.TEMPERROR), [Dkim("evil.test", Result.TEMPERROR)], Result.FAIL, "reject"),
        ("p=reject; aspf=s", Spf("b.example.com", Result.TEMPERROR), [], Result.FAIL, "reject"),
        # the policy asks for nothing, so nothing has to wait
        ("p=none", Spf("example.com", Result.TEMPERROR), [], Result.TEMPERROR, "none"),
        ("p=quarantine; t=y", Spf("example.com", Result.TEMPERROR), [], Result.TEMPERROR, "none"),
    ],
)
def test_ax_23_only_what_could_have_changed_the_result_is_waited_for(
    record: str, spf: Spf, dkim: list[Dkim], result: Result, disposition: str
) -> None:
    outcome = _outcome({"example.com": f"v=DMARC1; {record}"}, "example.com", spf, dkim)
    assert (outcome.result, outcome.disposition.value) == (result, disposition)


@pytest.mark.parametrize(
    ("zone", "author", "spf", "disposition"),
    [
        ({"_dmarc.example.com": ["SERVFAIL"]}, "example.com", None, "defer"),
        ({"_dmarc.com": ["TIMEOUT"]}, "example.com", None, "defer"),
        ({"_dmarc.example.com": ["SERVFAIL"]}, "a.example.com", Spf("example.com"), "defer"),
        ({"_dmarc.example.com": ["SERVFAIL"]}, "example.com", Spf("example.com"), "none"),  # passes under any policy
        # the organisation of the author is not known, so nobody can say that this is a stranger
        ({"example.com": "v=DMARC1; p=reject", "_dmarc.com": ["SERVFAIL"]}, "example.com", Spf("a.example.com"), "defer"),
        ({"example.com": "v=DMARC1; p=reject", "_dmarc.a.example.com": ["SERVFAIL"]}, "example.com", Spf("a.example.com"), "defer"),
        # whether the subdomain exists is not known, and one of the two policies would refuse
        ({"example.com": "v=DMARC1; p=none; np=reject", "a.example.com": ["SERVFAIL"]}, "a.example.com", None, "defer"),
        ({"example.com": "v=DMARC1; p=reject; t=y; np=none", "a.example.com": ["SERVFAIL"]}, "a.example.com", None, "defer"),
        ({"example.com": "v=DMARC1; p=quarantine; t=y; np=none", "a.example.com": ["SERVFAIL"]}, "a.example.com", None, "none"),
    ],
)
def test_a_policy_that_cannot_be_found_out_is_waited_for(
    zone: Mapping[str, str | Sequence[str]], author: str, spf: Spf | None, disposition: str
) -> None:
    outcome = _outcome(zone, author, spf)
    assert (outcome.result, outcome.disposition.value) == (Result.TEMPERROR, disposition)


def test_whether_a_subdomain_exists_is_asked_only_where_it_matters() -> None:
    zone = {"example.com": "v=DMARC1; p=none; sp=reject; np=reject", "a.example.com": ["SERVFAIL"]}
    assert _outcome(zone, "a.example.com").disposition is Disposition.REJECT


def test_a_failure_behind_a_pass_changes_nothing() -> None:
    zone = {"example.com": "v=DMARC1; p=reject", "_dmarc.a.example.com": ["SERVFAIL"]}
    outcome = _outcome(zone, "example.com", Spf("a.example.com"), [Dkim("example.com")])
    assert (outcome.result, outcome.spf_aligned, outcome.dkim_domains) == (Result.PASS, False, ("example.com",))


def test_ax_10_a_signature_over_a_part_of_the_body_counts_for_nothing() -> None:
    """AX-10: l= lets anybody append text."""
    outcome = _outcome(REJECT, "example.com", None, [Dkim("example.com", partial=True)])
    assert (outcome.result, outcome.disposition) == (Result.FAIL, Disposition.REJECT)
    whole = _outcome(REJECT, "example.com", None, [Dkim("example.com", partial=True), Dkim("example.com")])
    assert whole.result is Result.PASS


@pytest.mark.parametrize("result", [each for each in Result if each is not Result.PASS])
def test_only_a_pass_counts(result: Result) -> None:
    outcome = _outcome(REJECT, "example.com", Spf("example.com", result), [Dkim("example.com", result)])
    assert outcome.result is (Result.TEMPERROR if result is Result.TEMPERROR else Result.FAIL)


@pytest.mark.parametrize(
    ("records", "result"),
    [
        ({}, Result.NONE),
        ({"example.com": "v=spf1 -all"}, Result.NONE),
        ({"_dmarc.example.com": ["TXT v=DMARC1; p=reject", "TXT v=DMARC1; p=none"]}, Result.NONE),
        ({"_dmarc.example.com": ["TXT v=DMARC1; p=reject", "TXT v=spf1 -all"]}, Result.FAIL),
        ({"_dmarc.example.com": ["CNAME else.where.test."], "else.where.test": ["TXT v=DMARC1; p=reject"]}, Result.FAIL),
        ({"_dmarc.example.com": ['TXT "v=DMA" "RC1; p=rej" "ect"']}, Result.FAIL),
        ({"example.com": "v=DMARC1; p=rejekt"}, Result.PERMERROR),
        ({"example.com": "v=DMARC1; p=rejekt; rua=mailto:a@example.com"}, Result.FAIL),
    ],
)
def test_where_dmarc_applies(records: Mapping[str, str | Sequence[str]], result: Result) -> None:
    outcome = _outcome(records, "example.com", Spf("evil.test"))
    assert outcome.result is result
    if result is not Result.FAIL:
        assert outcome.disposition is Disposition.NONE


@pytest.mark.parametrize(
    ("author", "authenticated"),
    [
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("xn--r8jz45g.xn--zckzah", "例え.テスト"),
        ("例え.テスト", "mail.例え.テスト"),
        ("XN--R8JZ45G.xn--zckzah", "mail.xn--r8jz45g.xn--zckzah"),
    ],
)
def test_u_labels_and_a_labels_are_one_domain(author: str, authenticated: str) -> None:
    """RFC 9989 §5.3.1."""
    records = {"xn--r8jz45g.xn--zckzah": "v=DMARC1; p=reject"}
    assert _outcome(records, author, Spf(authenticated)).result is Result.PASS
    assert _outcome(records, author, None, [Dkim(authenticated)]).result is Result.PASS


def test_what_passed_for_the_author_domain_itself_asks_for_nothing_but_its_record() -> None:
    asked: list[Answer] = []
    outcome = _zone(REJECT).run(observed(evaluate("example.com", Spf("example.com"), [Dkim("example.com")]), asked.append))
    assert outcome.result is Result.PASS
    assert [str(answer.question) for answer in asked] == ["_dmarc.example.com. TXT"]


def test_no_author_domain_is_no_dmarc() -> None:
    assert _outcome(REJECT, "", Spf("example.com")).result is Result.NONE


def test_who_decides_otherwise_says_why() -> None:
    outcome = _outcome(REJECT, "example.com")
    other = outcome.overridden(OverrideType.TRUSTED_FORWARDER, "arc=pass of list.test")
    assert (other.result, other.disposition, other.policy) == (Result.FAIL, Disposition.NONE, Policy.REJECT)
    assert other.overrides == (Override(OverrideType.TRUSTED_FORWARDER, "arc=pass of list.test"),)
    assert outcome.overridden(OverrideType.MAILING_LIST, to=Disposition.QUARANTINE).disposition is Disposition.QUARANTINE
    # the words of the report's schema
    assert {each.value for each in OverrideType} == {
        "forwarded", "sampled_out", "trusted_forwarder", "mailing_list", "local_policy", "other",
    }  # fmt: skip


def test_evidence_is_in_the_words_of_the_registry() -> None:
    failed = _outcome(REJECT, "example.com", Spf("evil.test")).evidence()
    assert failed == Evidence(
        "dmarc", Result.FAIL, {"header.from": "example.com", "policy.dmarc": "reject"},
        "nothing aligned with example.com, p=reject of example.com",
    )  # fmt: skip
    assert _outcome({}, "example.com").evidence().about == {"header.from": "example.com"}
    waiting = _outcome(REJECT, "example.com", Spf("example.com", Result.TEMPERROR)).evidence()
    assert (waiting.result, waiting.about) == (Result.TEMPERROR, {"header.from": "example.com"})


_NAMES = st.sampled_from([
    "com", "example.com", "a.example.com", "b.a.example.com", "example.net", "", ".", "a..b", "例え.テスト", "\x00", "x" * 300,
])  # fmt: skip
_OWNERS = st.sampled_from(["_dmarc.com", "_dmarc.example.com", "_dmarc.a.example.com", "a.example.com"])
_RESULTS = st.sampled_from(list(Result))
_RECORDS = st.sampled_from([
    "TXT v=DMARC1; p=reject", "TXT v=DMARC1; p=none; sp=reject; np=quarantine", "TXT v=DMARC1; psd=y; p=reject", "TXT v=DMARC1; psd=n",
    "TXT v=DMARC1; p=reject; adkim=s; aspf=s; t=y", "SERVFAIL", "TXT junk",
])  # fmt: skip


@given(
    st.dictionaries(_OWNERS, st.lists(_RECORDS, max_size=2)),
    _NAMES,
    st.one_of(st.none(), st.builds(Spf, _NAMES, _RESULTS)),
    st.lists(st.builds(Dkim, _NAMES, _RESULTS, st.booleans()), max_size=4),
    st.sampled_from([None, LIST]),
    st.integers(0, 99),
)
def test_nothing_crashes_it_and_a_stranger_never_passes(
    zone: dict[str, list[str]], author: str, spf: Spf | None, dkim: list[Dkim], suffixes: SuffixList | None, draw: int
) -> None:
    outcome = FakeZone(zone).run(evaluate(author, spf, dkim, suffixes=suffixes, draw=draw))
    passed = [each.domain for each in dkim if each.result is Result.PASS and not each.partial]
    passed += [spf.domain] if spf is not None and spf.result is Result.PASS else []
    assert (outcome.result is Result.PASS) <= bool(passed)
    if outcome.disposition in (Disposition.REJECT, Disposition.QUARANTINE):
        assert outcome.result is Result.FAIL
    if outcome.disposition is Disposition.DEFER:
        assert outcome.result is Result.TEMPERROR
    if all(domain in ("example.net", "例え.テスト") for domain in passed) and author.endswith("example.com"):
        assert outcome.result is not Result.PASS
    outcome.evidence()

"""Organisational domains, by the tree of the DNS and by a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from ekiden.dns.questions import Answer, NoAnswer, observed
from ekiden.mailauth.organisation import (
    MOST_QUERIES,
    Records,
    canonical,
    exists,
    is_at_or_below,
    organisation_of,
    policy_of,
    question_about,
    steps,
)
from ekiden.mailauth.public_suffix import SuffixList
from ekiden.testing.dns import FakeZone

LIST = SuffixList.parse("com\nexample\nbank.example\n")


def _zone(records: Mapping[str, str]) -> FakeZone:
    return FakeZone({f"_dmarc.{name}": [f"TXT {record}"] for name, record in records.items()})


def _asked(zone: FakeZone, start: str) -> list[str]:
    names: list[str] = []

    def see(answer: Answer) -> None:
        names.append(answer.question.name)

    zone.run(observed(Records().walk(start), see))
    return names


def test_a_walk_asks_the_name_and_then_the_last_seven_labels() -> None:
    """The example of RFC 9989 §4.10."""
    assert _asked(FakeZone({}), "a.b.c.d.e.f.g.h.i.j.mail.example.com") == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "_dmarc.g.h.i.j.mail.example.com",
        "_dmarc.h.i.j.mail.example.com",
        "_dmarc.i.j.mail.example.com",
        "_dmarc.j.mail.example.com",
        "_dmarc.mail.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]


@pytest.mark.parametrize(
    ("start", "queries"),
    [("com", 1), ("example.com", 2), ("a.b.c.d.e.f.g", 7), ("a.b.c.d.e.f.g.h", 8), ("a.b.c.d.e.f.g.h.i", 8), (".".join("x" * 40), 8)],
)
def test_ax_22_a_walk_asks_at_most_eight_names(start: str, queries: int) -> None:
    """AX-22: a domain of 40 labels, a public suffix."""
    assert len(steps(start)) == queries <= MOST_QUERIES
    assert len(_asked(FakeZone({}), start)) == queries


@pytest.mark.parametrize(
    ("start", "records", "organisation", "queries"),
    [
        # RFC 9989 §4.10.2, its three examples
        ("a.mail.example.com", {"mail.example.com": "v=DMARC1; p=none", "example.com": "v=DMARC1; p=none"}, "example.com", 4),
        ("a.mail.example.com", {"mail.example.com": "v=DMARC1; psd=n", "example.com": "v=DMARC1; p=none"}, "mail.example.com", 2),
        ("a.mail.example.com", {"com": "v=DMARC1; psd=y"}, "example.com", 4),
        # its rule 2: the name where the walk began is not below itself
        ("example.com", {"example.com": "v=DMARC1; p=none; psd=y"}, "example.com", 1),
        ("mail.example.com", {"example.com": "v=DMARC1; p=none; psd=y"}, "mail.example.com", 2),
        # nothing at all: the name stands for itself
        ("a.mail.example.com", {}, "a.mail.example.com", 4),
        # RFC 9989 §5.1.8: a cut among the names that are skipped is never found
        ("mail.a.b.c.d.e.f.g.example.com", {"b.c.d.e.f.g.example.com": "v=DMARC1; psd=n", "example.com": "v=DMARC1"}, "example.com", 8),
        # several records at one name count as none there; the walk goes on (RFC 9989 §4.10)
        ("a.example.com", {"example.com": "v=spf1 -all"}, "a.example.com", 3),
    ],
)
def test_organisations_by_the_tree(start: str, records: Mapping[str, str], organisation: str, queries: int) -> None:
    zone = _zone(records)
    assert zone.run(organisation_of(Records(), start, None)) == organisation
    assert len(_asked(zone, start)) == queries


def test_several_records_at_one_name_count_as_none_by_the_tree() -> None:
    zone = FakeZone({
        "_dmarc.a.example.com": ["TXT v=DMARC1; p=reject", "TXT v=DMARC1; p=none"],
        "_dmarc.example.com": ["TXT v=DMARC1; p=quarantine", "TXT v=spf1 -all"],
    })  # fmt: skip
    found = zone.run(policy_of(Records(), "a.example.com", None))
    assert found is not None
    assert found[0] == "example.com"
    # RFC 7489 §6.6.3 step 5: by the older RFC they end the search
    assert zone.run(policy_of(Records(), "a.example.com", LIST)) is None


@pytest.mark.parametrize(
    ("domain", "records", "policy_domain"),
    [
        ("a.b.example.com", {"a.b.example.com": "v=DMARC1", "example.com": "v=DMARC1"}, "a.b.example.com"),
        ("a.b.example.com", {"b.example.com": "v=DMARC1", "example.com": "v=DMARC1"}, "example.com"),
        ("a.b.example.com", {"b.example.com": "v=DMARC1; psd=n", "example.com": "v=DMARC1"}, "b.example.com"),
        ("a.b.example.com", {"com": "v=DMARC1; psd=y"}, "com"),
        # the organisation has no record, so that of the suffix applies, not the one in between
        ("a.b.example.com", {"b.example.com": "v=DMARC1", "com": "v=DMARC1; psd=y"}, "com"),
        ("a.example.com", {}, None),
        ("com", {"com": "v=DMARC1; psd=y"}, "com"),
    ],
)
def test_where_the_policy_lies_by_the_tree(domain: str, records: Mapping[str, str], policy_domain: str | None) -> None:
    """RFC 9989 §4.10.1."""
    found = _zone(records).run(policy_of(Records(), domain, None))
    assert (found[0] if found else None) == policy_domain


@pytest.mark.parametrize(
    ("domain", "records", "policy_domain"),
    [
        ("a.b.example.com", {"b.example.com": "v=DMARC1", "example.com": "v=DMARC1"}, "example.com"),
        ("a.b.example.com", {"a.b.example.com": "v=DMARC1", "example.com": "v=DMARC1"}, "a.b.example.com"),
        ("a.b.example.com", {"com": "v=DMARC1; psd=y"}, None),
        ("one.bank.example", {"bank.example": "v=DMARC1"}, None),
        ("bank.example", {"bank.example": "v=DMARC1"}, "bank.example"),
        ("bank.example", {"example": "v=DMARC1"}, None),
    ],
)
def test_where_the_policy_lies_by_the_list(domain: str, records: Mapping[str, str], policy_domain: str | None) -> None:
    """RFC 7489 §6.6.3: the domain itself, then its organisational domain, and no other."""
    found = _zone(records).run(policy_of(Records(), domain, LIST))
    assert (found[0] if found else None) == policy_domain


@pytest.mark.parametrize(
    ("domain", "organisation"),
    [("a.b.example.com", "example.com"), ("bank.example", "bank.example"), ("x.one.bank.example", "one.bank.example")],
)
def test_organisations_by_the_list(domain: str, organisation: str) -> None:
    assert FakeZone({}).run(organisation_of(Records(), domain, LIST)) == organisation


def test_each_name_is_asked_once() -> None:
    zone = _zone({"example.com": "v=DMARC1; p=none"})
    names: list[str] = []
    records = Records()
    for domain in ("a.example.com", "b.example.com", "a.example.com"):
        zone.run(observed(records.walk(domain), lambda answer: names.append(answer.question.name)))
    assert sorted(names) == ["_dmarc.a.example.com", "_dmarc.b.example.com", "_dmarc.com", "_dmarc.example.com"]


def test_a_failure_on_the_way_is_no_organisation() -> None:
    zone = FakeZone({"_dmarc.example.com": ["SERVFAIL"]})
    with pytest.raises(NoAnswer):
        zone.run(organisation_of(Records(), "a.example.com", None))


@pytest.mark.parametrize(
    ("records", "there"),
    [
        ({"a.example.com": ["MX 0 ."]}, True),
        ({"b.a.example.com": ["A 192.0.2.1"]}, True),  # an empty name between others
        ({"a.example.com": ["CNAME nowhere.test."]}, True),
        ({}, False),
    ],
)
def test_only_nxdomain_means_that_a_domain_does_not_exist(records: Mapping[str, Sequence[str]], there: bool) -> None:
    """RFC 9989 §3.2.13, RFC 9989 §A.4."""
    assert FakeZone(records).run(exists("a.example.com")) is there


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("EXAMPLE.com.", "example.com"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("xn--r8jz45g.XN--ZCKZAH", "xn--r8jz45g.xn--zckzah"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("a_b.Example", "a_b.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("", ""),
    ],
)
def test_u_labels_and_a_labels_are_one_name(written: str, name: str) -> None:
    """RFC 9989 §5.3.1."""
    assert canonical(written) == name


@pytest.mark.parametrize(
    ("domain", "other", "below"),
    [("a.b", "b", True), ("b", "b", True), ("xb", "b", False), ("b", "a.b", False), ("b", "", False), ("", "", True)],
)
def test_is_at_or_below(domain: str, other: str, below: bool) -> None:
    assert is_at_or_below(domain, other) is below


def test_a_name_that_no_question_can_carry_has_no_record() -> None:
    assert question_about("") is None
    assert question_about("x" * 64 + ".test") is None
    assert question_about(".".join(["x" * 60] * 4) + ".long") is None
    assert str(question_about("example.com")) == "_dmarc.example.com. TXT"
    assert FakeZone({}).run(Records().walk("a..b")).organisation == "a..b"

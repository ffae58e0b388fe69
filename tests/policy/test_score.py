"""What adds up: each finding once, more findings never better, and nothing but p=reject refuses alone."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.texts import catalogue
from ekiden.mail.findings import WEIGHTS
from ekiden.mail.journey import Reason
from ekiden.mailauth.results import Evidence, Result
from ekiden.policy.score import Finding, Level, Thresholds, add_up, comes_from_outside, of_hello, of_origin

FINDINGS = st.lists(st.builds(Finding, st.sampled_from(sorted(WEIGHTS))), max_size=20)


def _names(*evidence: Evidence) -> set[str]:
    return {each.name for each in of_origin(evidence)}


@given(FINDINGS, FINDINGS)
def test_more_findings_never_look_better(some: list[Finding], more: list[Finding]) -> None:
    few, all_of_them = add_up(some), add_up([*some, *more])
    assert all_of_them.points >= few.points
    assert Thresholds().level(all_of_them.points) >= Thresholds().level(few.points)


@given(FINDINGS)
def test_a_name_counts_once(some: list[Finding]) -> None:
    assert add_up([*some, *some]).points == add_up(some).points


def test_only_the_domains_own_wish_refuses_alone() -> None:
    assert {name for name, points in WEIGHTS.items() if Thresholds().level(points) is Level.REFUSE} == {"dmarc-reject"}


@pytest.mark.parametrize(("points", "level"), [
    (29, Level.CLEAR), (30, Level.TAG), (49, Level.TAG), (50, Level.JUNK), (99, Level.JUNK), (100, Level.REFUSE),
])
def test_thresholds(points: int, level: Level) -> None:
    assert Thresholds().level(points) is level


@pytest.mark.parametrize(("hello", "names"), [
    ("mail.other.test", set()),
    ("MX.here.test.", {"helo-our-name"}),
    ("localhost", {"helo-not-a-name"}),
    ("192.0.2.1", {"helo-not-a-name"}),
    ("[192.0.2.1]", set()),                        # RFC 5321 §4.1.3
    ("[192.0.2.9]", {"helo-wrong-address"}),
    ("[nonsense]", {"helo-not-a-name"}),
    ("", set()),                                   # not known
])
def test_the_name_in_helo(hello: str, names: set[str]) -> None:
    for peer in ("192.0.2.1", "::ffff:192.0.2.1"):
        assert {each.name for each in of_hello(hello, ip_address(peer), "mx.here.test")} == names


def test_what_the_checks_of_origin_say() -> None:
    fail = Evidence("dmarc", Result.FAIL, {"header.from": "a.test", "policy.dmarc": "reject"})
    assert _names(fail) == {"dmarc-reject"}
    assert _names(Evidence("spf", Result.SOFTFAIL), Evidence("iprev", Result.FAIL)) == {"spf-softfail", "iprev-fail"}
    assert _names(Evidence("spf", Result.NONE), Evidence("iprev", Result.PASS)) == {"nothing-passed"}


def test_one_good_signature_is_enough() -> None:
    assert _names(Evidence("dkim", Result.FAIL), Evidence("dkim", Result.PASS)) == set()


def test_that_nobody_could_tell_is_no_finding() -> None:
    assert _names(Evidence("spf", Result.TEMPERROR), Evidence("iprev", Result.TEMPERROR)) == set()


def test_where_dmarc_passes_or_somebody_vouches_it_is_known_who_sent_it() -> None:
    forwarded = (Evidence("spf", Result.FAIL), Evidence("dkim", Result.PASS), Evidence("arc", Result.FAIL))
    assert _names(*forwarded, Evidence("dmarc", Result.PASS)) == set()
    assert _names(*forwarded, Evidence("dmarc", Result.NONE)) == {"spf-fail", "arc-fail"}
    failed = (Evidence("spf", Result.FAIL), Evidence("dmarc", Result.FAIL, {"policy.dmarc": "none"}))
    assert {each.name for each in of_origin(failed)} == {"spf-fail", "dmarc-fail"}
    assert of_origin(failed, vouched=True) == []


def test_the_name_in_helo_does_not_vouch_for_the_sender() -> None:
    sender, hello = {"smtp.mailfrom": "a.test"}, {"smtp.helo": "b.test"}
    assert _names(Evidence("spf", Result.FAIL, sender), Evidence("spf", Result.PASS, hello)) == {"spf-fail"}
    assert _names(Evidence("spf", Result.PASS, sender), Evidence("spf", Result.FAIL, hello)) == set()


def test_machines_of_our_own_need_no_reverse_name() -> None:
    assert of_origin([Evidence("iprev", Result.PERMERROR), Evidence("spf", Result.NONE)], outside=False) == []
    assert comes_from_outside(ip_address("192.0.2.1"))
    assert not comes_from_outside(ip_address("::ffff:10.1.2.3"))
    assert not comes_from_outside(ip_address("fd00::1"))


def test_what_is_worth_nothing_is_no_reason() -> None:
    score = add_up([Finding("spf-fail"), Finding("unheard-of"), Finding("iprev-fail")], {**WEIGHTS, "spf-fail": 0})
    assert score.reasons == (Reason("iprev-fail", 15),)


def test_every_finding_has_words_in_every_language() -> None:
    for lang in ("en", "ja"):
        assert {f"spam.finding.{name}" for name in (*WEIGHTS, "listed")} <= catalogue(lang).keys()


def test_the_reasons_are_told_and_what_a_peer_wrote_stays_out_of_the_field() -> None:
    score = add_up(of_hello("bad\r\nX-Evil: 1", ip_address("192.0.2.1"), "mx.here.test"))
    assert score.told() == "20 points: helo-not-a-name +20 (bad??X-Evil: 1)"
    assert score.field() == b"20 helo-not-a-name=20"

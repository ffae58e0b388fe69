from __future__ import annotations

from types import SimpleNamespace

from tests.peers.closing import Tally


def _report(when: str, *properties: tuple[str, object]) -> SimpleNamespace:
    return SimpleNamespace(when=when, user_properties=list(properties))


def test_peers_are_counted_once_and_the_absent_ones_are_named_with_their_reasons() -> None:
    ran = _report("call", ("peer", ("swaks", "")), ("peer", ("curl", "")))
    absent = [
        _report("setup", ("peer", ("postfix", "needs root"))),
        _report("setup", ("peer", ("dovecot", "needs root")), ("peer", ("swaks", ""))),
    ]
    tally = Tally({"passed": [ran, ran], "skipped": [*absent, _report("setup", ("peer", ("knot", "no network")))]})
    assert tally.lines() == ["peers: 2 run, 3 not here (dovecot, postfix: needs root; knot: no network)"]


def test_a_test_that_passed_counts_all_its_cases_and_a_parameter_counts_one() -> None:
    passed = [_report("call", ("conformance", ("mime", 157, True, False))), *[_report("call", ("conformance", ("spf", 3, True, True)))] * 2]
    failed = [_report("call", ("conformance", ("spf", 3, True, True)))]
    assert Tally({"passed": passed, "failed": failed}).lines() == ["conformance: 159 of 160 cases (mime 157 of 157, spf 2 of 3)"]


def test_published_data_that_are_not_here_are_said_to_be_so() -> None:
    skipped = [_report("setup", ("conformance", ("mime", 157, False, False))), _report("setup", ("conformance", ("spf", 3, False, True)))]
    assert Tally({"skipped": skipped}).lines() == ["conformance: not here, 0 of 160 cases"]


def test_a_run_without_peers_and_published_data_says_nothing() -> None:
    assert Tally({"passed": [_report("call")], "": [object()]}).lines() == []

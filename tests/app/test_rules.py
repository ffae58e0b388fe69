"""From the settings of [score] to what policies go by."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from ekiden.app.config import load
from ekiden.app.rules import rules_of
from ekiden.dns.dnsbl import Subject
from ekiden.mail.findings import WEIGHTS
from ekiden.policy.score import Thresholds
from ekiden.testing.clock import FakeClock


def test_without_settings_nobody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "ekiden.toml").write_text('hostname = "mx.one.test"\n')
    rules = rules_of(load(tmp_path / "ekiden.toml", {}), FakeClock())
    assert (rules.hostname, rules.thresholds, rules.lists) == ("mx.one.test", Thresholds(), None)
    assert rules.weights == WEIGHTS


def test_lists_bring_their_points_and_weights_change_others(tmp_path: Path) -> None:
    (tmp_path / "ekiden.toml").write_text(
        'hostname = "mx.one.test"\n[score]\nrefuse = 90\n[score.weights]\niprev-fail = 0\n'
        '[[score.lists]]\nzone = "bad.test"\nname = "bad"\ncodes = ["127.0.1.*"]\nsubject = "domain"\npoints = 70\nrefuse = true\n'
    )
    rules = rules_of(load(tmp_path / "ekiden.toml", {}), FakeClock())
    assert rules.thresholds == Thresholds(refuse=90)
    assert (rules.weights["iprev-fail"], rules.weights["listed-bad"], rules.weights["spf-fail"]) == (0, 70, 30)
    assert rules.lists is not None
    (rule,) = rules.lists.rules
    assert (rule.finding, rule.refuse, rule.listed_by.subject) == ("listed-bad", True, Subject.DOMAIN)
    assert rule.listed_by.counts(IPv4Address("127.0.1.9"))
    assert not rule.listed_by.counts(IPv4Address("127.0.0.2"))

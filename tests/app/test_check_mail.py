"""A message is explained step by step, from the command line's side."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import ip_address
from pathlib import Path

import pytest

from ekiden.app.check_mail import Claim, check_mail
from ekiden.app.config import Config, load
from ekiden.base.errors import BadValue
from ekiden.dns.questions import Lookup
from ekiden.mail import journey
from ekiden.testing.dns import FakeZone

ZONE = {
    "1.2.0.192.bad.test": ["A 127.0.0.2", "TXT a robot"],
    "good.test": ["TXT v=spf1 ip4:192.0.2.1 -all"],
    "_dmarc.good.test": ['TXT "v=DMARC1; p=reject"'],
    "careful.test": ["TXT v=spf1 -all"],
    "_dmarc.careful.test": ['TXT "v=DMARC1; p=quarantine"'],
    "9.2.0.192.in-addr.arpa": ["PTR x.test."],
    "x.test": ["A 192.0.2.9"],
}


class Zone:
    """The DNS of a test."""

    def __init__(self) -> None:
        self._zone = FakeZone(ZONE)
        self.trail: list[object] = []

    asked = 0

    def for_message(self) -> Zone:
        return self

    async def resolve(self, lookup: Lookup[object]) -> object:
        return self._zone.run(lookup)

    async def recall(self, key: Hashable, make: Callable[[], Lookup[object]], keep: object = None) -> object:
        return self._zone.run(make())


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "ekiden.toml"
    file.write_text('hostname = "mx.one.test"\n')
    return load(file, {})


def _results(steps: tuple[journey.Step, ...]) -> dict[str, str]:
    return {step.method: step.result for step in steps if isinstance(step, journey.Authenticated)}


def test_a_good_message_is_taken_also_with_line_feeds_only(config: Config) -> None:
    raw = b"Return-Path: <bob@good.test>\nFrom: bob@good.test\nSubject: hi\n\nhello\n"
    told = check_mail(config, raw, Claim(ip_address("192.0.2.1"), "out.good.test"), Zone())  # type: ignore[arg-type]  # a trail that stays empty
    assert _results(told.steps).items() >= {"spf": "pass", "dmarc": "pass"}.items()
    assert (told.refusal, told.folder) == (None, "")


def test_what_would_be_refused_and_filed_is_said(config: Config) -> None:
    claim = Claim(ip_address("192.0.2.9"), "x.test", "bob@good.test")
    told = check_mail(config, b"From: bob@good.test\r\n\r\nhello\r\n", claim, Zone())  # type: ignore[arg-type]
    assert told.refusal is not None
    assert told.refusal.code == 550
    told = check_mail(config, b"From: bob@careful.test\r\n\r\nhello\r\n", Claim(claim.ip, "x.test", "bob@careful.test"), Zone())  # type: ignore[arg-type]
    assert (told.refusal, told.folder) == (None, "Junk")


def test_the_score_and_its_lists_are_asked_as_at_the_door(tmp_path: Path) -> None:
    file = tmp_path / "ekiden.toml"
    file.write_text('hostname = "mx.one.test"\n[[score.lists]]\nzone = "bad.test"\nname = "bad"\npoints = 45\n')
    raw = b"From: bob@good.test\r\n\r\nhello\r\n"
    told = check_mail(load(file, {}), raw, Claim(ip_address("192.0.2.1"), "mx.one.test", "bob@good.test"), Zone())  # type: ignore[arg-type]
    assert told.refusal is not None
    (judged,) = [step for step in told.steps if isinstance(step, journey.Judged)]
    assert (judged.policy, judged.verdict) == ("builtin:score", "reject")
    assert [(name, points) for name, points, _ in judged.reasons] == [("iprev-fail", 15), ("helo-our-name", 60), ("listed-bad", 45)]
    file.write_text('hostname = "mx.one.test"\npolicies = []\n')
    told = check_mail(load(file, {}), raw, Claim(ip_address("192.0.2.1"), "mx.one.test", "bob@good.test"), Zone())  # type: ignore[arg-type]
    assert told.refusal is None


def test_a_sender_that_is_none_is_named(config: Config) -> None:
    with pytest.raises(BadValue):
        check_mail(config, b"From: bob@good.test\r\n\r\n", Claim(ip_address("192.0.2.9"), "x", "no address"), Zone())  # type: ignore[arg-type]


def test_a_return_path_that_is_none_is_the_null_path(config: Config) -> None:
    for written in (b"", b"no address", b"a b@good.test", b"x@[9]"):
        raw = b"Return-Path: <%b>\r\nFrom: bob@good.test\r\n\r\n" % written
        told = check_mail(config, raw, Claim(ip_address("192.0.2.1"), "x.test"), Zone())  # type: ignore[arg-type]
        assert _results(told.steps)["spf"] == "none"

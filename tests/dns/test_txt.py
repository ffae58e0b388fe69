"""Texts of a name."""

from __future__ import annotations

import pytest

from ekiden.dns.questions import Finding, NoAnswer
from ekiden.dns.records import Txt
from ekiden.dns.txt import MOST_TEXTS, ask_texts
from ekiden.testing.dns import FakeZone


def test_strings_are_joined_without_anything_between_them() -> None:
    zone = FakeZone({"one.test": [Txt((b"v=spf1 ip4:192.0.", b"2.1", b" -all"))]})
    assert zone.run(ask_texts("One.test.")).values == (b"v=spf1 ip4:192.0.2.1 -all",)


def test_only_texts_that_begin_as_asked_are_given() -> None:
    zone = FakeZone({"one.test": ["TXT V=SPF1 -all", "TXT hello", "TXT v=spf10 -all", "TXT xv=spf1"]})
    assert zone.run(ask_texts("one.test", begins=b"v=spf1")).values == (b"V=SPF1 -all", b"v=spf10 -all")
    assert len(zone.run(ask_texts("one.test")).values) == 4


def test_there_are_at_most_ten_and_it_is_said_that_there_are_more() -> None:
    zone = FakeZone({"one.test": [Txt((b"%d" % n,)) for n in range(4000)], "two.test": [Txt((b"%d" % n,)) for n in range(10)]})
    found = zone.run(ask_texts("one.test"))
    assert (len(found.values), found.more) == (MOST_TEXTS, True)
    assert not zone.run(ask_texts("two.test")).more
    assert zone.run(ask_texts("one.test", begins=b"3999")).values == (b"3999",)  # what is not wanted does not hide what is


def test_a_long_text_shows_that_it_is_too_long() -> None:
    zone = FakeZone({"one.test": [Txt((b"x" * 255,) * 200)]})
    assert len(zone.run(ask_texts("one.test", most_bytes=1000)).values[0]) == 1001


def test_none_and_nobody_could_tell_are_two_things() -> None:
    assert FakeZone().run(ask_texts("one.test")).answer.finding is Finding.NO_NAME
    with pytest.raises(NoAnswer):
        FakeZone({"one.test": ["SERVFAIL"]}).run(ask_texts("one.test"))

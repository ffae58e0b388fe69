"""Who is on a list that refuses is refused at RCPT, with the list's own words."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.policy.recipients import LOGGED, at_rcpt

from ekiden.base.ids import AccountId
from ekiden.dns.dnsbl import Subject, parse_list
from ekiden.policy.builtin.dnsbl import is_on_no_list
from ekiden.policy.rules import ListRule
from ekiden.policy.verdict import Reject
from ekiden.testing.dns import FakeZone

BAD = ListRule("bad", parse_list("bad.test"), 60, refuse=True)
NAMES = ListRule("names", parse_list("names.test", Subject.DOMAIN), 60, refuse=True)
GOOD = ListRule("good", parse_list("good.test"), -20)
LISTED: dict[str, Sequence[str]] = {"1.2.0.192.bad.test": ["A 127.0.0.2", "TXT see https://bad.test/192.0.2.1"]}


def _said(records: dict[str, Sequence[str]], *lists: ListRule, **how: object) -> Reject | None:
    said = asyncio.run(is_on_no_list(at_rcpt(zone=FakeZone(records), lists=lists, **how)))  # type: ignore[arg-type]  # keyword arguments
    assert said is None or isinstance(said, Reject)
    return said


def test_who_is_listed_hears_the_reason_of_the_list() -> None:
    said = _said(LISTED, BAD)
    assert said is not None
    assert said.reply.text == "550 5.7.1 192.0.2.1 is on the list bad.test: see https://bad.test/192.0.2.1"
    assert LOGGED[0][0] == "dnsbl-refused"
    assert LOGGED[0][1]["list"] == "bad"


def test_the_domain_of_the_sender_may_be_listed() -> None:
    said = _said({"out.test.names.test": ["A 127.0.0.2"]}, NAMES)
    assert said is not None
    assert said.because == "out.test is on the list names.test"
    assert _said({"out.test.names.test": ["A 127.0.0.2"]}, NAMES, sender="") is None


@pytest.mark.parametrize("records", [
    {},
    {"1.2.0.192.bad.test": ["A 127.0.0.3"]},                                     # no code that counts
    {"1.2.0.192.bad.test": ["A 127.255.255.254"]},                               # "you may not ask"
    {"1.2.0.192.bad.test": ["SERVFAIL"]},
    {"*.bad.test": ["A 127.0.0.2"]},                                             # it lists everything
])
def test_what_a_list_cannot_mean_refuses_nobody(records: dict[str, Sequence[str]]) -> None:  # DN-13
    assert _said(records, BAD) is None


def test_a_list_of_the_good_is_an_exception() -> None:
    assert _said({**LISTED, "1.2.0.192.good.test": ["A 127.0.0.2"]}, BAD, GOOD) is None
    assert _said(LISTED, BAD, GOOD) is not None


def test_lists_that_only_count_refuse_nobody() -> None:
    assert _said(LISTED, ListRule("bad", parse_list("bad.test"), 60)) is None


def test_postmaster_own_people_and_private_addresses_are_not_asked() -> None:
    assert _said(LISTED, BAD, to="postmaster@here.test") is None
    assert _said(LISTED, BAD, account=AccountId(1)) is None
    assert _said({"1.0.0.127.bad.test": ["A 127.0.0.2"]}, BAD, ip="127.0.0.1") is None

"""Names of addresses, forward-confirmed (row DN-12)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ekiden.dns.questions import NoAnswer
from ekiden.dns.records import Ptr
from ekiden.dns.reverse import confirmed_name, reverse_question
from ekiden.testing.dns import FakeZone

IP = ip_address("192.0.2.1")
REVERSE = "1.2.0.192.in-addr.arpa"


def test_the_names_to_ask_for() -> None:
    assert reverse_question(IP) == REVERSE
    assert reverse_question(ip_address("2001:db8::1")).endswith(".8.b.d.0.1.0.0.2.ip6.arpa")


def test_a_name_that_leads_back_is_believed() -> None:
    six = ip_address("2001:db8::1")
    zone = FakeZone({
        REVERSE: ["PTR host.one.test."], "host.one.test": ["A 192.0.2.9", "A 192.0.2.1"],
        reverse_question(six): ["PTR host6.one.test."], "host6.one.test": ["AAAA 2001:db8::1"],
    })
    assert zone.run(confirmed_name(IP)) == "host.one.test"
    assert zone.run(confirmed_name(six)) == "host6.one.test"


@pytest.mark.parametrize("name", [
    "victim.test",              # exists, with other addresses
    "gone.test",
    "a;rm -rf",
    "\\255\\010.one.test",
    "localhost",
    "192.0.2.1",
    "ill.test",
])
def test_a_name_that_does_not_lead_back_is_not_believed(name: str) -> None:
    others = {"victim.test": ["A 192.0.2.66"], "ill.test": ["SERVFAIL"], "localhost": ["A 192.0.2.1"]}
    zone = FakeZone({REVERSE: [Ptr(name)], **others})
    assert zone.run(confirmed_name(IP)) is None


def test_only_the_first_five_names_are_tried() -> None:
    zone = FakeZone({REVERSE: [*(Ptr(f"h{n}.test") for n in range(200))], "h4.test": ["A 192.0.2.1"]})
    assert zone.run(confirmed_name(IP)) == "h4.test"
    zone = FakeZone({REVERSE: [*(Ptr(f"h{n}.test") for n in range(200))], "h5.test": ["A 192.0.2.1"]})
    assert zone.run(confirmed_name(IP)) is None


def test_no_name_and_no_answer_are_two_things() -> None:
    assert FakeZone().run(confirmed_name(IP)) is None
    with pytest.raises(NoAnswer):
        FakeZone({REVERSE: ["SERVFAIL"]}).run(confirmed_name(IP))

"""Names of addresses, forward-confirmed (row DN-12)."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from ekiden.dns.questions import Answer, NoAnswer, Question, run_lookup
from ekiden.dns.records import Ptr
from ekiden.dns.reverse import confirmed_name, reverse, reverse_question
from ekiden.testing.dns import FakeZone, ZoneResolver

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
])
def test_a_name_that_does_not_lead_back_is_not_believed(name: str) -> None:
    others = {"victim.test": ["A 192.0.2.66"], "localhost": ["A 192.0.2.1"]}
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
    with pytest.raises(NoAnswer):
        FakeZone({REVERSE: ["PTR ill.test."], "ill.test": ["SERVFAIL"]}).run(confirmed_name(IP))


@pytest.mark.parametrize(("records", "said", "confirmed", "because"), [                       # RFC 8601 §2.7.3
    ({REVERSE: ["PTR a.test.", "PTR b.test."], "b.test": ["A 192.0.2.1"]}, "pass", "b.test", "b.test leads back to 192.0.2.1"),
    ({REVERSE: ["PTR a.test."], "a.test": ["A 192.0.2.9"]}, "fail", None, "no name of 192.0.2.1 leads back to it: it is called a.test"),
    ({REVERSE: ["PTR a.test."]}, "fail", None, "no name of 192.0.2.1 leads back to it: it is called a.test"),
    ({}, "permerror", None, "192.0.2.1 has no name"),
    ({REVERSE: ["TIMEOUT"]}, "temperror", None, f"{REVERSE}. PTR: TIMEOUT"),
    ({REVERSE: ["PTR a.test.", "PTR b.test."], "a.test": ["REFUSED"]}, "temperror", None, "a.test. A: REFUSED"),
    ({REVERSE: ["PTR a.test.", "PTR b.test."], "a.test": ["REFUSED"], "b.test": ["A 192.0.2.1"]}, "pass", "b.test",
     "b.test leads back to 192.0.2.1"),
])
def test_the_result_is_in_the_words_of_the_standard(records: dict[str, list[str]], said: str, confirmed: str | None, because: str) -> None:
    found = FakeZone(records).run(reverse(IP))
    assert (found.said, found.confirmed, found.because) == (said, confirmed, because)


def test_hostile_names_are_not_even_asked_for() -> None:  # DN-12
    hostile = ["local.test", "a;rm -rf", "\\255" * 60, "x y.test", "localhost", "1.2.3.4"]
    asked: list[str] = []
    zone = FakeZone({REVERSE: [*map(Ptr, hostile), *(Ptr(f"h{n}.test") for n in range(200))]})

    def answer(question: Question) -> Answer:
        asked.append(question.name)
        return zone.answer(question)

    found = run_lookup(reverse(IP), answer)
    assert (found.said, found.names) == ("fail", ("local.test",))
    assert asked == [REVERSE, "local.test"]
    assert all(char.isprintable() for char in found.because)


def test_two_hundred_names_cost_five_questions() -> None:  # DN-12
    resolver = ZoneResolver(FakeZone({REVERSE: [*(Ptr(f"h{n}.test") for n in range(200))]}))
    found = asyncio.run(resolver.resolve(reverse(IP)))
    assert (len(found.names), len(resolver.asked)) == (5, 6)

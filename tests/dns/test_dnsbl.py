"""Block lists and allow lists (row DN-13 of the project's table of attacks)."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, ip_address

import pytest

from ekiden.base.errors import BadValue
from ekiden.dns.dnsbl import (
    DnsList,
    ListHealth,
    Listing,
    State,
    Subject,
    address_question,
    look_up,
    look_up_all,
    parse_codes,
    parse_list,
)
from ekiden.dns.mx import Ip
from ekiden.dns.questions import Answer, Question
from ekiden.dns.records import Txt
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver

IP = ip_address("192.0.2.1")
LIST = DnsList("list.test")
ENTRY = "1.2.0.192.list.test"


class Asking:
    """A zone, the health of lists, and what was asked."""

    def __init__(self, zone: dict[str, list[str | Txt]]) -> None:
        self.zone = FakeZone(zone)
        self.clock = FakeClock()
        self.health = ListHealth(self.clock)
        self.asked: list[str] = []

    def say(self, about: Ip | str = IP, listed_by: DnsList = LIST, *, reason: bool = False) -> Listing:
        lookup = look_up(listed_by, about, self.health, reason=reason)
        try:
            question = next(lookup)
            while True:
                question = lookup.send(self._answer(question))
        except StopIteration as end:
            found: Listing = end.value
            return found

    def _answer(self, question: Question) -> Answer:
        self.asked.append(str(question))
        return self.zone.answer(question)


@pytest.mark.parametrize(("ip", "name"), [
    ("192.0.2.1", "1.2.0.192.list.test"),                                                            # RFC 5782 §2.1
    ("::ffff:192.0.2.1", "1.2.0.192.list.test"),
    ("2001:db8:1:2:3:4:567:89ab", "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.list.test"),  # RFC 5782 §2.4
])
def test_an_address_is_asked_for_backwards(ip: str, name: str) -> None:
    assert address_question(ip_address(ip), "list.test") == name


def test_an_entry_is_found_with_its_code_and_the_words_of_the_list() -> None:
    asking = Asking({ENTRY: ["A 127.0.0.2", "TXT sends\x07spam"]})
    found = asking.say(reason=True)
    assert (found.state, found.codes, found.reason) == (State.LISTED, (IPv4Address("127.0.0.2"),), "sends?spam")
    assert found.because == f"{ENTRY} is 127.0.0.2"
    assert asking.asked == [f"{ENTRY}. A", "1.0.0.127.list.test. A", f"{ENTRY}. TXT"]


def test_what_is_not_listed_costs_one_question() -> None:
    asking = Asking({})
    assert asking.say(reason=True).state is State.CLEAR
    assert len(asking.asked) == 1


def test_the_words_of_a_list_have_a_size_and_may_be_absent() -> None:
    assert len(Asking({ENTRY: ["A 127.0.0.2", Txt((b"x" * 255,) * 9)]}).say(reason=True).reason) == 500
    asking = Asking({ENTRY: ["A 127.0.0.2", "SERVFAIL TXT"]})
    assert (asking.say(reason=True).state, asking.say(reason=True).reason) == (State.LISTED, "")


def test_ipv6_and_domains_have_entries_too() -> None:
    six = ip_address("2001:db8::1")
    domains = DnsList("names.test", subject=Subject.DOMAIN)
    asking = Asking({address_question(six, "list.test"): ["A 127.0.0.2"], "evil.test.names.test": ["A 127.0.0.2"]})
    assert asking.say(six).state is State.LISTED
    assert asking.say("evil.test", domains).state is State.LISTED
    assert asking.say("good.test", domains).state is State.CLEAR
    assert "invalid.names.test. A" in asking.asked
    before = len(asking.asked)
    assert (asking.say(IP, domains).state, asking.say("evil.test").state) == (State.CLEAR, State.CLEAR)  # no list of that kind
    assert len(asking.asked) == before
    assert asking.say("x" * 63 + "." + "y" * 63 + "." + "z" * 63 + "." + "z" * 60, domains).state is State.CLEAR  # too long to be there


def test_only_configured_codes_count() -> None:  # DN-13
    listed_by = parse_list("list.test=127.0.0.4-7, 127.0.*.3")
    for code, state in [("127.0.0.2", State.CLEAR), ("127.0.0.4", State.LISTED), ("127.0.0.8", State.CLEAR), ("127.0.9.3", State.LISTED)]:
        asking = Asking({ENTRY: [f"A {code}"]})
        assert asking.say(listed_by=listed_by).state is state, code
    found = Asking({ENTRY: ["A 127.0.0.2", "A 127.0.0.5"]}).say(listed_by=listed_by)
    assert found.codes == (IPv4Address("127.0.0.5"),)


@pytest.mark.parametrize(("answer", "state"), [
    ("127.0.0.1", State.CLEAR),           # never a code, whatever is configured
    ("127.255.255.254", State.OFF),       # "you ask through a public resolver"
    ("127.255.255.252", State.OFF),
    ("1.2.3.4", State.OFF),               # the domain of a list that is no more, or a resolver that sells names
])
def test_answers_that_are_no_entries_never_count(answer: str, state: State) -> None:  # DN-13
    everything = parse_list("list.test=127.*.*.*")
    asking = Asking({ENTRY: ["A 127.0.0.2", f"A {answer}"]} if state is State.OFF else {ENTRY: [f"A {answer}"]})
    assert asking.say(listed_by=everything).state is state


def test_a_list_that_lists_everything_is_left_alone_for_an_hour() -> None:  # DN-13
    asking = Asking({"*.list.test": ["A 127.0.0.2"]})
    found = asking.say()
    assert (found.state, "lists everything" in found.because) == (State.OFF, True)
    asked = len(asking.asked)
    asking.clock.advance(minutes=59)
    assert (asking.say().state, asking.say(ip_address("2001:db8::1")).state) == (State.OFF, State.OFF)
    assert len(asking.asked) == asked
    asking.clock.advance(minutes=2)
    del asking.zone["*.list.test"]
    asking.zone[ENTRY] = ["A 127.0.0.2"]
    assert asking.say().state is State.LISTED


def test_a_list_that_complains_is_not_asked_again_at_once() -> None:  # DN-13
    asking = Asking({ENTRY: ["A 127.255.255.254"]})
    assert asking.say().state is State.OFF
    assert asking.say(ip_address("192.0.2.2")).because == "list.test answers 127.255.255.254, which is no entry of a list"
    assert len(asking.asked) == 1


def test_the_test_point_is_asked_for_once_an_hour() -> None:
    asking = Asking({ENTRY: ["A 127.0.0.2"]})
    for minutes, questions in [(0, 2), (59, 3), (2, 5)]:
        asking.clock.advance(minutes=minutes)
        assert asking.say().state is State.LISTED
        assert len(asking.asked) == questions


@pytest.mark.parametrize("name", [ENTRY, "1.0.0.127.list.test"])
def test_nobody_could_tell_is_neither_listed_nor_clear(name: str) -> None:
    asking = Asking({ENTRY: ["A 127.0.0.2"], name: ["TIMEOUT"]})
    found = asking.say()
    assert (found.state, found.because) == (State.UNKNOWN, f"{name}. A: TIMEOUT")


def test_several_lists_are_asked_in_order() -> None:
    zone = FakeZone({"1.2.0.192.b.test": ["A 127.0.0.2"]})
    found = zone.run(look_up_all([DnsList("a.test"), DnsList("b.test")], IP, ListHealth(FakeClock())))
    assert [(one.zone, one.state) for one in found] == [("a.test", State.CLEAR), ("b.test", State.LISTED)]


def test_the_memory_of_lists_is_bounded() -> None:
    health = ListHealth(FakeClock())
    for n in range(3000):
        health.switch_off(f"{n}.test", "why")
        health.prove(f"{n}.test")
    assert not health.why_off("0.test")
    assert health.why_off("2999.test")
    assert not health.is_sane("0.test")
    assert health.is_sane("2999.test")


@pytest.mark.parametrize("text", [
    "", "127", "127.0.0", "127.0.0.2.3", "10.0.0.2", "127.0.0.256", "127.0.0.9-2",
    "127.0.0.-2", "127.0.0.x", "*.0.0.2", "127.0.0.2-", "127.0.0.0002",
])
def test_codes_that_nobody_can_mean_are_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_codes(text)


def test_lists_are_read_as_operators_write_them() -> None:
    assert parse_list("Zen.Example.") == DnsList("zen.example")
    assert [codes.text for codes in parse_list("a.test=127.0.0.2,127.0.0.10-11").codes] == ["127.0.0.2", "127.0.0.10-11"]
    with pytest.raises(BadValue):
        parse_list("not a name")
    with pytest.raises(BadValue):
        parse_list("a.test=")


def test_a_resolver_runs_it() -> None:
    resolver = ZoneResolver(FakeZone({ENTRY: ["A 127.0.0.2"]}))
    assert asyncio.run(resolver.resolve(look_up(LIST, IP, ListHealth(FakeClock())))).state is State.LISTED

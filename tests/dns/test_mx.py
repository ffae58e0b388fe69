"""Mail hosts in order. Row names (DN-, OU-) are those of the project's table of attacks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from ekiden.dns.mx import Hop, Ip, MailHosts, is_host_name, is_public, literal_text, mail_hosts
from ekiden.dns.records import Mx
from ekiden.testing.dns import FakeZone


def keep(_: list[Mx]) -> None:
    """Chance that changes nothing."""


def find(
    zone: FakeZone,
    domain: str | Ip = "one.test",
    *,
    shuffle: Callable[[list[Mx]], None] = keep,
    allowed: Callable[[Ip], bool] = is_public,
    own_names: Container[str] = (),
) -> MailHosts:
    return zone.run(mail_hosts(domain, shuffle=shuffle, allowed=allowed, own_names=own_names))


def four(text: str) -> IPv4Address:
    return IPv4Address(text)


def test_hosts_come_in_order_of_preference() -> None:
    found = find(FakeZone({
        "one.test": ["MX 20 b.test.", "MX 10 a.test.", "MX 30 c.test."],
        "a.test": ["A 192.0.2.1"], "b.test": ["A 192.0.2.2"], "c.test": ["A 192.0.2.3"],
    }))
    assert found.hops == (
        Hop("a.test", (four("192.0.2.1"),), 10), Hop("b.test", (four("192.0.2.2"),), 20), Hop("c.test", (four("192.0.2.3"),), 30))
    assert found.problem is None
    assert found.skipped == ()


def test_hosts_of_equal_preference_are_shuffled_and_others_are_not() -> None:
    zone = FakeZone({"one.test": ["MX 5 first.test.", *(f"MX 10 h{n}.test." for n in range(4))], "first.test": ["A 192.0.2.99"]})
    for n in range(4):
        zone[f"h{n}.test"] = [f"A 192.0.2.{n}"]
    orders = set()
    for seed in range(60):
        hosts = [hop.host for hop in find(zone, shuffle=random.Random(seed).shuffle).hops]
        assert hosts[0] == "first.test"
        orders.add(tuple(hosts[1:]))
    assert len(orders) > 12


def test_both_families_take_turns_ipv6_first() -> None:
    found = find(FakeZone({
        "one.test": ["MX 10 a.test."],
        "a.test": ["A 192.0.2.1", "A 192.0.2.2", "A 192.0.2.3", "AAAA 2001:db8::1", "AAAA 2001:db8::2"],
    }))
    assert [str(ip) for ip in found.hops[0].ips] == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]


def test_without_mx_the_domain_itself_takes_mail() -> None:
    found = find(FakeZone({"one.test": ["A 192.0.2.1", "AAAA 2001:db8::1"]}))  # DN-08
    assert found.hops == (Hop("one.test", (IPv6Address("2001:db8::1"), four("192.0.2.1")), 0),)


def test_addresses_of_the_domain_are_not_used_beside_mx() -> None:
    found = find(FakeZone({"one.test": ["MX 10 gone.test.", "A 192.0.2.1"]}))
    assert found.hops == ()
    assert found.problem is not None
    assert found.problem.enhanced == (5, 4, 4)


def test_a_domain_that_is_an_alias_is_followed() -> None:
    zone = FakeZone({
        "one.test": ["CNAME two.test."], "two.test": ["MX 10 a.test."], "a.test": ["A 192.0.2.1"],
        "www.test": ["CNAME host.test."], "host.test": ["A 192.0.2.7"],
    })
    assert find(zone).hops == (Hop("a.test", (four("192.0.2.1"),), 10),)
    assert find(zone, "www.test").hops == (Hop("host.test", (four("192.0.2.7"),), 0),)


@pytest.mark.parametrize(("records", "enhanced"), [
    ({}, (5, 1, 2)),                                                              # DN-08: NXDOMAIN
    ({"one.test": ["TXT hello"]}, (5, 1, 2)),                                     # neither MX nor address
    ({"one.test": ["MX 0 ."]}, (5, 1, 10)),                                       # OU-22, RFC 7505 §3
    ({"one.test": ["MX 10 ."]}, (5, 1, 10)),                                      # whatever its preference
    ({"one.test": ["SERVFAIL"]}, (4, 4, 3)),                                      # DN-07
    ({"one.test": ["REFUSED MX", "A 192.0.2.1"]}, (4, 4, 3)),                     # never the address instead
    ({"one.test": ["TIMEOUT A", "TIMEOUT AAAA"]}, (4, 4, 3)),
    ({"one.test": ["MX 10 a.test."], "a.test": ["SERVFAIL"]}, (4, 4, 3)),
    ({"one.test": ["MX 10 a.test.", "MX 20 gone.test."], "a.test": ["SERVFAIL AAAA"]}, (4, 4, 3)),
    ({"one.test": ["MX 10 gone.test."]}, (5, 4, 4)),
    ({"one.test": ["MX 10 a.test."], "a.test": ["TXT x"]}, (5, 4, 4)),
    ({"one.test": ["MX 10 us.test.", "MX 20 b.test."], "b.test": ["A 192.0.2.1"]}, (5, 4, 6)),  # OU-20
])
def test_where_no_host_can_be_tried_the_problem_says_why(
    records: dict[str, list[str]], enhanced: tuple[int, int, int]
) -> None:
    found = find(FakeZone(records), own_names={"us.test"})
    assert found.hops == ()
    assert found.problem is not None
    assert found.problem.enhanced == enhanced
    assert found.problem.is_permanent is (enhanced[0] == 5)
    assert found.answers


def test_one_family_that_fails_does_not_hide_the_other() -> None:
    found = find(FakeZone({"one.test": ["MX 10 a.test."], "a.test": ["TIMEOUT AAAA", "A 192.0.2.1"]}))
    assert found.hops[0].ips == (four("192.0.2.1"),)


def test_a_host_that_cannot_be_found_leaves_the_others() -> None:
    zone = FakeZone({"one.test": ["MX 10 ill.test.", "MX 20 b.test."], "ill.test": ["SERVFAIL"], "b.test": ["A 192.0.2.1"]})
    found = find(zone)
    assert [hop.host for hop in found.hops] == ["b.test"]
    assert [(skip.host, skip.because) for skip in found.skipped] == [("ill.test", "SERVFAIL")]


@pytest.mark.parametrize("target", [
    "alias.test",                        # OU-24: CNAME
    "192.0.2.66",                        # IP literal
    ".".join(["a" * 60] * 5),            # 300 bytes
    "mx one.test",
    "a..test",
    "",                                  # the null MX among others: RFC 7505 §3 says it stands alone
    "-a.test",
    "mx;rm.test",
])
def test_a_host_that_is_no_host_is_skipped_and_others_are_tried(target: str) -> None:
    zone = FakeZone({"alias.test": ["CNAME b.test."], "b.test": ["A 192.0.2.1"]})
    zone["one.test"] = [Mx(5, target), Mx(10, "b.test")]
    found = find(zone)
    assert [hop.host for hop in found.hops] == ["b.test"]
    assert [skip.host for skip in found.skipped] == [target]


def test_at_most_five_addresses_are_tried_over_all_hosts() -> None:
    zone = FakeZone({"one.test": [f"MX {n} h{n}.test." for n in range(100)]})  # OU-23
    for n in range(100):
        zone[f"h{n}.test"] = [f"A 198.51.{n}.{m}" for m in range(20)]
    found = find(zone)
    assert [(hop.host, len(hop.ips)) for hop in found.hops] == [("h0.test", 3), ("h1.test", 2)]
    assert len(found.answers) == 5


def test_a_single_host_may_use_all_five() -> None:
    found = find(FakeZone({"one.test": ["MX 1 a.test."], "a.test": [f"A 192.0.2.{n}" for n in range(20)]}))
    assert [str(ip) for ip in found.hops[0].ips] == [f"192.0.2.{n}" for n in range(5)]


def test_a_domain_with_many_dead_hosts_costs_few_questions() -> None:
    found = find(FakeZone({"one.test": [f"MX {n} gone{n}.test." for n in range(100)]}))
    assert found.hops == ()
    assert len(found.answers) == 21


@pytest.mark.parametrize("text", [
    "A 127.0.0.1", "AAAA ::1", "A 0.0.0.0", "A 10.1.2.3", "A 169.254.169.254", "AAAA ::ffff:127.0.0.1", "AAAA fe80::1",
    "A 172.31.0.1", "A 192.168.0.1", "A 100.64.0.1", "A 224.0.0.1", "A 255.255.255.255", "AAAA ::", "AAAA fd00::1",
    "AAAA ff02::1", "AAAA 2002:7f00:1::", "AAAA 64:ff9b::10.0.0.1",
])
def test_an_address_that_is_not_public_is_never_tried(text: str) -> None:
    zone = FakeZone({"one.test": ["MX 10 a.test."], "a.test": [text]})  # OU-21
    found = find(zone)
    assert found.hops == ()
    assert found.problem is not None
    assert found.problem.enhanced == (5, 4, 4)
    assert found.skipped[0].because.endswith("is not a public address")
    assert find(zone, allowed=lambda ip: True).hops[0].host == "a.test"
    zone["a.test"] = [text, "A 192.0.2.1"]
    assert find(zone).hops[0].ips == (four("192.0.2.1"),)


@pytest.mark.parametrize("text", ["8.8.8.8", "192.0.2.1", "172.32.0.1", "2001:db8::1", "::ffff:192.0.2.1", "64:ff9b::8.8.8.8"])
def test_other_addresses_are_public(text: str) -> None:
    assert is_public(ip_address(text))


def test_an_address_literal_needs_no_dns() -> None:
    found = find(FakeZone(), ip_address("192.0.2.1"))
    assert found.hops == (Hop("[192.0.2.1]", (four("192.0.2.1"),), 0),)
    assert found.answers == ()
    six = ip_address("2001:db8::1")
    assert find(FakeZone(), six).hops[0].host == literal_text(six) == "[IPv6:2001:db8::1]"
    refused = find(FakeZone(), ip_address("127.0.0.1"))
    assert refused.problem is not None
    assert refused.problem.enhanced == (5, 4, 4)


def test_hosts_behind_our_own_name_are_left_out() -> None:
    zone = FakeZone({
        "one.test": ["MX 10 a.test.", "MX 20 us.test.", "MX 20 b.test.", "MX 30 c.test."],
        "a.test": ["A 192.0.2.1"], "us.test": ["A 192.0.2.2"], "b.test": ["A 192.0.2.3"], "c.test": ["A 192.0.2.4"],
    })
    assert [hop.host for hop in find(zone, own_names={"us.test"}).hops] == ["a.test"]  # RFC 5321 §5.1


def test_every_answer_is_kept_for_the_journey() -> None:
    found = find(FakeZone({"one.test": ["MX 10 a.test."], "a.test": ["A 192.0.2.1"]}))
    assert [f"{answer.question} -> {answer}" for answer in found.answers] == [
        "one.test. MX -> 10 a.test.", "a.test. AAAA -> NODATA", "a.test. A -> 192.0.2.1"]


def test_the_same_record_twice_counts_once() -> None:
    found = find(FakeZone({"one.test": ["MX 10 a.test.", "MX 10 a.test."], "a.test": ["A 192.0.2.1"]}))
    assert len(found.hops) == 1


@pytest.mark.parametrize(("name", "answer"), [
    ("mx.one.test", True), ("localhost", True), ("a_b.test", True), ("xn--bcher-kva.test", True), ("1.test", True),
    ("one.1", False), ("a-.test", False), ("A.test", False), ("a.test.", False), ("", False), ("a b", False),
])
def test_host_names(name: str, answer: bool) -> None:
    assert is_host_name(name) is answer


def test_of_a_host_with_thousands_of_addresses_the_first_are_looked_at() -> None:
    addresses = [f"A 10.0.{n // 256}.{n % 256}" for n in range(4_000)]
    found = find(FakeZone({"one.test": ["MX 10 a.test.", "MX 20 b.test."], "a.test": addresses, "b.test": ["A 192.0.2.1"]}))
    assert [hop.host for hop in found.hops] == ["b.test"]
    assert len(found.skipped) == 50
    public = FakeZone({"one.test": ["MX 10 a.test."], "a.test": [f"A 192.0.{2 + n // 256}.{n % 256}" for n in range(4_000)]})
    began = time.perf_counter()
    assert len(find(public).hops[0].ips) == 5
    assert time.perf_counter() - began < 0.5  # comparing each with each took seconds

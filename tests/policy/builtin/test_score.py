"""The score policy over the real checks of origin, lists and lessons: what follows from sums, and for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.app.clock import SystemClock
from ekiden.base.ids import AccountId, EnvelopeId
from ekiden.dns.dnsbl import ListHealth, parse_list
from ekiden.dns.questions import Lookup, Zone
from ekiden.dns.records import A, Ptr, Txt
from ekiden.mail.address import parse_mailbox
from ekiden.mail.envelope import Envelope, Peer, Recipient
from ekiden.mail.findings import WEIGHTS
from ekiden.mail.headers import parse_headers
from ekiden.mail.journey import Reason
from ekiden.policy.authentication import Ways
from ekiden.policy.builtin.score import adds_up, decide
from ekiden.policy.learned import Likeness
from ekiden.policy.rules import NO_LISTS, ListRule, Lists, Rules
from ekiden.policy.score import Finding, Level, add_up
from ekiden.policy.stage import MessageContext, World
from ekiden.policy.verdict import Pass, Quarantine, Reject, Said, Tag, Verdict
from ekiden.services.checks import Checks, Subject
from ekiden.services.listings import MessageListings
from ekiden.testing.dns import FakeZone

T = TypeVar("T")
RAW = b"From: <a@out.test>\r\nSubject: s\r\n\r\nbody\r\n"
IP = IPv4Address("192.0.2.1")
GOOD: Zone = {
    "1.2.0.192.in-addr.arpa": [Ptr("mail.out.test")],
    "mail.out.test": [A(IP)],
    "out.test": [Txt((b"v=spf1 ip4:192.0.2.1 -all",))],
}
ALICE, BOB = AccountId(1), AccountId(2)
RULES = Rules()


class OneMessage:
    """All answers are remembered."""

    asked = 0

    def __init__(self, zone: Zone) -> None:
        self._zone = FakeZone(zone)

    async def resolve(self, lookup: Lookup[T]) -> T:
        return self._zone.run(lookup)

    async def recall(self, key: Hashable, make: Callable[[], Lookup[T]], keep: Callable[[T], bool] = lambda outcome: True) -> T:
        return self._zone.run(make())


def _judge(
    hello: str,
    zone: Zone,
    *,
    account: AccountId | None = None,
    ip: str = "192.0.2.1",
    lists: Sequence[ListRule] = (),
    accounts: tuple[AccountId, ...] = (ALICE,),
    likes: tuple[Likeness, ...] = (),
) -> Said:
    async def count(key: str, per_s: int) -> int:
        return 1

    class Taught:
        async def likeness(self) -> tuple[Likeness, ...]:
            return likes

    async def work() -> Said:
        clock = SystemClock()
        recipient = Recipient(parse_mailbox("alice@here.test"))
        peer = replace(Peer(IPv4Address(ip), 5, "mx", hello=hello), account=account)
        envelope = Envelope(EnvelopeId(1), parse_mailbox("a@out.test"), (recipient,), peer, clock.now())
        dns, headers = OneMessage(zone), parse_headers(RAW)
        checks = Checks(Ways("mx.here.test", "mx.here.test"), Subject(envelope, headers, RAW, clock.now()), dns)
        asked = Lists(tuple(lists), ListHealth(clock)) if lists else None
        weights = {**WEIGHTS, **{rule.finding: rule.points for rule in lists}}
        world = World(clock, dns, count, lambda event, **fields: None, Rules("mx.here.test", weights, lists=asked))
        listings = MessageListings(asked, envelope, headers, RAW, "out.test", dns) if asked is not None else NO_LISTS
        context = MessageContext(peer, world, envelope, (recipient,), headers, len(RAW), authentication=checks, resolver=dns)
        return await adds_up(replace(context, learned=Taught(), listings=listings, accounts=accounts))

    return asyncio.run(work())


def test_a_server_in_good_order_is_let_through() -> None:
    assert _judge("mail.out.test", GOOD) is None


def test_oddities_add_up_to_a_mark_and_then_to_junk() -> None:
    reasons = (Reason("iprev-fail", 15), Reason("nothing-passed", 10), Reason("helo-unknown", 15, "nobody.out.test"))
    said = _judge("nobody.out.test", {})
    assert said == (Tag(b"X-Ekiden-Score", b"40 iprev-fail=15 nothing-passed=10 helo-unknown=15", reasons),)
    filed, marked = _judge("mx.here.test", {})  # type: ignore[misc]  # a tuple of two, or the test fails
    assert isinstance(filed, Quarantine)
    assert (filed.because, filed.only) == ("85 points: iprev-fail +15, nothing-passed +10, helo-our-name +60 (mx.here.test)", None)
    assert [each.points for each in filed.reasons] == [15, 10, 60]
    assert marked == Tag(b"X-Ekiden-Score", b"85 iprev-fail=15 nothing-passed=10 helo-our-name=60")


def test_little_is_told_and_changes_nothing() -> None:
    zone = {name: records for name, records in GOOD.items() if "arpa" not in name}
    assert _judge("mail.out.test", zone) == (Pass("15 points: iprev-fail +15", (Reason("iprev-fail", 15),)),)


def test_who_has_signed_in_is_not_judged() -> None:
    assert _judge("mx.here.test", {}, account=AccountId(7)) is None


@pytest.mark.parametrize("ip", ["127.0.0.1", "10.0.0.3", "192.168.1.1"])
def test_machines_on_private_addresses_have_no_names_and_say_what_they_like(ip: str) -> None:
    for hello in ("mx.here.test", "printer", "[192.0.2.9]"):
        assert _judge(hello, {}, ip=ip) is None


def test_what_a_domain_says_of_itself_counts_from_private_addresses_too() -> None:
    zone: Zone = {"out.test": [Txt((b"v=spf1 -all",))]}
    (marked,) = _judge("printer", zone, ip="10.0.0.3")  # type: ignore[misc]
    assert marked == Tag(b"X-Ekiden-Score", b"30 spf-fail=30", (Reason("spf-fail", 30, "smtp.mailfrom=out.test"),))


LISTED: Zone = {**GOOD, "1.2.0.192.bad.test": [A(IPv4Address("127.0.0.2")), Txt((b"a robot",))]}


def test_lists_are_findings_with_the_points_of_each() -> None:
    lists = [ListRule("bad", parse_list("bad.test"), 60), ListRule("other", parse_list("other.test"), 45)]
    reasons = (Reason("listed-bad", 60, "192.0.2.1: a robot"),)
    assert _judge("mail.out.test", LISTED, lists=lists) == (
        Quarantine("60 points: listed-bad +60 (192.0.2.1: a robot)", reasons=reasons),
        Tag(b"X-Ekiden-Score", b"60 listed-bad=60"),
    )


def test_a_list_of_the_good_takes_away() -> None:
    lists = [ListRule("bad", parse_list("bad.test"), 60), ListRule("good", parse_list("bad.test"), -50)]
    assert _judge("mail.out.test", LISTED, lists=lists) == (
        Pass(
            "10 points: listed-bad +60 (192.0.2.1: a robot), listed-good -50 (192.0.2.1: a robot)",
            (Reason("listed-bad", 60, "192.0.2.1: a robot"), Reason("listed-good", -50, "192.0.2.1: a robot")),
        ),
    )


# ---- what follows for whom -------------------------------------------------------------------------


def _decide(points: int, accounts: Sequence[AccountId | None], **likes: float) -> tuple[Verdict, ...]:
    rules = replace(RULES, weights={**WEIGHTS, "listed-x": points})
    taught = [Likeness({"alice": ALICE, "bob": BOB}[name], probability, ("casino",)) for name, probability in likes.items()]
    return decide(add_up([Finding("listed-x")], rules.weights), taught, accounts, rules)


def _kinds(verdicts: Sequence[Verdict]) -> list[str]:
    return [type(each).__name__ for each in verdicts]


def test_readers_of_one_mailbox_are_heard_for_it_alone() -> None:
    quarantine, tag = _decide(20, [ALICE, BOB], alice=0.995)
    assert isinstance(quarantine, Quarantine)
    assert quarantine.only == frozenset({ALICE})
    assert [each.name for each in quarantine.reasons] == ["listed-x", "bayes-99"]
    assert quarantine.because.endswith("for 1 of 2 mailboxes")
    assert tag == Tag(b"X-Ekiden-Score", b"20 listed-x=20", (Reason("listed-x", 20),))  # nothing of what alice has taught


def test_of_a_message_to_one_mailbox_its_lessons_are_a_part_of_the_score() -> None:
    quarantine, tag = _decide(20, [ALICE], alice=0.995)
    assert isinstance(quarantine, Quarantine)
    assert quarantine.only is None
    assert quarantine.reasons[-1] == Reason("bayes-99", 50, "casino")
    assert tag == Tag(b"X-Ekiden-Score", b"70 listed-x=20 bayes-99=50")


@pytest.mark.parametrize(("probability", "points"), [(0.5, 20), (0.79, 20), (0.8, 35), (0.95, 50), (0.99, 70), (1.0, 70), (0.0, 20)])
def test_likeness_in_steps(probability: float, points: int) -> None:
    said = _decide(20, [ALICE], alice=probability)
    told = said[-1]
    assert (told.value if isinstance(told, Tag) else getattr(told, "because", "").encode()).split(b" ")[0] == str(points).encode()


def test_lessons_refuse_only_where_every_mailbox_would() -> None:
    assert _kinds(_decide(100, [ALICE, BOB])) == ["Reject"]
    assert _kinds(_decide(70, [ALICE, BOB], alice=1.0, bob=0.995)) == ["Reject"]
    assert _kinds(_decide(70, [ALICE, BOB], alice=1.0, bob=0.96)) == ["Reject"]
    assert _kinds(_decide(70, [ALICE, BOB], alice=1.0)) == ["Quarantine", "Tag"]
    assert _kinds(_decide(70, [ALICE, None], alice=1.0)) == ["Quarantine", "Tag"]  # a copy goes elsewhere: nobody there has taught


def test_lessons_alone_never_refuse() -> None:
    rules = replace(RULES, weights={**WEIGHTS, "bayes-99": 500, "iprev-fail": 15})
    like = Likeness(ALICE, 1.0)
    assert _kinds(decide(add_up([], rules.weights), [like], [ALICE], rules)) == ["Quarantine", "Tag"]
    assert _kinds(decide(add_up([Finding("iprev-fail")], rules.weights), [like], [ALICE], rules)) == ["Quarantine", "Tag"]
    assert _kinds(decide(add_up([Finding("spf-fail")], rules.weights), [like], [ALICE], rules)) == ["Reject"]


ACCOUNTS = st.lists(st.one_of(st.none(), st.integers(1, 4).map(AccountId)), min_size=1, max_size=6)


@given(ACCOUNTS, st.dictionaries(st.integers(1, 4).map(AccountId), st.floats(0, 1)), st.integers(0, 140))
def test_nobody_gets_less_than_his_sum_and_nobody_more(
    accounts: list[AccountId | None], taught: dict[AccountId, float], points: int
) -> None:
    rules = replace(RULES, weights={**WEIGHTS, "listed-x": points})
    base = add_up([Finding("listed-x")], rules.weights)
    likes = [Likeness(account, probability) for account, probability in taught.items() if account in accounts]
    said = decide(base, likes, accounts, rules)
    refused = any(isinstance(each, Reject) for each in said)
    junk = [each for each in said if isinstance(each, Quarantine)]
    levels = []
    for account in accounts:
        extra = next((like.probability for like in likes if like.account == account), 0.0)
        more = 50 if extra >= 0.99 else 30 if extra >= 0.95 else 15 if extra >= 0.8 else 0
        level = rules.thresholds.level(points + more)
        levels.append(level)
        if not refused and account is not None:
            assert any(each.only is None or account in each.only for each in junk) is (level >= Level.JUNK)
    assert refused is (points >= 100 or (points >= 30 and all(level is Level.REFUSE for level in levels)))


def test_nothing_is_said_of_nothing() -> None:
    assert decide(add_up([]), [], [ALICE], RULES) == ()
    assert decide(add_up([]), [Likeness(ALICE, 0.2)], [ALICE], RULES) == ()

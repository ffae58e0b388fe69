"""Lookups as generators, answered from a dictionary."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from ekiden.base.errors import Unreachable
from ekiden.dns.questions import (
    Answer,
    Broken,
    Finding,
    Lookup,
    NoAnswer,
    Question,
    answer_from,
    ask,
    ask_addresses,
    ask_anyhow,
    ask_fully,
    is_askable,
    lower_name,
    observed,
    run_lookup,
)
from ekiden.dns.records import A, Aaaa, Cname, Mx, Record, Txt

FOUR = A(IPv4Address("192.0.2.1"))
SIX = Aaaa(IPv6Address("2001:db8::1"))
ZONE: dict[str, tuple[Record, ...]] = {
    "one.test": (Mx(10, "mx.one.test"), Txt((b"hello",))),
    "mx.one.test": (FOUR, SIX),
    "www.one.test": (Cname("one.test"),),
    "dangling.test": (Cname("nowhere.test"),),
    "a.loop.test": (Cname("b.loop.test"),),
    "b.loop.test": (Cname("a.loop.test"),),
    "ill.test": (Broken(),),
    "half.test": (FOUR, Broken("timeout", Aaaa)),
    "six.test": (SIX, Broken("timeout", A)),
    "empty-half.test": (Broken("timeout", Aaaa),),
    "*.wild.test": (FOUR,),
    "b.known.wild.test": (Txt((b"x",)),),
}


def answer(question: Question) -> Answer:
    return answer_from(ZONE, question)


def test_records_come_back_with_their_type() -> None:
    assert run_lookup(ask(Mx, "ONE.test."), answer) == (Mx(10, "mx.one.test"),)
    assert run_lookup(ask(Txt, "one.test"), answer)[0].value == b"hello"


@pytest.mark.parametrize(("name", "finding"), [
    ("one.test", Finding.NO_DATA),          # RFC 2308 §2.2
    ("test", Finding.NO_DATA),              # an empty non-terminal exists
    ("two.test", Finding.NO_NAME),          # RFC 2308 §2.1
    ("one.test.one.test", Finding.NO_NAME),
    ("ne.test", Finding.NO_NAME),           # the end of a name that exists, but not its parent
    ("dangling.test", Finding.NO_NAME),     # the alias is there, its target is not
    ("www.one.test", Finding.NO_DATA),
    ("mx.one.test", Finding.FOUND),
])
def test_the_findings_are_told_apart(name: str, finding: Finding) -> None:
    found = run_lookup(ask_fully(A, name), answer)
    assert found.finding is finding
    assert bool(found.records) is (finding is Finding.FOUND)
    assert run_lookup(ask(A, name), answer) == found.records


def test_nobody_could_tell_is_never_none() -> None:
    for lookup in (ask(A, "ill.test"), ask_fully(Mx, "ill.test"), ask_addresses("ill.test")):
        with pytest.raises(NoAnswer, match=r"ill\.test\. (A|MX|AAAA): SERVFAIL") as caught:
            run_lookup(lookup, answer)
        assert isinstance(caught.value, Unreachable)
    assert run_lookup(ask_anyhow(A, "ill.test"), answer).finding is Finding.FAILED


def test_aliases_are_followed_and_noted() -> None:
    found = run_lookup(ask_fully(Mx, "www.one.test"), answer)
    assert found.aliases == ("one.test",)
    assert found.canonical == "one.test"
    assert str(found) == "CNAME one.test. 10 mx.one.test."
    assert run_lookup(ask(Cname, "www.one.test"), answer) == (Cname("one.test"),)


def test_eight_aliases_are_followed_and_nine_are_not() -> None:
    zone: dict[str, tuple[Record, ...]] = {f"{n}.test": (Cname(f"{n + 1}.test"),) for n in range(9)}
    zone["9.test"] = (FOUR,)
    assert answer_from(zone, Question(A, "1.test")).records == (FOUR,)
    assert answer_from(zone, Question(A, "0.test")).finding is Finding.FAILED
    assert run_lookup(ask_anyhow(A, "a.loop.test"), answer).because == "too many CNAMEs"


def test_a_wildcard_answers_for_what_does_not_exist() -> None:
    assert run_lookup(ask(A, "x.wild.test"), answer) == (FOUR,)             # RFC 4592 §2.2
    assert run_lookup(ask(A, "x.y.wild.test"), answer) == (FOUR,)
    assert run_lookup(ask(A, "b.known.wild.test"), answer) == ()
    assert run_lookup(ask(A, "known.wild.test"), answer) == ()


def test_both_families_are_asked_and_one_is_enough() -> None:
    assert run_lookup(ask_addresses("mx.one.test"), answer) == (SIX, FOUR)
    assert run_lookup(ask_addresses("half.test"), answer) == (FOUR,)
    assert run_lookup(ask_addresses("six.test"), answer) == (SIX,)
    assert run_lookup(ask_addresses("one.test"), answer) == ()
    with pytest.raises(NoAnswer, match="timeout"):
        run_lookup(ask_addresses("empty-half.test"), answer)


@pytest.mark.parametrize(("name", "askable"), [
    ("a", True),
    ("_dmarc.one.test", True),
    ("a b+c@d.one.test", True),              # SPF macros make such names
    ("a" * 63 + ".test", True),
    ("a" * 64 + ".test", False),             # RFC 1035 §2.3.4
    (".".join(["a" * 49] * 5), True),
    (".".join(["a" * 50] * 5), False),       # 254 octets
    ("", False),
    (".", False),
    ("a..test", False),
    (".a.test", False),
    ("bücher.test", False),                  # only A-labels are asked
    ("a\\.test", False),
    ("a\n.test", False),
    ("a.test\n", False),
    ("a\x00.test", False),
    ("a\x7f.test", False),
])
def test_names_that_no_question_can_carry(name: str, askable: bool) -> None:
    assert is_askable(name) is askable


def test_an_impossible_name_does_not_exist_and_is_not_asked() -> None:
    def nobody(question: Question) -> Answer:
        raise AssertionError(question)

    assert run_lookup(ask(A, "a..test"), nobody) == ()
    assert run_lookup(ask_fully(Mx, "x" * 300), nobody).finding is Finding.NO_NAME


def test_only_ascii_letters_are_folded() -> None:
    assert lower_name("ONE.Test.") == "one.test"
    assert lower_name("one.test..") == "one.test."
    assert lower_name("\u212aELVIN.test") == "\u212aELVIN.test"


def test_a_lookup_can_be_watched() -> None:
    seen: list[str] = []

    def story() -> Lookup[int]:
        hosts = yield from ask(Mx, "one.test")
        addresses = yield from ask_addresses(hosts[0].host)
        return len(addresses)

    assert run_lookup(observed(story(), lambda found: seen.append(f"{found.question} -> {found}")), answer) == 2
    assert seen == [
        "one.test. MX -> 10 mx.one.test.", "mx.one.test. AAAA -> 2001:db8::1", "mx.one.test. A -> 192.0.2.1"]


def test_what_the_watcher_raises_ends_the_lookup() -> None:
    def stop(_: Answer) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run_lookup(observed(ask(A, "one.test"), stop), answer)


def test_an_answer_is_told_briefly() -> None:
    few = Answer(Question(Txt, "one.test"), Finding.FOUND, (Txt((b"a",)),), ("two.test",))
    assert few.brief() == str(few) == 'CNAME two.test. "a"'
    many = Answer(Question(Txt, "one.test"), Finding.FOUND, tuple(Txt((b"%d" % n,)) for n in range(4000)))
    assert many.brief(20) == '"0", "1", "2", …'
    assert many.brief(12) == '"0", "1", …'
    assert len(many.brief()) <= 500
    long = Answer(Question(Txt, "one.test"), Finding.FOUND, (Txt((b"x" * 255,) * 20),))
    assert (len(long.brief()), long.brief()[-1]) == (500, "…")

"""check_host: results, limits, identities, and how an outcome explains itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.dns.questions import Answer, Finding, Question, observed, run_lookup
from ekiden.dns.records import A, Mx, Ptr, Record, Txt
from ekiden.mail.address import NULL_PATH, Domain, Path
from ekiden.mailauth.results import Result
from ekiden.mailauth.spf import SpfOutcome, SpfStep, check_helo, check_host
from ekiden.testing.dns import FakeZone, ZoneResolver

NOW = Millis(1_763_718_906_000)


def _sender(domain: str, local: str = "alice") -> Path:
    return Path(local, Domain(domain))


def _check(
    zone: Mapping[str, Sequence[Record | str]], ip: str = "192.0.2.1", sender: Path | None = None, helo: str = "mx.one.test",
    asked: list[str] | None = None,
) -> SpfOutcome:  # fmt: skip
    sender = _sender("one.test") if sender is None else sender
    lookup = check_host(ip_address(ip), helo, sender, receiver="mx.ekiden.test", now=NOW)
    if asked is not None:
        lookup = observed(lookup, lambda answer: asked.append(str(answer.question)))
    return FakeZone(zone).run(lookup)


def _txt(text: str) -> list[Record | str]:
    return [Txt((text.encode(),))]


CHAIN: dict[str, Sequence[Record | str]] = {
    "one.test": _txt("v=spf1 a include:_spf.two.test -all exp=why.one.test"),
    "_spf.two.test": _txt("v=spf1 include:_a.two.test include:_b.two.test ~all"),
    "_a.two.test": _txt("v=spf1 ip4:198.51.100.0/24 -all"),
    "_b.two.test": _txt("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"),
    "why.one.test": _txt("%{i} may not send for %{d}"),
}


def test_an_outcome_tells_which_term_of_which_record_matched() -> None:
    found = _check({**CHAIN, "one.test": [*CHAIN["one.test"], "A 203.0.113.1"]})
    assert found.result is Result.PASS
    assert (found.domain, found.identity, found.matched) == ("one.test", "mailfrom", "include:_spf.two.test")
    assert found.chain == (
        SpfStep("one.test", "include:_spf.two.test"),
        SpfStep("_spf.two.test", "include:_b.two.test"),
        SpfStep("_b.two.test", "ip4:192.0.2.0/24"),
    )
    assert [(str(step), matched) for step, matched in found.tried] == [
        ("one.test: a", False),
        ("one.test: include:_spf.two.test", True),
        ("_spf.two.test: include:_a.two.test", False),
        ("_spf.two.test: include:_b.two.test", True),
    ]
    assert found.because == (
        "ip4:192.0.2.0/24 of _b.two.test (by include:_spf.two.test of one.test, include:_b.two.test of _spf.two.test)"
    )
    evidence = found.evidence()
    assert (evidence.method, evidence.result, dict(evidence.about)) == ("spf", Result.PASS, {"smtp.mailfrom": "one.test"})
    assert evidence.because == found.because


def test_a_fail_brings_the_explanation_of_the_domain() -> None:
    found = _check({**CHAIN, "one.test": [*CHAIN["one.test"], "A 203.0.113.1"]}, ip="203.0.113.9")
    assert (found.result, found.matched) == (Result.FAIL, "-all")
    assert found.explanation == "203.0.113.9 may not send for one.test"
    assert found.chain == (SpfStep("one.test", "-all"),)


@pytest.mark.parametrize(("policy", "result"), [
    ("v=spf1 +all", Result.PASS), ("v=spf1 -all", Result.FAIL), ("v=spf1 ~all", Result.SOFTFAIL), ("v=spf1 ?all", Result.NEUTRAL),
    ("v=spf1", Result.NEUTRAL), ("v=spf1 moo", Result.PERMERROR), ("v=spf2 -all", Result.NONE),
])  # fmt: skip
def test_results(policy: str, result: Result) -> None:
    found = _check({"one.test": _txt(policy)})
    assert found.result is result
    assert found.because


def test_no_name_no_record_and_no_answer_are_three_things() -> None:  # RFC 7208 §4.3, §4.4, §4.5
    assert _check({}).result is Result.NONE
    assert _check({"one.test": ["A 192.0.2.1"]}).result is Result.NONE
    failed = _check({"one.test": ["SERVFAIL"]})
    assert (failed.result, failed.because) == (Result.TEMPERROR, "one.test. TXT: SERVFAIL")


@pytest.mark.parametrize("domain", ["localhost", "test", "one..test", "a" * 64 + ".test", "." * 5, ""])
def test_no_policy_is_asked_of_what_is_no_name_of_several_labels(domain: str) -> None:
    asked: list[str] = []
    assert _check({}, sender=_sender(domain), asked=asked).result is Result.NONE
    assert asked == []


def test_an_address_literal_has_no_policy() -> None:
    asked: list[str] = []
    found = _check({}, sender=Path("alice", ip_address("192.0.2.1")), asked=asked)
    assert (found.result, found.domain, asked) == (Result.NONE, "", [])
    assert dict(found.evidence().about) == {}


# Limits


def test_ax_01_include_11() -> None:
    """AX-01: ten includes are followed, the eleventh is a permanent error (RFC 7208 §4.6.4)."""
    zone = {f"i{number}.test": _txt("v=spf1 ip4:198.51.100.1") for number in range(11)}
    ten = " ".join(f"include:i{number}.test" for number in range(10))
    assert _check({**zone, "one.test": _txt(f"v=spf1 {ten} ip4:192.0.2.1 -all")}).result is Result.PASS
    asked: list[str] = []
    found = _check({**zone, "one.test": _txt(f"v=spf1 {ten} include:i10.test ip4:192.0.2.1 -all")}, asked=asked)
    assert found.result is Result.PERMERROR
    assert found.because == "more than 10 terms that ask the DNS"
    assert found.chain == (SpfStep("one.test", "include:i10.test"),)
    assert len(asked) == 11


@pytest.mark.parametrize("policy", [
    "v=spf1 include:one.test -all", "v=spf1 redirect=one.test", "v=spf1 include:%{d} all", "v=spf1 redirect=%{d}",
])  # fmt: skip
def test_ax_01_loops(policy: str) -> None:
    """AX-01: a record that leads to itself ends at ten lookups."""
    asked: list[str] = []
    found = _check({"one.test": _txt(policy)}, asked=asked)
    assert found.result is Result.PERMERROR
    assert len(asked) == 11
    assert len(found.chain) == 11
    assert len(found.tried) <= 11


def test_ax_01_the_ten_are_counted_over_all_records() -> None:
    zone = {
        "one.test": _txt("v=spf1 include:inner.test a a a ip4:192.0.2.1"), "inner.test": [*_txt("v=spf1 a a a a a a"), "A 203.0.113.1"],
    }  # fmt: skip
    assert _check({**zone, "one.test": [*zone["one.test"], "A 203.0.113.1"]}).result is Result.PASS
    eleven = [*_txt("v=spf1 include:inner.test a a a a ip4:192.0.2.1"), "A 203.0.113.1"]
    assert _check({**zone, "one.test": eleven}).result is Result.PERMERROR


def test_ax_02_three_names_without_anything() -> None:
    """AX-02: two lookups may find nothing, the third is a permanent error, NXDOMAIN or NODATA."""
    two = "v=spf1 a:x1.test exists:x2.test ip4:192.0.2.1"
    assert _check({"one.test": _txt(two)}).result is Result.PASS
    three = _check({"one.test": _txt("v=spf1 a:x1.test exists:x2.test mx:one.test ip4:192.0.2.1")})
    assert three.result is Result.PERMERROR
    assert three.because == "more than 2 lookups that find nothing, the last for one.test. MX"


def test_ax_03_mx_with_11_hosts() -> None:
    """AX-03: ten hosts of an mx are asked for; eleven are a permanent error."""
    hosts = {f"h{number}.test": [f"A 192.0.2.{number}"] for number in range(1, 12)}
    ten: list[Record | str] = [Mx(10, f"h{number}.test") for number in range(1, 11)]
    assert _check({**hosts, "one.test": [*_txt("v=spf1 mx -all"), *ten]}, ip="192.0.2.10").result is Result.PASS
    found = _check({**hosts, "one.test": [*_txt("v=spf1 mx -all"), *ten, Mx(20, "h11.test")]}, ip="192.0.2.1")
    assert found.result is Result.PERMERROR
    assert found.because == "one.test has 11 MX records, and at most 10 may be asked for"


def test_ax_03_ptr_with_11_names() -> None:
    """AX-03: only the first ten names of an address count."""
    names = [f"h{number}.one.test" for number in range(11)]
    zone: dict[str, Sequence[Record | str]] = {
        "one.test": _txt("v=spf1 ptr -all"), "1.2.0.192.in-addr.arpa": [Ptr(name) for name in names], names[10]: ["A 192.0.2.1"],
    }  # fmt: skip
    asked: list[str] = []
    assert _check(zone, asked=asked).result is Result.FAIL
    assert len(asked) == 12
    zone[names[9]] = ["A 192.0.2.1"]
    assert _check(zone).result is Result.PASS


def test_ax_04_two_records_and_bad_ones() -> None:
    """AX-04: permanent errors, and no crash."""
    assert _check({"one.test": [*_txt("v=spf1 -all"), *_txt("v=spf1 +all")]}).because == "one.test has 2 SPF records"
    for text in ("v=spf1 ip4:1.2.3.4/33", "v=spf1 moo", "v=spf1 a:\u200bone.test", "v=spf1 a \u200b-all", "v=spf1 " + "a " * 32_700):
        assert _check({"one.test": _txt(text)}).result is Result.PERMERROR
    assert _check({"one.test": [*_txt("\u200bv=spf1 -all"), Txt(()), Txt((b"\xff\x00",))]}).result is Result.NONE


def test_ax_05_macros_are_expanded_once_and_cut_on_the_left() -> None:
    """AX-05: what a sender writes in its local part is a text, never a macro (RFC 7208 §7)."""
    asked: list[str] = []
    zone: dict[str, Sequence[Record | str]] = {"one.test": _txt("v=spf1 exists:%{l}.evil.test -all"), "%{h}%{d}.evil.test": ["A 127.0.0.2"]}
    assert _check(zone, sender=_sender("one.test", "%{h}%{d}"), asked=asked).result is Result.PASS
    assert asked[1] == "%{h}%{d}.evil.test. A"
    asked.clear()
    _check({"one.test": _txt("v=spf1 exists:" + "%{l}." * 30 + "evil.test -all")}, sender=_sender("one.test", "a" * 20), asked=asked)
    assert asked[1] == "a" * 20 + ("." + "a" * 20) * 10 + ".evil.test. A"  # one label more would be 261


def test_ax_06_when_the_time_is_up_nobody_can_tell() -> None:
    """AX-06: from the moment when the resolver gives up, every answer is FAILED, so the result is temperror."""
    waited = 0

    def slow(question: Question) -> Answer:
        nonlocal waited
        waited += 3
        if waited > 20:
            return Answer(question, Finding.FAILED, because="no time left")
        return FakeZone(zone).answer(question)

    zone = {f"i{number}.test": _txt(f"v=spf1 include:i{number + 1}.test -all") for number in range(9)}
    zone["one.test"] = _txt("v=spf1 include:i0.test -all")
    found = run_lookup(check_host(ip_address("192.0.2.1"), "mx.one.test", _sender("one.test"), receiver="r", now=NOW), slow)
    assert (found.result, found.because) == (Result.TEMPERROR, "i5.test. TXT: no time left")
    assert found.chain[-1] == SpfStep("i4.test", "include:i5.test")


def test_ax_07_the_null_path_is_the_postmaster_of_helo() -> None:
    """AX-07: MAIL FROM:<> is checked as postmaster@HELO (RFC 7208 §2.4)."""
    zone: dict[str, Sequence[Record | str]] = {
        "mx.one.test": _txt("v=spf1 exists:%{l}.%{o}.%{d}.ok.test -all"), "postmaster.mx.one.test.mx.one.test.ok.test": ["A 127.0.0.2"],
    }  # fmt: skip
    found = _check(zone, sender=NULL_PATH, helo="MX.One.test.")
    assert (found.result, found.identity) == (Result.PASS, "helo")
    assert dict(found.evidence().about) == {"smtp.helo": "mx.one.test"}


# Identities and addresses


def test_helo_and_mail_from_are_two_checks() -> None:
    zone = FakeZone({"mx.one.test": _txt("v=spf1 a -all"), "one.test": _txt("v=spf1 ip4:198.51.100.1 -all")})
    zone["mx.one.test"] = [*zone["mx.one.test"], "A 192.0.2.1"]
    ip = ip_address("192.0.2.1")
    helo = zone.run(check_helo(ip, "mx.one.test", receiver="r", now=NOW))
    sender = zone.run(check_host(ip, "mx.one.test", _sender("one.test"), receiver="r", now=NOW))
    assert (helo.result, helo.identity) == (Result.PASS, "helo")
    assert (sender.result, sender.identity) == (Result.FAIL, "mailfrom")


@pytest.mark.parametrize("helo", [
    "", "localhost", "[192.0.2.1]", "192.0.2.1", "one test.test", "mx.one.test\r\n", "ä.test", "a..test", "." * 300, "x." * 200 + "test",
    "mx.1", "%{d}.test", "\x00.test", "one.test..",
])  # fmt: skip
def test_a_helo_that_is_no_name_has_no_policy(helo: str) -> None:  # RFC 7208 §2.3
    asked: list[Answer] = []
    lookup = observed(check_helo(ip_address("192.0.2.1"), helo, receiver="r", now=NOW), asked.append)
    found = FakeZone().run(lookup)
    assert (found.result, found.domain, asked) == (Result.NONE, "", [])


def test_ipv4_inside_ipv6_is_ipv4() -> None:
    zone = {"one.test": _txt("v=spf1 ip6:::ffff:0:0/96 -ip4:192.0.2.1 +all")}
    assert _check(zone, ip="::ffff:192.0.2.1").result is Result.FAIL
    assert _check({"one.test": _txt("v=spf1 exists:%{ir}.%{v}.x.test -all"), "1.2.0.192.in-addr.x.test": ["A 127.0.0.1"]},
                  ip="::ffff:192.0.2.1").result is Result.PASS


def test_ipv6_asks_for_aaaa() -> None:
    asked: list[str] = []
    zone: dict[str, Sequence[Record | str]] = {
        "one.test": [*_txt("v=spf1 a mx//64 -all"), "A 192.0.2.1", "MX 5 mx.one.test."], "mx.one.test": ["AAAA 2001:db8::1"],
    }  # fmt: skip
    assert _check(zone, ip="2001:db8::9", asked=asked).result is Result.PASS
    assert asked == ["one.test. TXT", "one.test. AAAA", "one.test. MX", "mx.one.test. AAAA"]


def test_case_does_not_matter() -> None:
    asked: list[str] = []
    zone: dict[str, Sequence[Record | str]] = {
        "one.test": _txt("V=SPF1 INCLUDE:Two.TEST -ALL"), "two.test": _txt("v=spf1 Redirect=THREE.test"),
        "three.test": _txt("v=spf1 IP4:192.0.2.1"),
    }  # fmt: skip
    found = _check(zone, asked=asked)
    assert found.result is Result.PASS
    assert found.chain[-1] == SpfStep("THREE.test", "IP4:192.0.2.1")
    assert asked == ["one.test. TXT", "two.test. TXT", "three.test. TXT"]


# Redirect, include, exp


def test_redirect_to_nothing_is_an_error() -> None:  # RFC 7208 §6.1
    for target in ("none.test", "x..test", "%{h}"):
        found = _check({"one.test": _txt(f"v=spf1 redirect={target}")}, helo="localhost")
        assert found.result is Result.PERMERROR
        assert found.because.startswith("redirect of one.test: ")


def test_include_of_nothing_is_an_error() -> None:  # RFC 7208 §5.2
    found = _check({"one.test": _txt("v=spf1 include:none.test +all")})
    assert (found.result, found.because) == (Result.PERMERROR, "include: none.test has no SPF record")


def test_the_explanation_is_that_of_the_record_that_ruled() -> None:  # RFC 7208 §6.2
    zone: dict[str, Sequence[Record | str]] = {
        "one.test": _txt("v=spf1 exp=e1.test redirect=two.test"), "two.test": _txt("v=spf1 include:three.test -all exp=e2.test"),
        "three.test": _txt("v=spf1 -all exp=e3.test"), "e1.test": _txt("one"),
        "e2.test": _txt("two for %{d} %{o}"), "e3.test": _txt("three"),
    }  # fmt: skip
    asked: list[str] = []
    assert _check(zone, asked=asked).explanation == "two for two.test one.test"
    assert asked[-1] == "e2.test. TXT"
    assert "e1.test. TXT" not in asked


@pytest.mark.parametrize("records", [
    [], ["SERVFAIL"], ["TXT one", "TXT two"], [Txt((b"\xef\xbb\xbfx",))], [Txt((b"%{x}",))], [Txt((b"a\r\nb",))],
    [Txt((b"x" * 3000,))], ["A 192.0.2.9"],
])  # fmt: skip
def test_a_bad_explanation_is_none(records: list[Record | str]) -> None:  # RFC 7208 §6.2
    found = _check({"one.test": _txt("v=spf1 a:x1.test a:x2.test -all exp=why.test"), "why.test": records})
    assert (found.result, found.explanation) == (Result.FAIL, "")


def test_an_explanation_may_name_the_client() -> None:
    zone: dict[str, Sequence[Record | str]] = {
        "one.test": _txt("v=spf1 -all exp=why.test"), "why.test": _txt("%{p} at %{c}, %{t}, %{r}"),
        "1.2.0.192.in-addr.arpa": ["PTR other.test.", "PTR mx.one.test."], "mx.one.test": ["A 192.0.2.1"], "other.test": ["A 192.0.2.1"],
    }  # fmt: skip
    assert _check(zone).explanation == "mx.one.test at 192.0.2.1, 1763718906, mx.ekiden.test"
    del zone["1.2.0.192.in-addr.arpa"]
    assert _check(zone).explanation == "unknown at 192.0.2.1, 1763718906, mx.ekiden.test"


# ptr and %{p}


def test_errors_about_an_address_only_fail_to_match() -> None:  # RFC 7208 §5.5
    asked: list[str] = []
    zone: dict[str, Sequence[Record | str]] = {"one.test": _txt("v=spf1 ptr ~all"), "1.2.0.192.in-addr.arpa": ["SERVFAIL"]}
    assert _check(zone).result is Result.SOFTFAIL
    zone["1.2.0.192.in-addr.arpa"] = ["PTR ill.test.", "PTR x1.test.", "PTR x2.test.", "PTR x3.test.", Ptr("a\\.b"), "PTR mx.one.test."]
    zone |= {"ill.test": ["SERVFAIL"], "mx.one.test": ["A 192.0.2.1"]}
    assert _check(zone, asked=asked).result is Result.PASS
    assert len(asked) == 7


def test_ptr_takes_whole_labels() -> None:
    zone: dict[str, Sequence[Record | str]] = {
        "one.test": _txt("v=spf1 ptr -all"), "1.2.0.192.in-addr.arpa": ["PTR bad-one.test."], "bad-one.test": ["A 192.0.2.1"],
    }  # fmt: skip
    assert _check(zone).result is Result.FAIL
    assert _check({**zone, "one.test": _txt("v=spf1 ptr:Bad-One.test -all")}).result is Result.PASS


def test_a_ptr_question_is_asked_once_and_counts_within_the_ten() -> None:
    zone: dict[str, Sequence[Record | str]] = {
        "one.test": [*_txt("v=spf1 ptr:x.test a:%{p}.y.test a:%{p}.y.test -all"), "A 203.0.113.1"],
        "1.2.0.192.in-addr.arpa": ["PTR mx.one.test."], "mx.one.test": ["A 192.0.2.1"], "mx.one.test.y.test": ["A 203.0.113.1"],
    }  # fmt: skip
    asked: list[str] = []
    assert _check(zone, asked=asked).result is Result.FAIL
    assert asked.count("1.2.0.192.in-addr.arpa. PTR") == 1
    ten = [*_txt("v=spf1" + " a" * 9 + " a:%{p}.y.test -all"), "A 203.0.113.1"]
    assert _check({**zone, "one.test": ten}).result is Result.PERMERROR


# Hostile input


class _Wild(FakeZone):
    """Answers every question with something that a stranger wrote."""

    def __init__(self, texts: list[bytes]) -> None:
        super().__init__()
        self._texts = texts
        self.asked = 0

    def answer(self, question: Question) -> Answer:
        self.asked += 1
        if question.kind is Txt:
            text = self._texts[self.asked % len(self._texts)]
            return Answer(question, Finding.FOUND, (Txt((text,)),))
        if question.kind is A and self.asked % 3:
            if self.asked % 2:
                return Answer(question, Finding.NO_NAME)
            return Answer(question, Finding.FOUND, (A(IPv4Address("203.0.113.1")),))
        if question.kind is Ptr:
            return Answer(question, Finding.FOUND, tuple(Ptr(f"p{number}.test") for number in range(30)))
        if question.kind is Mx:
            return Answer(question, Finding.FOUND, tuple(Mx(1, f"m{number}.test") for number in range(10)))
        return Answer(question, Finding.FAILED, because="x")


_TERMS = st.sampled_from([
    "a", "mx", "ptr", "-all", "?all", "include:%{l}.a.test", "include:a.test", "redirect=b.test", "redirect=%{h}", "exp=%{s}.c.test",
    "exp=e.test", "exists:%{ir}.%{S}.x.test", "a:%{p}.z.test", "a:%{h}", "mx:m.test/24//64", "ip4:10.0.0.0/8", "ip6:2001:db8::/32",
    "moo=%{d2r}", "\u200b", "a:..",
])  # fmt: skip
_TEXTS = st.one_of(
    st.lists(_TERMS, max_size=12).map(lambda terms: ("v=spf1 " + " ".join(terms)).encode()),
    st.binary(max_size=80).map(lambda raw: b"v=spf1 " + raw),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")),
)


@given(st.lists(_TEXTS, min_size=1, max_size=6), st.text(max_size=70), st.text(max_size=300), st.ip_addresses())
@settings(max_examples=300)
def test_whatever_strangers_say_there_is_a_bounded_result(texts: list[bytes], local: str, helo: str, ip: object) -> None:
    zone = _Wild(texts)
    lookup = check_host(ip_address(str(ip)), helo, _sender("one.test", local), receiver="r", now=NOW)
    found = zone.run(lookup)
    assert found.result is not Result.POLICY
    # 1 record, ten terms (an mx asks for ten hosts more), names of the client, an explanation
    assert zone.asked <= 1 + 10 * 11 + 11 + 1
    assert len(found.chain) <= 12
    assert len(found.tried) <= 11
    for text in (found.explanation, found.because, *(str(step) for step in found.chain)):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= 8_000


def test_the_most_expensive_records_take_little_time() -> None:
    raw = "v=spf1 " + " ".join(["a:" + "%{sr.-+,/_=}" * 80 + ".x.test"] * 9 + ["include:%{d}"])
    zone = FakeZone({"*.test": [Txt((raw.encode(),)), "A 203.0.113.1"]})
    begun = time.process_time()
    for _ in range(20):
        zone.run(check_host(ip_address("192.0.2.1"), "-" * 255, _sender("one.test", "-.+" * 20), receiver="r", now=NOW))
    assert time.process_time() - begun < 1.0


def test_a_resolver_can_run_it() -> None:
    resolver = ZoneResolver(FakeZone(CHAIN))
    found = asyncio.run(resolver.resolve(check_host(ip_address("192.0.2.1"), "x", _sender("one.test"), receiver="r", now=NOW)))
    assert found.result is Result.PASS


@pytest.mark.parametrize(("record", "personal"), [
    ("ip4:192.0.2.1 -all", False),
    ("exists:%{ir}.%{v}.%{d}.%{o} -all", False),
    ("exists:%{l}.one.test -all", True),
    ("exists:%{s}.one.test -all", True),
    ("exists:%{h}.one.test -all", True),
    ("ip4:192.0.2.9 exists:%{l}.one.test -all", True),
    ("all exists:%{l}.one.test", False),  # never got there
])
def test_an_outcome_says_whether_others_of_the_domain_would_get_it_too(record: str, personal: bool) -> None:
    zone = FakeZone({"one.test": _txt(f"v=spf1 {record}")})
    assert _check(zone).personal is personal


def test_an_explanation_with_the_time_is_for_this_message_only() -> None:
    zone = FakeZone({"one.test": _txt("v=spf1 -all exp=why.test"), "why.test": _txt("%{t}")})
    assert _check(zone).personal
    zone["why.test"] = _txt("go away, %{c}")
    assert not _check(zone).personal

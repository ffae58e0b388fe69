"""Records: the grammar of RFC 7208 §12, term by term, and what is wrong with the others."""

from __future__ import annotations

import re
import time
from datetime import date
from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.mailauth.results import Result
from ekiden.mailauth.spf_record import RECORD_MAX, Flaw, Kind, Mechanism, SpfRecord, is_spf, parse_record


def _read(text: str) -> SpfRecord:
    record = parse_record(b"v=spf1 " + text.encode())
    assert isinstance(record, SpfRecord), record
    return record


def _one(text: str) -> Mechanism:
    (mechanism,) = _read(text).mechanisms
    return mechanism


def _flaw(text: str) -> str:
    record = parse_record(b"v=spf1 " + text.encode())
    assert isinstance(record, Flaw), record
    return record.because


@pytest.mark.parametrize(("raw", "says"), [
    (b"v=spf1", True), (b"v=spf1 -all", True), (b"V=SpF1 a", True), (b"v=spf1 ", True),
    (b"v=spf10", False), (b"v=spf1\tall", False), (b" v=spf1", False), (b"", False), (b"v=spf", False), (b"\xef\xbb\xbfv=spf1 a", False),
])  # fmt: skip
def test_the_version_ends_in_a_space_or_the_record(raw: bytes, says: bool) -> None:  # RFC 7208 §4.5
    assert is_spf(raw) is says


@pytest.mark.parametrize(("text", "kind", "qualifier"), [
    ("all", Kind.ALL, Result.PASS), ("+all", Kind.ALL, Result.PASS), ("-ALL", Kind.ALL, Result.FAIL), ("?aLL", Kind.ALL, Result.NEUTRAL),
    ("~all", Kind.ALL, Result.SOFTFAIL), ("a", Kind.A, Result.PASS), ("-MX", Kind.MX, Result.FAIL), ("ptr", Kind.PTR, Result.PASS),
    ("Include:_spf.one.test", Kind.INCLUDE, Result.PASS), ("exists:%{ir}.one.test", Kind.EXISTS, Result.PASS),
])  # fmt: skip
def test_qualifiers_and_names(text: str, kind: Kind, qualifier: Result) -> None:
    found = _one(text)
    assert (found.kind, found.qualifier, found.text) == (kind, qualifier, text)


@pytest.mark.parametrize(("text", "plain", "prefix_4", "prefix_6"), [
    ("a", None, 32, 128), ("a/24", None, 24, 128), ("a//64", None, 32, 64), ("a/0//0", None, 0, 0), ("mx/24//64", None, 24, 64),
    ("a:one.test", "one.test", 32, 128), ("a:one.test/24", "one.test", 24, 128), ("mx:one.test//64", "one.test", 32, 64),
    ("a:one.test./24//64", "one.test", 24, 64), ("a:foo:bar/baz.one.test/8", "foo:bar/baz.one.test", 8, 128),
    ("a:1/24.one.test", "1/24.one.test", 32, 128),
])  # fmt: skip
def test_hosts_and_their_prefix_lengths(text: str, plain: str | None, prefix_4: int, prefix_6: int) -> None:
    found = _one(text)
    assert (None if found.target is None else found.target.plain) == plain
    assert found.mask_4.bit_count() == prefix_4
    assert found.mask_6.bit_count() == prefix_6
    assert found.mask_4 | 0 == (2**32 - 1) ^ (2 ** (32 - prefix_4) - 1)


@pytest.mark.parametrize(("text", "version", "network"), [
    ("ip4:192.0.2.7", 4, int(IPv4Address("192.0.2.7"))),
    ("ip4:192.0.2.7/24", 4, int(IPv4Address("192.0.2.0"))),  # host bits do not matter
    ("IP4:192.0.2.7/0", 4, 0),
    ("ip6:2001:DB8::7", 6, int(IPv6Address("2001:db8::7"))),
    ("ip6:2001:db8::7/32", 6, int(IPv6Address("2001:db8::"))),
    ("ip6:::1.1.1.1/0", 6, 0),
    ("ip6:::ffff:192.0.2.7", 6, int(IPv6Address("::ffff:192.0.2.7"))),
])  # fmt: skip
def test_networks(text: str, version: int, network: int) -> None:
    found = _one(text)
    assert (found.version, found.network) == (version, network)


@pytest.mark.parametrize("text", [
    "moo", "all.", "all:foo", "all/8", "-", "+", "=all", "--all", "-all-", "al l:x", "a:", "a/", "a//", "a/33", "a//129", "a/24/64",
    "a/24//64//64", "a/032", "a//0064", "a/-1", "a/+8", "a:one.test/", "a:one.test/33", "a:one.test//129", "a:one.test/24/24",
    "a:one.test:8080", "a:museum", "a:111.222.33.44", "mx:abc.123", "mx:", "ptr:", "ptr/0", "ptr:one.test/24", "include", "include:",
    "include:one.test/24", "include/24", "exists", "exists:", "exists:one.test/24", "redirect:one.test", "exp:one.test", "ip4", "ip4:",
    "ip4:1.2.3", "ip4:1.2.3.4/33", "ip4:1.2.3.4/032", "ip4:1.2.3.4//32", "ip4:1.2.3.4/", "ip4:1.2.3.4:25", "ip4:01.2.3.4",
    "ip4:1.2.3.256", "ip4:1.2.3.4/24/24", "ip4:::1", "ip4/24", "ip6", "ip6:", "ip6::CAFE::BABE", "ip6:1.2.3.4", "ip6:::1/129",
    "ip6:::1//64", "ip6:fe80::1%eth0", "ip6:::1/0x8", "1up=foo", "moo.cow/far=x", "foo=%abc", "foo=%{c}", "exp=", "redirect=",
    "exp=-all", "redirect=one.test redirect=one.test", "exp=a.test EXP=a.test", "exp=%{r}.one.test", "a:\u200bone.test", "\u200ball",
    "a:foo.one.test\x00", "a\tmx", "a\rptr", "all\n", "a,", "ip4:1.2.3.4,",
])  # fmt: skip
def test_ax_04_an_error_anywhere_is_a_flaw(text: str) -> None:
    """AX-04: not one term of such a record counts (RFC 7208 §4.6)."""
    for around in (text, f"ip4:192.0.2.1 {text} -all", f"-all {text}"):
        because = _flaw(around)
        assert because.isascii()
        assert because.isprintable()
        assert len(because) < 400


def test_flaws_name_the_term() -> None:
    assert _flaw("ip4:1.2.3.4/33 -all") == "mechanism 'ip4:1.2.3.4/33': prefix length '33', at most 32"
    assert _flaw("a mx moo") == "mechanism 'moo': unknown"
    assert _flaw("all:x") == "mechanism 'all:x': all 'x', takes nothing"
    assert _flaw("exp=a.test exp=b.test") == "modifier 'exp=b.test': the second one"
    assert _flaw("\u200ball") == "byte 0xe2 at 7 is not ASCII"


def test_modifiers() -> None:
    record = _read("redirect=_spf.%{d} a moo.cow-far_out=man:dog/cat moo=1 moo=2 EXP=why.one.test")
    assert record.redirect_text == "redirect=_spf.%{d}"
    assert record.explanation is not None
    assert record.explanation.plain == "why.one.test"
    assert [each.kind for each in record.mechanisms] == [Kind.A]


def test_redirect_means_nothing_beside_all() -> None:  # RFC 7208 §6.1
    assert _read("?all redirect=one.test").redirect is None
    assert _read("redirect=one.test -all").redirect is None
    assert isinstance(parse_record(b"v=spf1 ?all redirect="), Flaw)


def test_spaces_are_the_only_thing_between_terms() -> None:
    assert [each.text for each in _read("  a   mx   ").mechanisms] == ["a", "mx"]


def test_a_record_is_parsed_once() -> None:
    assert parse_record(b"v=spf1 ip4:192.0.2.99 -all") is parse_record(b"v=spf1 ip4:192.0.2.99 " + b"-all")


def test_ax_04_64_kib() -> None:
    """AX-04: a record of 64 KiB is an error; one at our bound is read, in little time."""
    assert isinstance(parse_record(b"v=spf1 " + b"ip4:192.0.2.1 " * 4700), Flaw)
    worst = [
        b"a:" + b"a" * 16_000 + b"!", b"a:" + b"a-" * 8000, b"a " * 8000, b"a:%{d}" + b"/1" * 8000, b"%" * 16_000, b"x=" + b"%%" * 8000,
        b"a:" + b"." * 16_000, b"ip6:" + b":" * 16_000, b"a" + b"=" * 16_000, b" " * 16_000, b"x" * 16_000, b"exp=" + b"%{l-}" * 3000,
    ]  # fmt: skip
    begun = time.process_time()
    for terms in worst:
        raw = b"v=spf1 " + terms
        assert len(raw) <= RECORD_MAX
        parse_record(raw)
    assert time.process_time() - begun < 1.0
    assert isinstance(parse_record(b"v=spf1 " + b"ip4:192.0.2.1 " * 1160), SpfRecord)


_WORDS = st.sampled_from([
    "a", "mx", "ptr", "all", "ip4", "ip6", "include", "exists", "redirect", "exp", ":", "=", "/", "//", "24", "33", " ", "-", "~", "%", "{",
    "}", "%{d}", "%{ir}", "1.2.3.4", "::1", "one.test", ".", "\u200b", "\x00", "_", "é", "x",
])  # fmt: skip


@given(st.one_of(st.binary(max_size=300), st.lists(_WORDS, max_size=30).map(lambda words: "".join(words).encode())))
def test_nothing_crashes(raw: bytes) -> None:
    found = parse_record(b"v=spf1 " + raw)
    assert isinstance(found, SpfRecord) or found.because.isascii()


# RFC 7208 §12 once more, as one expression a rule, written from the RFC and not from the parser.
_DELIMITED = r"[.\-+,/_=]*"
_EXPAND = rf"(?:%\{{[slodiphv][0-9]*r?{_DELIMITED}\}}|%%|%_|%-)"
_STRING = rf"(?:{_EXPAND}|[\x21-\x24\x26-\x7e])*"
_TOP = r"(?:(?:[a-z0-9]*[a-z][a-z0-9]*)|(?:[a-z0-9]+-[a-z0-9-]*[a-z0-9]))"
_SPEC = rf"{_STRING}(?:\.{_TOP}\.?|{_EXPAND})"
_LEN_4 = r"/(?:[0-9]|[12][0-9]|3[0-2])"
_LEN_6 = r"/(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])"
_DUAL = rf"(?:{_LEN_4})?(?:/{_LEN_6})?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])"
_TERM = re.compile(
    rf"[+?~-]?(?:all|include:{_SPEC}|(?:a|mx)(?::{_SPEC})?{_DUAL}|ptr(?::{_SPEC})?|exists:{_SPEC}"
    rf"|ip4:{_OCTET}(?:\.{_OCTET}){{3}}(?:{_LEN_4})?|ip6:(?P<six>[0-9a-f:.]+)(?:{_LEN_6})?)"
    rf"|(?:redirect|exp)={_SPEC}|(?!(?:redirect|exp)=)[a-z][a-z0-9_.-]*={_STRING}",
    re.IGNORECASE | re.ASCII,
)
_NO_PARTS = re.compile(r"%\{[a-z]0+[^1-9]", re.IGNORECASE)
_SEEDS = [
    "all", "include:_spf.one.test", "a", "a/24", "a//64", "a/24//64", "a:one.test", "a:one.test/24//64", "mx:%{d}/8", "mx", "ptr",
    "ptr:one.test", "ip4:192.0.2.1", "ip4:10.0.0.0/8", "ip6:2001:db8::/32", "ip6:::ffff:192.0.2.1", "exists:%{ir}.%{v}._spf.%{d2}",
    "exists:%{l1r+-}.x.a-b", "redirect=%{d1r}.one.test.", "exp=why.one.test", "moo.cow-far_out=man:dog/cat", "x=%%%_%-",
    "a:foo:bar/baz.one.test", "a:xn--a.b1",
]  # fmt: skip
_CHARACTERS = "aAmMxX4690123rRsdlicp%{}_-+?~.:/=, \x00\t\x7f;é\"eEtT"


def _is_right(term: str) -> bool:
    match = _TERM.fullmatch(term)
    if match is None or _NO_PARTS.search(term.replace("%%", "")):
        return False
    try:
        return match["six"] is None or bool(IPv6Address(match["six"]))
    except ValueError:
        return False


def _mutated(random: Random) -> str:
    term = random.choice(_SEEDS)
    for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3))):
        place = random.randint(0, len(term))
        character = random.choice(_CHARACTERS)
        term = random.choice((term[:place] + character + term[place:], term[:place] + term[place + 1 :],
                              term[:place] + character + term[place + 1 :]))
    return term.replace(" ", "")


def _compare(seeds: range) -> int:
    right = 0
    for seed in seeds:
        term = _mutated(Random(seed))
        record = parse_record(f"v=spf1 {term}".encode())
        assert isinstance(record, SpfRecord) == (not term or _is_right(term)), f"seed {seed}: {term!r}: {record}"
        right += isinstance(record, SpfRecord)
    return right


def test_the_parser_takes_what_the_grammar_takes() -> None:
    right = _compare(range(20_000))
    assert 4_000 < right < 16_000


@pytest.mark.nightly
def test_the_parser_takes_what_the_grammar_takes_in_many_more_records() -> None:
    begin = date.today().toordinal() * 1_000_000
    assert _compare(range(begin, begin + 500_000)) > 100_000

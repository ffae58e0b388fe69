"""Macros: the examples of RFC 7208 §7.4, the grammar of §12, and bounds."""

from __future__ import annotations

import time
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.mailauth.spf_macro import (
    EXPLANATION_MAX,
    NAME_MAX,
    MacroValues,
    expand_explanation,
    expand_name,
    parse_domain_spec,
    parse_explanation,
    parse_macro_string,
)


def _values(ip: str = "192.0.2.3", local: str = "strong-bad", helo: str = "mx.example.org") -> MacroValues:
    return MacroValues(
        ip_address(ip), local, "email.example.com", helo, "mx.ekiden.test", Millis(1_763_718_906_999),
        domain="email.example.com", name="mx.example.org",
    )  # fmt: skip


@pytest.mark.parametrize(("text", "name"), [
    ("%{s}", "strong-bad@email.example.com"),  # RFC 7208 §7.4
    ("%{o}", "email.example.com"),
    ("%{d}", "email.example.com"),
    ("%{d4}", "email.example.com"),
    ("%{d3}", "email.example.com"),
    ("%{d2}", "example.com"),
    ("%{d1}", "com"),
    ("%{dr}", "com.example.email"),
    ("%{d2r}", "example.email"),
    ("%{l}", "strong-bad"),
    ("%{l-}", "strong.bad"),
    ("%{lr}", "strong-bad"),
    ("%{lr-}", "bad.strong"),
    ("%{l1r-}", "strong"),
    ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
    ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
    ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
    ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
    ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ("%{p}", "mx.example.org"),
    ("%{h}", "mx.example.org"),
    ("%{S}", "strong-bad%40email.example.com"),  # §7.3: escaped after everything else
    ("%{DR}", "com.example.email"),
    ("%{d127}", "email.example.com"),
    ("%{d00002}", "example.com"),
    ("%{d" + "9" * 5000 + "}", "email.example.com"),
    ("a%%b%_c%-d.example.com.", "a%b c%20d.example.com"),
    ("foo%%", "foo%"),
])
def test_names_are_put_together(text: str, name: str) -> None:
    assert expand_name(parse_domain_spec(text), _values()) == name


def test_ipv6_is_written_nibble_by_nibble() -> None:
    values = _values("2001:db8::cb01")
    text = parse_domain_spec("%{ir}.%{v}._spf.%{d2}")
    assert expand_name(text, values) == "1.0.B.C." + "0." * 20 + "8.B.D.0.1.0.0.2.ip6._spf.example.com"
    assert expand_explanation(parse_explanation("%{c} %{r} %{t}"), values) == "2001:db8::cb01 mx.ekiden.test 1763718906"


def test_several_delimiters_and_empty_parts() -> None:
    values = _values(local="a-b+c..d")
    assert expand_name(parse_domain_spec("%{l+-}.test"), values) == "a.b.c..d.test"
    assert expand_name(parse_domain_spec("%{lr+-.}.test"), values) == "d..c.b.a.test"
    assert expand_name(parse_domain_spec("%{l2r+-.}.test"), values) == "b.a.test"


@pytest.mark.parametrize("text", [
    "", "museum", "museum.", ".", "..", "example..", "example.-com", "example.com-", "111.222.33.44", "abc.123", "%{d}com", "a b.com",
    "%(ir).example.com", "foo%", "foo%.example.com", "%{a}.example.com", "%{d0}", "%{d00}", "%{dx}", "%{d}%", "%{}", "%{d", "%{dr2}",
    "%{c}", "%{r}", "%{t}", "%{C}.example.com", "a\x00.example.com", "a\x7f.example.com", "ä.example.com", "\u200b.example.com",
    "%{ſ}.example.com",
])  # fmt: skip
def test_bad_domain_specs_are_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_domain_spec(text)


@pytest.mark.parametrize("text", [
    "a.xn--zckzah", "a.1-2", "a.b1", "foo:bar/baz.example.com", "a...example.com", "%%%%", "%{d}.com", "}.com",
])  # fmt: skip
def test_good_domain_specs_are_taken(text: str) -> None:
    assert parse_domain_spec(text).pieces


def test_a_macro_string_needs_no_top_label() -> None:
    assert parse_macro_string("").plain == ""
    assert parse_macro_string("man:dog/cat").plain == "man:dog/cat"
    with pytest.raises(BadValue):
        parse_macro_string("%abc")
    with pytest.raises(BadValue):
        parse_macro_string("a b")


@pytest.mark.parametrize("count", [60, 61, 62, 63, 64, 126, 127, 128, 250])
def test_left_labels_are_dropped_until_a_name_fits(count: int) -> None:
    plain = "abc." * count + "example.com"
    whole = "abc." * count + "%{d}"
    kept = expand_name(parse_domain_spec(plain), _values())
    expected = plain
    while len(expected) > NAME_MAX:
        expected = expected.partition(".")[2]
    assert kept == expected
    with_domain = parse_domain_spec("abc." * count + "email.example.com")
    assert expand_name(parse_domain_spec(whole), _values()) == expand_name(with_domain, _values())


def test_253_characters_are_kept_and_254_are_not() -> None:  # RFC 7208 §7.3
    name = "ab." + ("c" * 60 + ".") * 4 + "d.test"
    assert len(name) == 253
    assert expand_name(parse_domain_spec(name), _values()) == name
    assert expand_name(parse_domain_spec("z" + name), _values()) == name.partition(".")[2]


def test_a_name_without_a_dot_that_could_help_is_nothing() -> None:
    assert expand_name(parse_domain_spec("%{l}" + "x" * 300 + "%{l}"), _values()) == ""


@given(st.lists(st.sampled_from(["a.", "bc", ".", "%{l}", "%{h}", "%{d}", "x" * 70, "."]), max_size=60))
def test_names_are_cut_as_if_the_whole_had_been_written(pieces: list[str]) -> None:
    values = _values()
    text = "".join(pieces) + ".example.com"
    whole = text.replace("%{l}", values.local).replace("%{h}", values.helo).replace("%{d}", values.domain)
    while len(whole) > NAME_MAX:
        whole = whole.partition(".")[2]
    assert expand_name(parse_domain_spec(text), values) == whole


def test_what_a_peer_says_is_never_read_for_macros() -> None:
    values = _values(local="%{h}%{d}", helo="%{l}")
    assert expand_name(parse_domain_spec("%{l}.%{h}.test"), values) == "%{h}%{d}.%{l}.test"
    assert expand_explanation(parse_explanation("%{l} %{L}"), values) == "%{h}%{d} %25%7Bh%7D%25%7Bd%7D"


def test_explanations_are_short_printable_ascii() -> None:
    values = _values(local="ä\r\n", helo="\x1b[31m")
    assert expand_explanation(parse_explanation("%{l} from %{h}!"), values) == "??? from ?[31m!"
    long = expand_explanation(parse_explanation("%{s} " * 300), _values())
    assert len(long) == EXPLANATION_MAX
    with pytest.raises(BadValue):
        parse_explanation("The %{x}-files.")
    with pytest.raises(BadValue):
        parse_explanation("tab\there")


def test_uppercase_escapes_each_byte() -> None:
    values = _values(local="a/b ä~")
    assert expand_name(parse_domain_spec("%{L}.test"), values) == "a%2Fb%20%C3%A4~.test"


def test_an_expansion_costs_what_it_gives() -> None:
    spec = parse_domain_spec("%{sr.-+,/_=}" * 1300 + ".example.com")
    values = _values(local="-.+" * 100, helo="a." * 120)
    begun = time.process_time()
    for _ in range(10):
        assert len(expand_name(spec, values)) <= NAME_MAX
    assert time.process_time() - begun < 0.2


@given(st.text(max_size=60), st.text(max_size=80), st.text(max_size=80))
def test_nothing_crashes(text: str, local: str, helo: str) -> None:
    for parse in (parse_domain_spec, parse_macro_string, parse_explanation):
        try:
            spec = parse(text)
        except BadValue:
            continue
        assert len(expand_name(spec, _values(local=local, helo=helo))) <= NAME_MAX
        assert expand_explanation(spec, _values(local=local, helo=helo)).isascii()

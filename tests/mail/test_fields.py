"""Addresses, dates and message ids of header fields."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.mail import fields
from ekiden.mail.fields import (
    ADDRESSES,
    Address,
    Group,
    first_message_id,
    message_ids,
    parse_address_list,
    parse_addresses,
    parse_date,
)


def _shown(raw: bytes) -> list[str]:
    return [f"{each.name}|{each.local}|{each.domain}" for each in parse_addresses(raw)]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a@b.test", ["|a|b.test"]),
        (b" Alice <alice@a.test>\r\n", ["Alice|alice|a.test"]),
        (b'"Ex, Am: ple" <a@b.test>, b@c.test', ["Ex, Am: ple|a|b.test", "|b|c.test"]),
        (b'"a \\"b\\" c" <a@b.test>', ['a "b" c|a|b.test']),
        (b"Joe Q. Public <john.q.public@example.com>", ["Joe Q. Public|john.q.public|example.com"]),
        (b"a@b.test (Alice)", ["Alice|a|b.test"]),
        (b"=?utf-8?B?5Lya6K2w?= <a@b.test>", ["会議|a|b.test"]),
        ("会議 <a@例え.test>".encode(), ["会議|a|例え.test"]),
        (b"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", ["Pete|pete|silly.test"]),  # RFC 5322 §A.5
        (b"Mary <@node.test:mary@example.net>, , jdoe@test  . example", ["Mary|mary|example.net", "|jdoe|test.example"]),
        (b'"quoted local"@b.test', ["|quoted local|b.test"]),
        (b'""@b.test', ["||b.test"]),
        (b"a@[192.0.2.1]", ["|a|[192.0.2.1]"]),
        (b"foo..bar.@docomo.test", ["|foo..bar.|docomo.test"]),
        (b"<<a@b.test>>", ["|a|b.test"]),
        (b"Foo bar@example.com", ["Foo|bar|example.com"]),
        (b"a@b.test <a@b.test>", ["a@b.test|a|b.test"]),
        (b"<a@b.test> =?utf-8?q?Doe?=", ["Doe|a|b.test"]),
        (b"A:Ed <c@a.test>,joe@where.test;, x@y.test", ["Ed|c|a.test", "|joe|where.test", "|x|y.test"]),
        (b"undisclosed-recipients:;", []),
        (b"", []),
        (b" , ,\r\n", []),
        # What is no address has no domain, so that nobody takes it for one.
        (b"postmaster", ["|postmaster|"]),
        (b"John Smith", ["John Smith||"]),
        (b"a@b@c.test", ["|a@b@c.test|"]),
        (b"<>", ["||"]),
        (b'"not closed <x@evil.test>', ["not closed <x@evil.test>||"]),
    ],
)
def test_addresses_are_read(raw: bytes, shown: list[str]) -> None:
    assert _shown(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a@x.test, b@y.test", ["|a|x.test", "|b|y.test"]),
        (b"<a@evil.test>:<ceo@bank.test>", ["|a|evil.test", "|ceo|bank.test"]),
        (b"<a@evil.test><ceo@bank.test>", ["|a|evil.test", "|ceo|bank.test"]),
        (b"<a@evil.test> ceo@bank.test", ["|a|evil.test", "|ceo|bank.test"]),
        (b'"ceo@bank.test" <x@evil.test>', ["ceo@bank.test|x|evil.test"]),
        (b"=?utf-8?q?ceo=40bank.test?= <x@evil.test>", ["ceo@bank.test|x|evil.test"]),
        (b"ceo@bank.test\x00@evil.test", ["|ceo@bank.test�@evil.test|"]),
        (b"ceo@bank.test)x@evil.test", ["|ceo@bank.test)x@evil.test|"]),
        (b"ceo@bank.test(comment\\)x@evil.test", ["comment)x@evil.test|ceo|bank.test"]),
        (b"g: ceo@bank.test;", ["|ceo|bank.test"]),
        (b"ceo@bank.test x@evil.test", ["|ceo@bank.test x@evil.test|"]),
        (b"<ceo@bank.test x@evil.test>", ["|ceo@bank.test x@evil.test|"]),
        (b"<ceo@bank.test,x@evil.test>", ["|ceo|bank.test", "|x@evil.test>|"]),
        (b"=?utf-8?q?ceo=40bank.test?=", ["|=?utf-8?q?ceo=40bank.test?=|"]),
    ],
)
def test_disguised_authors_have_one_reading(raw: bytes, shown: list[str]) -> None:
    assert _shown(raw) == shown


def test_a_name_that_looks_like_another_address_is_told() -> None:
    assert parse_addresses(b'"ceo@bank.test" <x@evil.test>')[0].is_disguised
    assert parse_addresses(b"=?utf-8?q?ceo=40bank.test?= <x@evil.test>")[0].is_disguised
    assert not parse_addresses(b'"x@evil.test" <x@EVIL.test>')[0].is_disguised
    assert not parse_addresses(b"A at home <x@evil.test>")[0].is_disguised
    # U-labels and A-labels are one domain
    assert not parse_addresses('"x@例え.テスト" <x@xn--r8jz45g.xn--zckzah>'.encode())[0].is_disguised
    assert parse_addresses('"x@例え.テスト" <x@evil.test>'.encode())[0].is_disguised


def test_groups_keep_their_names_and_do_not_nest() -> None:
    ed = Address("Ed", b"Ed", "c", "a.test")
    assert parse_address_list(b"G: Ed <c@a.test>;") == (Group("G", b"G", (ed,)),)
    assert parse_address_list(b"a:b:Ed <c@a.test>;") == (Group("a", b"a", ()), Group("b", b"b", (ed,)))
    assert parse_address_list(b"a:Ed <c@a.test>") == (Group("a", b"a", (ed,)),)


def test_an_address_is_written_with_its_quotes() -> None:
    assert [str(each) for each in parse_addresses(b'"a b"@c.test, d@e.test')] == ['"a b"@c.test', "d@e.test"]


_PIECES = [
    b"a", b"bob", b"@", b".", b"b.test", b"<", b">", b",", b";", b":", b" ", b"\t", b"\r\n ", b'"', b"\\", b"(", b")", b"[", b"]",
    b"\x00", b"\xe4\xbc\x9a", b"\xff", b"=?utf-8?q?a?=", b"-", b"_", b"G:",
]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=30))
@settings(max_examples=500)
def test_the_short_way_reads_as_the_long_way(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    value = fields._LINE_END.sub(b" ", fields._FOLD.sub(b"", raw).strip(b"\r\n"))
    assert parse_address_list(raw) == fields._Reader().read(value)


@given(st.binary(max_size=200) | st.lists(st.sampled_from(_PIECES), max_size=40).map(b"".join))
@settings(max_examples=300)
def test_no_bytes_raise_and_no_control_is_in_an_address(raw: bytes) -> None:
    for each in parse_addresses(raw):
        assert not any(ord(c) < 32 for c in each.local + each.domain + each.name)
        assert not each.domain or "@" not in each.domain
        assert not set(each.domain) & set(' <>,;:()"') or each.domain.startswith("[")
    parse_date(raw)
    assert all(" " not in each or '"' in each for each in message_ids(raw))
    first_message_id(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"(" * 250_000, b"(()" * 60_000, b"," * 250_000, b'"' * 250_000, b"a:" * 100_000, b"<" * 200_000, b"a " * 100_000,
        b"<a@b> " * 40_000, b"@" * 200_000, b"<@" * 100_000, b"\\" * 200_000, b"[" * 200_000, b"a@b," * 60_000, b"<@a," * 60_000,
        b" ." * 100_000, b"a b " * 50_000 + b"@c",
    ],
    ids=lambda raw: raw[:4].decode(),
)  # fmt: skip
def test_hostile_lists_are_bounded(raw: bytes) -> None:
    begun = time.process_time()
    assert len(parse_address_list(raw)) <= ADDRESSES
    message_ids(raw)
    parse_date(raw)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("raw", "millis"),
    [
        (b"Fri, 21 Nov 1997 09:55:06 -0600", 880127706000),  # RFC 5322 §A.1.1
        (b" Thu,\r\n 13\r\n  Feb\r\n 1969\r\n 23:32\r\n -0330 (Newfoundland Time)\r\n", -27723480000),  # RFC 5322 §A.5
        (b"21 Nov 97 09:55:06 GMT", 880106106000),  # RFC 5322 §A.6.2
        (b"21 Nov 1997 09:55:06 EST", 880124106000),
        (b"21 Nov 1997 18:55:06 JST", 880106106000),
        (b"21 Nov 1997 09:55:06 XYZ", 880106106000),
        (b"Wed, 31 Dec 2025 23:59:60 +0000", 1767225600000),
        (b"Fri Nov 21 09:55:06 1997", 880106106000),
        (b"29 Feb 2024 00:00 +0000", 1709164800000),
        (b"29 Feb 2023 00:00 +0000", None),
        (b"32 Feb 2025 10:00:00 +0000", None),
        (b"1 Foo 2025 10:00:00 +0000", None),
        (b"1 Jan 99999 10:00:00 +0000", None),
        (b"1 Jan 0000 10:00:00 +0000", None),
        (b"1 Jan 2025 25:00:00 +0000", None),
        (b"1 Jan 2025 10:00:00 +99999", None),
        (b"1 Jan 2025 10:00:00 +0099", None),
        (b"", None),
        (b"9" * 1_000_000, None),
        ("١ Jan 2025 10:00:00 +0000".encode(), None),
        (b"Thu, 01 Jan 1970 00:00:00 +0000", 0),
    ],
)
def test_dates_are_read_or_none(raw: bytes, millis: int | None) -> None:
    assert parse_date(raw) == millis


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        (b" <1@a.test>\r\n", ("1@a.test",)),
        (b"<1@a.test>\r\n <2@b.test>", ("1@a.test", "2@b.test")),
        (b"Your message of Monday <1@a.test>", ("1@a.test",)),
        (b'<"a b"@c.test>', ('"a b"@c.test',)),
        (b"bare@a.test", ("bare@a.test",)),
        (b"two words", ()),
        (b"<>", ()),
        (b"<a b@c.test>", ()),
        (b"", ()),
        (b"<" + b"a" * 999 + b">", ()),
    ],
)
def test_message_ids_are_read(raw: bytes, ids: tuple[str, ...]) -> None:
    assert message_ids(raw) == ids
    assert first_message_id(raw) == (ids[0] if ids else "")


def test_of_many_references_the_first_and_the_last_stay() -> None:
    found = message_ids(b" ".join(b"<%d@a.test>" % n for n in range(10_000)))
    assert len(found) == 100
    assert (found[0], found[1], found[-1]) == ("0@a.test", "9901@a.test", "9999@a.test")

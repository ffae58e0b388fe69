"""Trace fields."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.mail.address import NULL_PATH, Domain, Ip, Path
from ekiden.mail.fields import parse_date
from ekiden.mail.headers import parse_headers
from ekiden.mail.trace import comment, count_received, date_time, received, return_path, with_keyword

_IP = IPv4Address("192.0.2.1")
_AT = Millis(880127706000)


def _received(hello: str = "mx.a.test", ip: Ip | None = _IP, name: str = "mx.a.test", **more: str) -> bytes:
    return received(
        hello=hello, ip=ip, name=Domain(name) if name else None, by="mx.b.test", with_protocol="ESMTPS", id="x1", at=_AT,
        for_recipient=Path("bob", Domain("b.test")), tls_version=more.get("tls", ""), tls_cipher=more.get("cipher", ""),
    )  # fmt: skip


def test_a_received_field_says_from_by_with_for_and_when() -> None:
    assert _received(tls="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256") == (
        b"Received: from mx.a.test (mx.a.test [192.0.2.1])\r\n\t(using TLSv1.3 with cipher TLS_AES_128_GCM_SHA256)"
        b"\r\n\tby mx.b.test with ESMTPS id x1\r\n\tfor <bob@b.test>; Fri, 21 Nov 1997 15:55:06 +0000\r\n"
    )


@pytest.mark.parametrize("hello", ["a b", "x\r\nBcc: y", "(", ")\\", "", "é", "a" * 300, "[192.0.2.1]", "<script>"])
def test_whatever_a_peer_calls_itself_stays_inside_one_field(hello: str) -> None:
    raw = _received(hello)
    headers = parse_headers(raw + b"\r\n")
    assert [name for name, _ in headers.fields] == [b"Received"]
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) < 998


def test_an_address_stands_where_a_name_is_missing() -> None:
    assert _received(hello="?", ip=IPv6Address("2001:db8::1"), name="").startswith(b"Received: from [IPv6:2001:db8::1]")
    assert b"from mx.a.test\r\n" in _received(ip=None, name="")


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("SMTP", {"extended": False, "tls": True}),
        ("ESMTP", {"extended": True}),
        ("ESMTPS", {"extended": True, "tls": True}),
        ("ESMTPSA", {"extended": True, "tls": True, "auth": True}),
        ("UTF8SMTPSA", {"extended": True, "tls": True, "auth": True, "utf8": True}),
        ("LMTP", {"extended": True, "lmtp": True}),
    ],
)
def test_the_protocol_has_its_keyword(keyword: str, said: dict[str, bool]) -> None:
    assert with_keyword(**said) == keyword  # RFC 3848


@given(st.integers(min_value=0, max_value=253_402_300_799_000))
def test_dates_are_read_back(at: int) -> None:
    assert parse_date(date_time(Millis(at)).encode()) == at // 1000 * 1000


def test_dates_out_of_range_do_not_raise() -> None:
    assert date_time(Millis(-1)).endswith("1970 00:00:00 +0000")
    assert "9999" in date_time(Millis(10**18))


def test_a_comment_holds_nothing_that_ends_it() -> None:
    assert comment("a(b)c\\d\r\né\x1b") == "a?b?c?d????"


def test_return_path_and_hops() -> None:
    assert return_path(NULL_PATH) == b"Return-Path: <>\r\n"
    assert return_path(Path("a b", Domain("c.test"))) == b'Return-Path: <"a b"@c.test>\r\n'
    assert count_received(parse_headers(b"Received: a\r\nreceived: b\r\nX: c\r\n\r\n")) == 2

"""Authentication-Results fields of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mailauth.quick import quickly

from ekiden.mail.headers import parse_headers
from ekiden.mailauth.auth_results import PROPERTIES, STATEMENTS, AuthResults, Statement, forged_fields, is_ours, parse_auth_results
from ekiden.mailauth.results import Evidence, Result


@pytest.mark.parametrize(("value", "read"), [
    (b" example.org 1; none", AuthResults("example.org", ())),  # RFC 8601 Appendix B.2
    (b" example.com; spf=pass smtp.mailfrom=example.net",
     AuthResults("example.com", (Statement("spf", "pass", (("smtp.mailfrom", "example.net"),)),))),
    (b" example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=fail smtp.mailfrom=example.net",
     AuthResults("example.com", (
         Statement("auth", "pass", (("smtp.auth", "sender@example.net"),)),
         Statement("spf", "fail", (("smtp.mailfrom", "example.net"),)),
     ))),
    # comments everywhere, RFC 8601 Appendix B.7
    (b" foo.example.net (foobar) 1 (baz);\r\n   dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
     b"   policy (A dot can go here) . (like that) expired\r\n   (this surprised me) = (as I wasn't expecting it) 1362471462",
     AuthResults("foo.example.net", (Statement("dkim", "fail", (("policy.expired", "1362471462"),)),))),
    (b' "a b;c" 2 ; dkim=pass reason="good; signature" header.i="x y"@one.test;',
     AuthResults("a b;c", (Statement("dkim", "pass", (("header.i", "x y@one.test"),), "good; signature"),), 2)),
    # as large services write it
    (b" spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=one.test; dkim=none (message not signed)\r\n header.d=none;"
     b"dmarc=bestguesspass action=none\r\n header.from=one.test;compauth=pass reason=109",
     AuthResults("", (
         Statement("spf", "pass", (("smtp.mailfrom", "one.test"),)),
         Statement("dkim", "none", (("header.d", "none"),)),
         Statement("dmarc", "bestguesspass", (("action", "none"), ("header.from", "one.test"))),
         Statement("compauth", "pass", (), "109"),
     ))),
    (b" mx.example.com;\r\n       dkim=pass header.i=@one.test header.s=s1 header.b=\"ab/cd=\";\r\n"
     b"       spf=pass (mx.example.com: domain of jo@one.test designates 192.0.2.1 as permitted sender) smtp.mailfrom=jo@one.test",
     AuthResults("mx.example.com", (
         Statement("dkim", "pass", (("header.i", "@one.test"), ("header.s", "s1"), ("header.b", "ab/cd="))),
         Statement("spf", "pass", (("smtp.mailfrom", "jo@one.test"),)),
     ))),
    (b" MX; SPF=Pass SMTP.MailFrom=X", AuthResults("MX", (Statement("spf", "pass", (("smtp.mailfrom", "X"),)),))),
    (b"", AuthResults("", ())),
    (b";;;", AuthResults("", ())),
    (b" a b c; ???; spf=pass", AuthResults("", (Statement("spf", "pass"),), complete=False)),
    (b" me; dmarc=pass (", AuthResults("me", (Statement("dmarc", "pass"),))),
    (b' me; spf=fail smtp.helo="x; dmarc=pass', AuthResults("me", (Statement("spf", "fail", (("smtp.helo", "x; dmarc=pass"),)),))),
])  # fmt: skip
def test_a_field_is_read(value: bytes, read: AuthResults) -> None:
    assert parse_auth_results(value) == read


def test_a_statement_is_evidence_if_its_result_is_known() -> None:
    assert Statement("spf", "pass", (("smtp.helo", "x"),), "y").evidence() == Evidence("spf", Result.PASS, {"smtp.helo": "x"}, "y")
    assert Statement("dmarc", "bestguesspass").evidence() is None


def test_there_are_bounds() -> None:
    many = parse_auth_results(b"me;" + b"spf=pass;" * 1000)
    assert (len(many.statements), many.complete) == (STATEMENTS, False)
    assert len(parse_auth_results(b"me; spf=pass" + b" a.b=c" * 1000).statements[0].about) == PROPERTIES
    assert not parse_auth_results(b"me; spf=pass" + b" " * 100_000).complete


@given(st.one_of(st.binary(max_size=400), st.text(alphabet='ab.;="()\\ \t\r\n1/@', max_size=400).map(str.encode)))
def test_no_bytes_are_too_strange(value: bytes) -> None:
    parse_auth_results(value)
    is_ours(value, "mx.one.test")


@pytest.mark.parametrize("piece", [
    b"(", b")", b'"', b"\\", b";", b"a=b;", b"a ", b"a.", b" ", b"=", b"a=", b'"a"', b"(a)", b"\r\n ", b"a/1", b"a . b = c ",
    b"=?utf-8?q?a?=", b"a;(", b'\\"', b"1 ", b"\x00", b"\xff", b'a="b" ', b'a=""', b"a.a.",
])  # fmt: skip
@pytest.mark.parametrize("head", [b"", b"me; spf=pass ", b"me; spf=pass a.b=", b'me; x="', b"("])
def test_hostile_fields_take_no_time(head: bytes, piece: bytes) -> None:
    value = head + piece * ((100 << 10) // len(piece))
    quickly(lambda: (parse_auth_results(value), is_ours(value, "mx.one.test")))


@pytest.mark.parametrize("value", [
    b" mx.one.test; dmarc=pass", b"mx.one.test;dmarc=pass", b" MX.One.TEST; dmarc=pass", b" mx.one.test 1; dmarc=pass",
    b" (a comment; with a semicolon) mx.one.test; dmarc=pass", b"\r\n\t \r\n mx.one.test; dmarc=pass", b' "mx.one.test"; dmarc=pass',
    b" ((nested) \\) more) mx.one.test (x) 1 (y); dmarc=pass", b" mx.one.test", b" mx.one.test dmarc=pass", b" mx.one.test.; dmarc=pass",
    b" mx.one(x).test; dmarc=pass", b" mx . one . test; dmarc=pass", b" mx.one.test/1; dmarc=pass", b' "mx.\\one.test"; dmarc=pass',
    b"\x00mx.one.test; dmarc=pass", b" \xe2\x80\x83mx.one.test; dmarc=pass", b" =?utf-8?q?mx=2Eone=2Etest?=; dmarc=pass",
    b" (mx.one.test; dmarc=pass", b" (mx.one.test) other; dmarc=pass",
    b"\xc2\xa0mx.one.test; dmarc=pass", "ｍｘ.one.test; dmarc=pass".encode(),
    b" mx.one.test=1; dmarc=pass", b"\x0bmx.one.test\x0c; dmarc=pass", b" mx.one.test\rx; dmarc=pass",
])  # fmt: skip
def test_a_forged_field_is_found(value: bytes) -> None:
    assert is_ours(value, "mx.one.test")
    assert is_ours(value, "MX.one.test")


def test_nobody_is_hidden_behind_a_long_comment() -> None:
    assert is_ours(b" (" + b"x" * 20_000 + b") mx.one.test; dmarc=pass", "mx.one.test")
    assert is_ours(b" (" + b"x" * 10_000 + b") mx.one.test; dmarc=pass", "mx.one.test")
    assert not is_ours(b" (" + b"x" * 10_000 + b") mx.two.test; dmarc=pass", "mx.one.test")


@pytest.mark.parametrize("value", [
    b" mx.two.test; dmarc=pass", b" mx.one.test.example; dmarc=pass", b" amx.one.test; dmarc=pass", b" other; x=mx.one.test", b"", b" ;",
    b" one.test; dmarc=pass", b" spf=pass smtp.mailfrom=mx.one.test", b" mx.one.testing; none",
    b" mx-one.test; none", b'""; none', b" 1; none", b"(", b"=?", b" other (; mx.one.test; dmarc=pass",
])  # fmt: skip
def test_fields_of_others_stay(value: bytes) -> None:
    assert not is_ours(value, "mx.one.test")


def test_our_id_may_be_outside_ascii() -> None:
    assert is_ours("例え.テスト; none".encode(), "xn--r8jz45g.xn--zckzah")
    assert is_ours(b"xn--r8jz45g.xn--zckzah; none", "例え.テスト")


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_forged_fields_are_cut_out_of_a_message(end: bytes) -> None:
    forged = b"authentication-RESULTS :" + end + b"\tmx.one.test;" + end + b"\tdmarc=pass" + end
    kept = [b"Received: x", b"Authentication-Results: mx.two.test; spf=pass", b"X-Authentication-Results: mx.one.test; none"]
    kept = [field + end for field in kept]
    body = end + b"Authentication-Results: mx.one.test"
    raw = kept[0] + forged + kept[1] + b"Authentication-Results: mx.one.test; none" + end + kept[2] + body
    spans = forged_fields(parse_headers(raw), "mx.one.test")
    assert len(spans) == 2
    for start, stop in reversed(spans):
        raw = raw[:start] + raw[stop:]
    assert raw == b"".join(kept) + body


def test_nothing_is_cut_out_where_nothing_is_forged() -> None:
    assert forged_fields(parse_headers(b"From: a@one.test\r\n\r\n"), "mx.one.test") == ()
    assert forged_fields(parse_headers(b"ARC-Authentication-Results: i=1; mx.one.test; none\r\n\r\n"), "mx.one.test") == ()

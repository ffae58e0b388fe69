"""The words of RFC 8601, and the field that we write."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.mailauth.auth_results import parse_auth_results
from ekiden.mailauth.results import VALUE_BYTES, Evidence, Result, authentication_results, written


def test_results_are_spelled_as_the_registry_spells_them() -> None:
    assert {result.value for result in Result} == {
        "none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror",
    }  # fmt: skip
    assert Evidence("spf", Result.PASS).about == {}


def test_a_field_is_written_as_people_know_it() -> None:
    evidence = [
        Evidence("iprev", Result.PASS, {"policy.iprev": "192.0.2.1"}),
        Evidence("spf", Result.SOFTFAIL, {"smtp.mailfrom": "jo@one.test", "smtp.helo": "mail.one.test"}),
        Evidence("dkim", Result.FAIL, {"header.d": "one.test", "header.s": "2026a", "header.i": "@one.test"}, "body hash differs"),
    ]
    assert authentication_results("mx.two.test", evidence) == (
        b"mx.two.test;\r\n"
        b"\tiprev=pass policy.iprev=192.0.2.1;\r\n"
        b"\tspf=softfail smtp.mailfrom=jo@one.test smtp.helo=mail.one.test;\r\n"
        b'\tdkim=fail reason="body hash differs" header.d=one.test header.s=2026a\r\n'
        b"\t  header.i=@one.test"
    )


def test_nothing_checked_is_written_as_none() -> None:
    assert authentication_results("mx.two.test", []) == b"mx.two.test; none"  # RFC 8601 §2.2


@pytest.mark.parametrize(("text", "value"), [
    ("one.test", b"one.test"),
    ("", b'""'),
    ("bounce+jo=one.test@two.test", b"bounce+jo=one.test@two.test"),
    ("@one.test", b"@one.test"),
    ("2001:db8::1", b'"2001:db8::1"'),  # RFC 2045 §5.1: a colon is in no token
    ('"a b"@one.test', b'"\\"a b\\"@one.test"'),
    ("a..b@one.test", b'"a..b@one.test"'),
    ("a@b@c", b'"a@b@c"'),
    ("例え@one.test", '"例え@one.test"'.encode()),  # RFC 6532 §3.2
    ("back\\slash", b'"back\\\\slash"'),
])
def test_values_are_quoted_where_they_must_be(text: str, value: bytes) -> None:
    assert authentication_results("me", [Evidence("spf", Result.PASS, {"smtp.mailfrom": text})]) == (
        b"me;\r\n\tspf=pass smtp.mailfrom=" + value
    )


@pytest.mark.parametrize("hello", [
    "x; dmarc=pass", "x;\r\n\tdmarc=pass", "x\r\nAuthentication-Results: me; dmarc=pass", 'x"; dmarc=pass; "', 'x\\"; dmarc=pass',
    "x(; dmarc=pass", "x) ; dmarc=pass (", "x\n\n; dmarc=pass", "x\r; dmarc=pass", "x\x00; dmarc=pass", "x\u2028; dmarc=pass",
    "x dmarc=pass", "x\tdmarc=pass", "=?utf-8?q?x=3B_dmarc=3Dpass?=", "x\\", '"', "(", ";", "x\x85; dmarc=pass", "x;dmarc=pass" * 100,
])
def test_ax_31_a_peer_adds_no_result(hello: str) -> None:
    """Row AX-31, for EHLO, the local part of MAIL FROM, and a reason."""
    evidence = [
        Evidence("spf", Result.FAIL, {"smtp.mailfrom": hello + "@one.test", "smtp.helo": hello}, hello),
        Evidence("dmarc", Result.FAIL, {"header.from": "one.test"}),
    ]
    value = authentication_results("me", evidence)
    assert re.fullmatch(rb"[^\r\n]+(?:\r\n\t[^\r\n]+)*", value)
    assert max(map(len, value.split(b"\r\n"))) <= 998  # RFC 5322 §2.1.1
    read = parse_auth_results(value)
    assert read.complete
    assert [(each.method, each.result) for each in read.statements] == [("spf", "fail"), ("dmarc", "fail")]
    assert read.statements[0].value("smtp.helo") == written(hello)


_KEYWORD = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_EVIDENCE = st.builds(
    Evidence,
    method=_KEYWORD,
    result=st.sampled_from(Result),
    about=st.dictionaries(st.from_regex(r"[a-z]{1,8}\.[a-z][a-z-]{0,8}", fullmatch=True), st.text(max_size=600), max_size=4),
    because=st.text(max_size=600),
)


@given(st.text(min_size=1, max_size=300), st.lists(_EVIDENCE, max_size=3))
def test_what_is_written_reads_back_as_the_same(authserv_id: str, evidence: list[Evidence]) -> None:
    value = authentication_results(authserv_id, evidence)
    assert b"\r\n" not in value.replace(b"\r\n\t", b"")
    read = parse_auth_results(value)
    assert (read.authserv_id, read.version, read.complete) == (written(authserv_id), 1, True)
    assert [each.evidence() for each in read.statements] == [
        Evidence(each.method, each.result, {name: written(text) for name, text in each.about.items()}, written(each.because))
        for each in evidence
    ]


@given(st.text(max_size=1000))
def test_what_is_left_of_a_value_stays_as_it_is(text: str) -> None:
    left = written(text)
    assert written(left) == left
    assert len(left.encode()) <= VALUE_BYTES
    if text.isprintable() and len(text.encode()) <= VALUE_BYTES:
        assert left == text


@pytest.mark.parametrize("evidence", [
    Evidence("sp f", Result.PASS), Evidence("spf;", Result.PASS), Evidence("", Result.PASS),
    Evidence("spf", Result.PASS, {"smtp": "x"}), Evidence("spf", Result.PASS, {"smtp.mail from": "x"}),
    Evidence("spf", Result.PASS, {"a.b=c; d": "x"}),
])
def test_names_that_are_no_keywords_are_not_written(evidence: Evidence) -> None:
    with pytest.raises(BadValue):
        authentication_results("me", [evidence])

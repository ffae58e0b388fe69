"""The author of a message: one address, the same that IMAP shows, or a finding."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.imap.structure import encoded_words, envelope
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.author import Author, AuthorProblem, author_in, author_of


def _author(header: bytes) -> Author:
    return author_of(parse_headers(header + b"\r\n\r\n"))


_STRING = re.compile(rb'\((NIL|"(?:[^"\\]|\\.)*+") (NIL|"(?:[^"\\]|\\.)*+") (NIL|"(?:[^"\\]|\\.)*+") (NIL|"(?:[^"\\]|\\.)*+")\)')


def _shown_by_imap(header: bytes) -> list[tuple[bytes, bytes]]:
    """(mailbox, host) of the From of the ENVELOPE that FETCH would send; beginnings and ends of groups left out."""
    text = envelope(parse_headers(header + b"\r\n\r\n"))
    # date and subject, which these headers do not have, come before
    assert text.startswith(b"(NIL NIL "), text
    at = len(b"(NIL NIL ")
    if text.startswith(b"NIL", at):
        return []
    assert text[at : at + 1] == b"("
    at += 1
    shown = []
    while match := _STRING.match(text, at):
        at = match.end()
        if match[4] != b"NIL":
            shown.append((_unquoted(match[3]), _unquoted(match[4])))
    assert text[at : at + 1] == b")", text
    return shown


def _unquoted(text: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", text[1:-1], flags=re.DOTALL)


def _read_by_us(author: Author) -> list[tuple[bytes, bytes]]:
    return [(_ascii(each.local), _ascii(each.domain)) for each in author.addresses]


def _ascii(text: str) -> bytes:
    """ENVELOPE is of 7 bits: what is outside becomes encoded words there."""
    raw = text.encode()
    return raw if raw.isascii() else encoded_words(raw)


AX_20 = [
    (b"From: a@x.test, b@y.test", AuthorProblem.SEVERAL_DOMAINS, ["a@x.test", "b@y.test"]),
    (b"From: a@x.test, b@x.test", AuthorProblem.SEVERAL_ADDRESSES, ["a@x.test", "b@x.test"]),
    (b"From: <a@evil.test>:<ceo@bank.test>", AuthorProblem.SEVERAL_DOMAINS, ["a@evil.test", "ceo@bank.test"]),
    (b"To: a@x.test", AuthorProblem.NO_FIELD, []),
    (b"From:", AuthorProblem.NO_ADDRESS, []),
    (b"From: a@x.test\r\nFrom: ceo@bank.test", AuthorProblem.SEVERAL_FIELDS, ["a@x.test"]),
    (b"From: a@x.test\r\nfRoM: a@x.test", AuthorProblem.SEVERAL_FIELDS, ["a@x.test"]),
    (b"From : a@x.test", None, ["a@x.test"]),
    (b"From : a@x.test\r\nFrom: ceo@bank.test", AuthorProblem.SEVERAL_FIELDS, ["a@x.test"]),
    (b'From: "ceo@bank.test" <x@evil.test>', None, ["x@evil.test"]),
    (b"From: =?utf-8?q?ceo=40bank.test?= <x@evil.test>", None, ["x@evil.test"]),
    (b"From: ceo@bank.test\x00@evil.test", AuthorProblem.CONTROL, ["ceo@bank.test\ufffd@evil.test"]),
    (b"From: ceo@bank.test)x@evil.test", AuthorProblem.NO_ADDRESS, ["ceo@bank.test)x@evil.test"]),
    (b"From: Bank: ceo@bank.test;", AuthorProblem.GROUP, ["ceo@bank.test"]),
    (b"From: Undisclosed:;", AuthorProblem.GROUP, []),
    (b"From: Bank: ceo@bank.test;, x@evil.test", AuthorProblem.GROUP, ["ceo@bank.test", "x@evil.test"]),
]


@pytest.mark.parametrize(("header", "problem", "shown"), AX_20)
def test_ax_20_a_from_of_one_reading_or_a_finding(header: bytes, problem: AuthorProblem | None, shown: list[str]) -> None:
    """AX-20."""
    author = _author(header)
    assert author.problem is problem
    assert [str(each) for each in author.addresses] == shown
    assert author.must_be_refused is (problem not in (None, AuthorProblem.SEVERAL_ADDRESSES))
    assert bool(author.domain) is (not author.must_be_refused)


@pytest.mark.parametrize(
    ("header", "disguised"),
    [
        (b'From: "ceo@bank.test" <x@evil.test>', True),
        (b"From: =?utf-8?q?ceo=40bank.test?= <x@evil.test>", True),
        (b"From: =?utf-8?b?Y2VvQGJhbmsudGVzdA==?= <x@evil.test>", True),
        (b"From: ceo@bank.test <x@evil.test>", True),
        (b"From: x@evil.test (ceo@bank.test)", True),
        (b'From: "x@evil.test" <x@evil.test>', False),
        (b'From: "X at evil" <x@evil.test>', False),
    ],
)
def test_ax_20_a_name_that_looks_like_an_address_is_flagged(header: bytes, disguised: bool) -> None:
    author = _author(header)
    assert author.is_disguised is disguised
    assert author.domain == "evil.test"


# Shapes of the attacks that "Composition Kills" (USENIX Security 2020) describes, each in one message of ours: what the
# header says, what we find, and the domain that DMARC would go by ("" means that the mail is refused before).
AX_21 = {
    "two From fields, the good one first": (b"From: ceo@bank.test\r\nFrom: x@evil.test", ""),
    "two From fields, the good one last": (b"From: x@evil.test\r\nFrom: ceo@bank.test", ""),
    "a From with white space before its colon beside another": (b"From : x@evil.test\r\nFrom: ceo@bank.test", ""),
    "a From that is folded before it begins": (b"From:\r\n x@evil.test\r\nFrom: ceo@bank.test", ""),
    "a From in other letters beside another": (b"FROM: x@evil.test\r\nFrom: ceo@bank.test", ""),
    "a Sender that is someone else": (b"Sender: ceo@bank.test\r\nFrom: x@evil.test", "evil.test"),
    "a Resent-From that is someone else": (b"Resent-From: ceo@bank.test\r\nFrom: x@evil.test", "evil.test"),
    "a field that only looks like From": (b"From\x00: ceo@bank.test\r\nFrom: x@evil.test", ""),
    "two addresses in a list": (b"From: ceo@bank.test, x@evil.test", ""),
    "two addresses with nothing between them": (b"From: <ceo@bank.test><x@evil.test>", ""),
    "an address and another in a comment": (b"From: x@evil.test (<ceo@bank.test>)", "evil.test"),
    "a comment in the domain": (b"From: x@evil.test(@bank.test)", "evil.test"),
    "a comment between name and address": (b"From: ceo@bank.test(comment)<x@evil.test>", "evil.test"),
    "a quoted pair before the bracket": (b"From: \\<ceo@bank.test\\>, <x@evil.test>", ""),
    "a quoted string as local part": (b'From: "ceo@bank.test>, "@evil.test', "evil.test"),
    "a quote that is not closed": (b'From: "<ceo@bank.test> <x@evil.test>', ""),
    "a route before the address": (b"From: <@bank.test,@any.test:x@evil.test>", ""),
    "a route with the good address behind it": (b"From: <@evil.test:ceo@bank.test>", ""),
    "an encoded word that is all of the address": (b"From: =?utf-8?q?=3Cceo=40bank.test=3E?=", ""),
    "an encoded word as local part": (b"From: =?utf-8?q?ceo=40bank.test=00?=@evil.test", ""),
    "an encoded word in the name": (b"From: =?utf-8?b?PGNlb0BiYW5rLnRlc3Q+?= <x@evil.test>", "evil.test"),
    "NUL in the address": (b"From: ceo@bank.test\x00x@evil.test", ""),
    "NUL in the name": (b"From: ceo@bank.test\x00 <x@evil.test>", ""),
    "a control character in the domain": (b"From: ceo@bank.test\x08.evil.test", ""),
    "a semicolon without a group": (b"From: ceo@bank.test; x@evil.test", ""),
    "a bare CR in the field": (b"From: ceo@bank.test\rFrom: x@evil.test", ""),
    "two at signs": (b"From: ceo@bank.test@evil.test", ""),
    "brackets in brackets": (b"From: <ceo@bank.test<x@evil.test>>", ""),
    "a domain of a bad A-label": (b"From: ceo@xn--bank-.test", ""),
}


@pytest.mark.parametrize("shape", AX_21)
def test_ax_21_no_shape_has_two_readings(shape: str) -> None:
    """AX-21: what DMARC goes by is what IMAP shows, and where a reader could see someone else there is no mail."""
    header, domain = AX_21[shape]
    author = _author(header)
    assert author.domain == domain
    assert author.must_be_refused is (domain == "")
    assert domain != "bank.test"


@pytest.mark.parametrize("header", [header for header, _, _ in AX_20] + [header for header, _ in AX_21.values()])
def test_ax_20_imap_shows_the_addresses_that_dmarc_reads(header: bytes) -> None:
    assert _read_by_us(_author(header)) == _shown_by_imap(header)


@pytest.mark.parametrize(
    ("raw", "domain"),
    [
        (b"a@Example.COM", "example.com"),
        ("a@例え.テスト".encode(), "xn--r8jz45g.xn--zckzah"),
        (b"a@xn--r8jz45g.xn--zckzah", "xn--r8jz45g.xn--zckzah"),
        (b"a@my_host.example", "my_host.example"),
        (b"root@localhost", "localhost"),
        (b"a@example.com.", "example.com"),
        (b"a@\r\n example.com\r\n", "example.com"),
    ],
)
def test_the_domain_is_in_a_labels(raw: bytes, domain: str) -> None:
    """RFC 9989 §5.3.1."""
    assert author_in(raw) == Author(domain, author_in(raw).addresses)
    assert author_in(raw).address is not None


@pytest.mark.parametrize(
    ("raw", "problem", "refused"),
    [
        (b"a@[192.0.2.1]", AuthorProblem.LITERAL, False),
        ("a@\u2028.test".encode(), AuthorProblem.NO_ADDRESS, True),
        ("a@x\u200b\u00ad\u2060..test".encode(), AuthorProblem.NO_ADDRESS, True),
        (b"a@" + b"x" * 300 + b".test", AuthorProblem.BAD_DOMAIN, True),
        (b"ceo@=?utf-8?q?bank.test?=", AuthorProblem.BAD_DOMAIN, True),
        (b"ceo@bank.test%evil.test", AuthorProblem.BAD_DOMAIN, True),
        (b"ceo@bank.test/evil.test", AuthorProblem.BAD_DOMAIN, True),
        (b"a@192.0.2.1", None, False),
        (b"a@b.test, <broken", AuthorProblem.SEVERAL_DOMAINS, True),
        (b"a", AuthorProblem.NO_ADDRESS, True),
        (b"a@b.test, c@b.test, <@r.test:d@b.test>", AuthorProblem.ROUTE, True),
    ],
)
def test_what_has_no_domain(raw: bytes, problem: AuthorProblem | None, refused: bool) -> None:
    author = author_in(raw)
    assert (author.problem, author.must_be_refused) == (problem, refused)


def test_a_long_list_is_read_in_bounds() -> None:
    author = author_in(b"a@b.test, " * 20_000)
    assert author.problem is AuthorProblem.SEVERAL_ADDRESSES
    assert len(author.addresses) == 2000
    assert author.address is None


_TOKENS = [
    b"a", b"ceo", b"@", b"bank.test", b"evil.test", b"x@evil.test", b"<", b">", b"<x@evil.test>", b",", b";", b":", b"(", b")", b'"', b"\\",
    b" ", b"\t", b"\r\n ", b"=?utf-8?q?a=40b.test?=", b"[192.0.2.1]", b".",
    b"@r.test:", b"Name", b"\x00", b"\r", b"\xff",
    "例".encode(), b"[", b"]",
]  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.sampled_from(_TOKENS), max_size=12).map(b"".join))
def test_ax_20_no_from_is_read_in_two_ways(value: bytes) -> None:
    """AX-20: for any From; what is no address at all is the same in both, too."""
    header = b"From: " + value
    assert _read_by_us(_author(header)) == _shown_by_imap(header)


@given(st.binary(max_size=200))
def test_no_octets_crash_it(raw: bytes) -> None:
    author = author_in(raw)
    assert author.must_be_refused or author.domain or author.problem is AuthorProblem.LITERAL

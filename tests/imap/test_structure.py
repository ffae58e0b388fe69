"""ENVELOPE and BODYSTRUCTURE, whole and readable for every message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.imap.reading import Value, read_all
from tests.suites.data import conformance

from ekiden.base.errors import BadValue
from ekiden.imap import structure
from ekiden.imap.structure import body, body_of, body_structure, envelope
from ekiden.mail.encodings import decode_words
from ekiden.mail.headers import parse_headers
from ekiden.mail.mime import parse_message


def _envelope(header: bytes) -> Value:
    return read_all(envelope(parse_headers(header)))


def _field(name: bytes, value: bytes) -> Value:
    found = _envelope(name + b": " + value + b"\r\n\r\n")
    assert isinstance(found, list)
    return found[(b"Date", b"Subject", b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Bcc", b"In-Reply-To", b"Message-ID").index(name)]


def _structures(raw: bytes) -> tuple[Value, Value]:
    tree = parse_message(raw)
    assert body_of(body_structure(tree, raw)) == body(tree, raw)
    return read_all(body_structure(tree, raw)), read_all(body(tree, raw))


def test_an_envelope_has_ten_members() -> None:
    alice: Value = [[b"Alice", None, b"alice", b"example.org"]]
    assert _envelope(
        b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\nSubject: a\r\n b\r\nTo:\r\nMessage-ID: <x@y>\r\n\r\n"
    ) == [b"Mon, 1 Jan 2024 00:00:00 +0000", b"a b", alice, alice, alice, None, None, None, None, b"<x@y>"]


def test_an_empty_header_is_all_nil() -> None:
    assert _envelope(b"\r\n") == [None] * 10


def test_absent_is_nil_and_empty_is_empty() -> None:  # RFC 3501 §7.4.2
    assert _field(b"Subject", b"") == b""
    assert _field(b"To", b"") is None


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (b"a@b", [[None, None, b"a", b"b"]]),
        (b"a@b, c@d", [[None, None, b"a", b"b"], [None, None, b"c", b"d"]]),
        (b'"Doe, \\"J\\"" <j@d.test>', [[b'Doe, "J"', None, b"j", b"d.test"]]),
        (b"J. Doe <j@d.test>", [[b"J. Doe", None, b"j", b"d.test"]]),
        (b"user@domain (Real Name)", [[b"Real Name", None, b"user", b"domain"]]),
        (b"<@route:user@domain>", [[None, b"@route", b"user", b"domain"]]),
        (b'"a b"@c', [[None, None, b"a b", b"c"]]),
        (
            b"group: g1@d1.org, g2@d2.org;, group2: g3@d3.org;",
            [
                [None, None, b"group", None],
                [None, None, b"g1", b"d1.org"],
                [None, None, b"g2", b"d2.org"],
                [None, None, None, None],
                [None, None, b"group2", None],
                [None, None, b"g3", b"d3.org"],
                [None, None, None, None],
            ],
        ),
        (b"undisclosed-recipients:;", [[None, None, b"undisclosed-recipients", None], [None, None, None, None]]),
        (b"root", [[None, None, b"root", b""]]),
        (b"=?UTF-8?B?44GC?= <a@b>", [[b"=?UTF-8?B?44GC?=", None, b"a", b"b"]]),
        (b",", None),
    ],
)
def test_addresses(value: bytes, addresses: Value) -> None:
    assert _field(b"To", value) == addresses


def test_raw_text_of_8_bits_becomes_encoded_words() -> None:  # IM-28
    subject = _field(b"Subject", "会議の件について、長い題名を書きますので分けてください".encode())
    assert isinstance(subject, bytes)
    assert subject.isascii()
    assert decode_words(subject) == "会議の件について、長い題名を書きますので分けてください"
    name = _field(b"From", "山田 <yamada@example.test>".encode())
    assert isinstance(name, list)
    assert isinstance(name[0], list)
    assert isinstance(name[0][0], bytes)
    assert decode_words(name[0][0]) == "山田"


def test_controls_do_not_break_the_line() -> None:  # IM-27
    assert _field(b"Subject", b'a\0b\rc"\\') == b'ab c"\\'


@given(st.lists(st.sampled_from([b"Al", b'"B, C"', b" ", b"<a@b.c>", b"d@e", b",", b"<", b">", b"(x)", b":", b";", b"=?", b"\xe3", b"."])))
def test_the_fast_reading_of_addresses_is_the_reading_of_the_house(words: list[bytes]) -> None:
    value = b"".join(words)
    assert structure._addresses(value) == structure._any_addresses(value.strip(b" "))


def test_a_plain_message() -> None:
    raw = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\none\r\ntwo\r\n"
    plain = [b"TEXT", b"PLAIN", [b"charset", b"utf-8"], None, None, b"8BIT", 10, 2]
    assert _structures(raw) == ([*plain, None, None, None, None], plain)


def test_a_message_without_mime() -> None:
    assert _structures(b"\r\nx\r\n")[1] == [b"TEXT", b"PLAIN", [b"charset", b"US-ASCII"], None, None, b"7BIT", 3, 1]


def test_a_multipart() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x\r\n"
        b'Content-Type: application/pdf; name="a b.pdf"\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <i@d>\r\n'
        b"Content-Description: d\r\nContent-Disposition: attachment; filename=f\r\nContent-Language: en, ja\r\n"
        b"Content-Location: http://a/b\r\nContent-MD5: Q2h\r\n\r\nAAAA\r\n--x--\r\n"
    )
    text = [b"TEXT", b"PLAIN", [b"charset", b"US-ASCII"], None, None, b"7BIT", 1, 0]
    pdf = [b"APPLICATION", b"PDF", [b"name", b"a b.pdf"], b"<i@d>", b"d", b"BASE64", 4]
    ends = [b"Q2h", [b"attachment", [b"filename", b"f"]], [b"en", b"ja"], b"http://a/b"]
    extended, plain = _structures(raw)
    assert plain == [text, pdf, b"MIXED"]
    assert extended == [[*text, None, None, None, None], [*pdf, *ends], b"MIXED", [b"boundary", b"x"], None, None, None]


def test_a_message_in_a_message() -> None:
    raw = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx\r\n"
    inner = [b"TEXT", b"PLAIN", [b"charset", b"US-ASCII"], None, None, b"7BIT", 3, 1]
    assert _structures(raw)[1] == [
        b"MESSAGE", b"RFC822", None, None, None, b"7BIT", 21, [None, b"inner", *[None] * 8], inner, 3
    ]  # fmt: skip


def test_file_names_of_8_bits_become_encoded_words() -> None:  # IM-28
    raw = 'Content-Type: application/x; name="会議"\r\n\r\n'.encode()
    extended, _ = _structures(raw)
    assert isinstance(extended, list)
    assert isinstance(extended[2], list)
    assert isinstance(extended[2][1], bytes)
    assert decode_words(extended[2][1]) == "会議"


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_every_message_has_a_structure(raw: bytes) -> None:
    _structures(raw)
    _envelope(raw)


_PIECES = (
    b"Content-Type: multipart/mixed; boundary=x|Content-Type: message/rfc822|\r\n|--x|--x--|From: |To: |a@b|<|>|(|,|:;|\xff|\0|"
    b"Content-Disposition: a; filename*=UTF-8''%41|Content-Language: en,ja|Subject: |\xe3\x81\x82|Content-Type: text/|plain|;=\"".split(
        b"|"
    )
)


@given(st.lists(st.sampled_from(_PIECES), max_size=40))
@settings(max_examples=200, deadline=None)
def test_every_broken_mime_has_a_structure(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    _structures(raw)
    _envelope(raw)


def test_published_messages_have_a_structure() -> None:
    folder = conformance("mime")
    if folder is None:
        pytest.skip("conformance: not here")
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".msg", ".eml", ".txt") and path.is_file():
            raw = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            _structures(raw)
            _envelope(raw)
            count += 1
    assert count


@pytest.mark.parametrize("structure", [b"", b"(", b"()(", b")", b"x", b'"a', b"() ()"])
def test_what_is_no_structure_is_not_shortened(structure: bytes) -> None:
    with pytest.raises(BadValue):
        body_of(structure)

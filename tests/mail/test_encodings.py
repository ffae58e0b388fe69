"""Encoded words, transfer encodings and charsets."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.mail.encodings import WORDS_TEXT, codec_of, decode_body, decode_text, decode_words, encode_words, guess_text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" The plan", "The plan"),
        (b"=?ISO-8859-1?Q?a?=", "a"),  # RFC 2047 §8
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (b"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),  # RFC 2231 §5
        (b"=?utf-8?B?5Lya?= =?utf-8?B?6K2w?=", "会議"),
        (b"=?utf-8?B?5Lya6A==?= =?utf-8?B?rbA=?=", "会議"),  # a character cut in two
        (b"=?utf-8?Q?=E4=BC=9A=E8?= =?UTF8?Q?=AD=B0?=", "会議"),
        (b"=?ISO-2022-JP?B?GyRCMnE1RBsoQg==?=", "会議"),
        (b"=?Shift_JIS?B?ie+LYw==?=", "会議"),
        (b"=?EUC-JP?B?svG1xA==?=", "会議"),
        (b"Re: \x1b$B2q5D\x1b(B", "Re: 会議"),
        ("Re: 会議です".encode(), "Re: 会議です"),
        ("Re: 会議です".encode("cp932"), "Re: 会議です"),
        ("Re: 会議です".encode("euc_jp"), "Re: 会議です"),
        ("Größe über alles".encode("cp1252"), "Größe über alles"),
        (b"=?utf-8?q?=0D=0ABcc: v?=", "\ufffd\ufffdBcc: v"),  # nothing can begin another line
        (b"a\x00b", "a\ufffdb"),
        (b"=?utf-7?q?+ADw-script+AD4-?=", "+ADw-script+AD4-"),
        (b"=?unicode_escape?q?=5Cu003cscript=5Cu003e?=", "\\u003cscript\\u003e"),
        (b"=?x?b?", "=?x?b?"),
        (b"=?utf-8?z?a?=", "=?utf-8?z?a?="),
        (b"a\tb\r\n\tc", "a b c"),
        (b"", ""),
    ],
)
def test_words_are_decoded(raw: bytes, text: str) -> None:
    assert decode_words(raw) == text


def test_circled_digits_and_half_width_kana_of_iso_2022_jp_are_read() -> None:
    raw = b"\x1b$B-!2q5D\x1b(IC=D\x1b(B ok"
    assert decode_text(raw, "iso-2022-jp") == "①会議ﾃｽﾄ ok"
    assert guess_text(raw) == "①会議ﾃｽﾄ ok"
    assert decode_words(b"=?ISO-2022-JP?B?" + base64.b64encode(raw) + b"?=") == "①会議ﾃｽﾄ ok"


@given(st.text(max_size=300))
def test_what_is_encoded_comes_back(text: str) -> None:
    raw = encode_words(text)
    assert raw.isascii()
    assert b"\r\n" not in raw.replace(b"\r\n ", b"")
    assert all(len(line) <= 900 for line in raw.split(b"\r\n"))
    if raw.startswith(b"=?utf-8?B?"):
        assert all(len(word) <= 75 for word in raw.split(b"\r\n "))
    clean = "".join(" " if ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u2029" else c for c in text)
    assert decode_words(raw) == clean.strip(" ")


def test_nothing_gets_out_of_a_field() -> None:
    assert encode_words("a\r\nBcc: x@y.test") == b"a  Bcc: x@y.test"


@given(st.binary(max_size=400))
def test_no_bytes_raise(raw: bytes) -> None:
    for text in (decode_words(raw), guess_text(raw), *(decode_text(raw, name) for name in ("iso-2022-jp", "sjis", "utf-16", "x"))):
        text.encode("utf-8")
    decode_body(raw, "base64")
    decode_body(raw, "quoted-printable")


@given(st.lists(st.sampled_from([b"=?", b"?=", b"utf-8", b"?q?", b"?B?", b" ", b"\r\n ", b"=41", b"QQ==", b"\xe4", b"\x1b$B", b"\x1b(B"])))
def test_pieces_of_words_never_raise_and_show_no_control(pieces: list[bytes]) -> None:
    text = decode_words(b"".join(pieces))
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)


@pytest.mark.parametrize(
    "name", ["utf-7", "hz", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "rot13", "zlib", "x" * 1024, ""]
)
def test_charsets_off_the_list_are_not_decoded_by_name(name: str) -> None:
    assert codec_of(name) == ""
    assert decode_text(b"a\\u003cb +ADw-", name) == "a\\u003cb +ADw-"
    assert decode_text(b"caf\xe9", name) == "café"


@pytest.mark.parametrize(("raw", "text"), [(b"\xc0\xaf", "��"), (b"\xed\xa0\x80", "���"), (b"\xe4\xbc", "�")])
def test_bad_utf8_is_replaced(raw: bytes, text: str) -> None:
    assert decode_text(raw, "utf-8") == text


@pytest.mark.parametrize(
    ("raw", "encoding", "body"),
    [
        (b"aGVs\r\nbG8=\r\n", "base64", b"hello"),
        (b"aGVs bG8", "base64", b"hello"),  # padding forgotten
        (b"a!G\xffVsbG8=", "base64", b"hello"),
        (b"aGVsb", "base64", b"hel"),
        (b"aGk=aGk=", "base64", b"hi"),  # it ends at its padding
        (b"a=3Db=\r\nc", "quoted-printable", b"a=bc"),
        (b"a=zz", "quoted-printable", b"a=zz"),
        (b"a \t\r\nb", "quoted-printable", b"a\r\nb"),  # RFC 2045 §6.7 (3)
        (b"a=20\r\n", "quoted-printable", b"a \r\n"),
        (b"as it is", "x-uuencode", b"as it is"),
        (b"", "base64", b""),
    ],
)
def test_bodies_are_decoded(raw: bytes, encoding: str, body: bytes) -> None:
    assert decode_body(raw, encoding) == body


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (b" " * 4_000_000, "base64"),
        (b" " * 4_000_000 + b"x", "quoted-printable"),
        (b"=\r\n" * 1_000_000, "quoted-printable"),
        (b"=" * 2_000_000, "base64"),
    ],
)
def test_hostile_bodies_cost_their_length(raw: bytes, encoding: str) -> None:
    begun = time.process_time()
    decode_body(raw, encoding)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("piece", [b"=?", b"=?a?q?", b"=?utf-8?q?a?= ", b"=?a*", b"=?utf-8?q?a?==?utf-16?q?a?= ", b"\x1b$B", b"\x89"])
def test_hostile_fields_are_bounded(piece: bytes) -> None:
    begun = time.process_time()
    assert len(decode_words(piece * 100_000)) <= WORDS_TEXT
    assert time.process_time() - begun < 1

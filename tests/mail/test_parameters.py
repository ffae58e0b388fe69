"""Parameters of MIME fields, their text, and names of files."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.mail.parameters import PARAMETERS, file_name, parameter, parameter_text, parse_parameters, strip_comments


@pytest.mark.parametrize(
    ("value", "head", "params"),
    [
        (b" text/plain", b"text/plain", []),
        (b"text/plain; Charset=UTF-8", b"text/plain", [(b"charset", b"UTF-8")]),
        (b'a/b; x="1;2"; y="a\\"b"', b"a/b", [(b"x", b"1;2"), (b"y", b'a"b')]),
        (b"a/b (c;d=e); x=1 (f)", b"a/b", [(b"x", b"1")]),
        (b"a/b;;; x=1;", b"a/b", [(b"x", b"1")]),
        (b"a/b; x=my file.pdf; y=2", b"a/b", [(b"x", b"my file.pdf"), (b"y", b"2")]),
        (b"a/b; boundary=a; boundary=b", b"a/b", [(b"boundary", b"a"), (b"boundary", b"b")]),
        (b'a/b;\r\n\tx="1\r\n 2"', b"a/b", [(b"x", b"1 2")]),
        (b'a/b; x="not closed', b"a/b", [(b"x", b"not closed")]),
        (b"text/plain charset=x", b"text/plain", [(b"charset", b"x")]),
        (b"", b"", []),
    ],
)
def test_parameters_are_read(value: bytes, head: bytes, params: list[tuple[bytes, bytes]]) -> None:
    assert parse_parameters(value) == (head, tuple(params))


def test_the_first_of_doubled_parameters_counts() -> None:
    assert parameter(parse_parameters(b"a/b; x=1; x=2")[1], b"x") == b"1"
    assert parameter((), b"x") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"a; f=plain.txt", "plain.txt"),
        (b"a; f*=UTF-8''%E4%BC%9A%E8%AD%B0.pdf", "会議.pdf"),  # RFC 2231 §4
        (b"a; f*=iso-2022-jp'ja'%1B$B2q5D%1B(B.pdf".replace(b"(B", b"%28B"), "会議.pdf"),
        (b"a; f*0*=us-ascii'en'even%20more%20; f*1*=%2A%2Afun%2A%2A%20; f*2=\"isn't it!\"", "even more **fun** isn't it!"),
        (b"a; f*1=b; f*0=a; f*3=d", "ab"),  # up to the first gap
        (b"a; f*=%41", "A"),
        (b'a; f="=?utf-8?B?5Lya6K2w?=.pdf"', "会議.pdf"),
        (b"a; f*=utf-7\'\'+ADw-", "+ADw-"),
        (b"a; g=1", None),
    ],
)  # fmt: skip
def test_parameters_become_text(value: bytes, text: str | None) -> None:
    assert parameter_text(parse_parameters(value)[1], b"f") == text


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("会議.pdf", "会議.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\x.exe", "x.exe"),
        ("CON", "_CON"),
        ("aux.txt", "_aux.txt"),
        ("x\r\nSet-Cookie: a", "x__Set-Cookie_ a"),
        ("a\x00.exe", "a_.exe"),
        ("\u202efdp.exe", "_fdp.exe"),
        ("..", ""),
        (" . ", ""),
        ("", ""),
    ],
)
def test_file_names_are_harmless(said: str, name: str) -> None:
    assert file_name(said) == name


def test_long_file_names_keep_their_ending() -> None:
    assert file_name("会" * 1000 + ".pdf").endswith("会")  # the ending lay behind the first thousand characters
    short = file_name("会" * 300 + ".pdf")
    assert short.endswith("会.pdf")
    assert len(short.encode()) <= 200


@given(st.text(max_size=300))
def test_no_file_name_leads_elsewhere(said: str) -> None:
    name = file_name(said)
    assert not set(name) & set('/\\:"<>|?*\x00\r\n')
    assert name not in (".", "..")
    assert file_name(name) == name or len(said) > 100


@given(st.binary(max_size=200))
def test_no_bytes_raise(value: bytes) -> None:
    _, params = parse_parameters(value)
    for name, _ in params:
        parameter_text(params, name)
    strip_comments(value)


@pytest.mark.parametrize("piece", [b"(", b"()", b'"', b"\\", b";", b"=", b"a=", b"a=b ", b';a="', b"x*0=1;", b" ", b";a=b c"])
def test_hostile_values_are_bounded(piece: bytes) -> None:
    begun = time.process_time()
    assert len(parse_parameters(b"a/b;" + piece * 100_000)[1]) <= PARAMETERS
    assert time.process_time() - begun < 1


def test_comments_are_dropped_where_they_are_not_quoted() -> None:
    assert strip_comments(b'a (b (c) \\) d) "(e)" f') == b'a   "(e)" f'
    assert strip_comments(b"a (b") == b"a "
    assert strip_comments(b"a ) b") == b"a ) b"

"""One line, one command or one refusal."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.mail.address import NULL_PATH, Domain, Path
from ekiden.mail.envelope import Body, Recipient
from ekiden.smtp.commands import (
    Hello,
    MailFrom,
    RcptTo,
    decode_base64,
    is_hello_name,
    parse_hello,
    parse_initial_response,
    parse_mail,
    parse_rcpt,
    shown,
)
from ekiden.smtp.extension import View, all_extensions, offer
from ekiden.smtp.replies import BAD_BASE64, BAD_HELLO, Reply

OFFER = offer(all_extensions(), View(1000, "mx"))


def test_mail_with_parameters() -> None:
    found = parse_mail(b"mail from:<A@B.test> size=12  BODY=8bitmime", OFFER)
    path = Path("A", Domain("b.test"))
    assert found == MailFrom(path, {"SIZE": 12, "BODY": Body.EIGHT}, Body.EIGHT, False, 12, "A@B.test")


def test_null_reverse_path() -> None:
    assert parse_mail(b"MAIL FROM:<>", OFFER) == MailFrom(NULL_PATH, {}, Body.SEVEN, False, None, "")


@pytest.mark.parametrize(
    ("line", "recipient", "raw"),
    [
        (b"RCPT TO:<a@b.test>", Path("a", Domain("b.test")), "a@b.test"),
        (b'RCPT TO: <"a > b\\""@b.test>', Path('a > b"', Domain("b.test")), '"a > b\\""@b.test'),
        (b"RCPT TO:<@x.test,@y.test:a@b.test>", Path("a", Domain("b.test")), "@x.test,@y.test:a@b.test"),  # RFC 5321 §4.1.1.3
    ],
)
def test_recipient(line: bytes, recipient: Path, raw: str) -> None:
    assert parse_rcpt(line, OFFER) == RcptTo(Recipient(recipient), raw)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL FROM:<a@b.test> SIZE=1001", "552 5.3.4"),
        (b"MAIL FROM:<a@b.test> SIZE", "501 5.5.4"),
        (b"MAIL FROM:<a@b.test> BODY=BINARYMIME", "501 5.5.4"),
        (b"MAIL FROM:<a@b.test> SMTPUTF8", "555 5.5.4"),
        (b"MAIL FROM:<a@b.test> AUTH=<>", "555 5.5.4"),
        (b"MAIL FROM:<a@b.test> RET=FULL", "555 5.5.4"),
        (b"MAIL FROM:<a@b.test>SIZE=1", "501 5.1.7"),
        (b"MAIL FROM:<a@b.test> SIZE=1\n", "501 5.5.4"),
        (b"MAIL FROM:", "501 5.1.7"),
        (b"MAIL TO:<a@b.test>", "501 5.5.2"),
        (b"MAIL FROM:<" + b'"' * 1001 + b">", "501 5.1.7"),
        (b"MAIL FROM:<postmaster>", "501 5.1.7"),
    ],
)
def test_mail_that_is_refused(line: bytes, code: str) -> None:
    found = parse_mail(line, OFFER)
    assert isinstance(found, Reply)
    assert found.text.startswith(code)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"RCPT TO:<a@b.test> NOTIFY=NEVER", "555 5.5.4"),
        (b"RCPT TO:<a@b.test> ORCPT=rfc822;a+0D+0Ab", "555 5.5.4"),
        (b"RCPT TO:<jos\xc3\xa9@b.test>", "553 5.6.7"),
        (b"RCPT TO:<jos\xe9@b.test>", "501 5.5.2"),
        (b"RCPT TO:<a@" + b"x" * 256 + b">", "501 5.1.3"),
        (b"RCPT FROM:<a@b.test>", "501 5.5.2"),
    ],
)
def test_recipient_that_is_refused(line: bytes, code: str) -> None:
    found = parse_rcpt(line, OFFER)
    assert isinstance(found, Reply)
    assert found.text.startswith(code)


@pytest.mark.parametrize(
    "name",
    [b"c.test", b"localhost", b"WIN_PC-1", b"a.b.", b"[192.0.2.1]", b"[IPv6:2001:db8::1]", b"1.2.3.4", b"xn--bcher-kva.test"],
)
def test_names_that_hosts_call_themselves(name: bytes) -> None:
    assert parse_hello(b"ehlo " + name + b" ") == Hello("EHLO", name.decode())


@pytest.mark.parametrize(
    "name",
    [
        b"", b".", b"a..b", b".a", b"a b", b"a(b)", b"[IPv6:zz]", b"[300.1.1.1]", b"[1.2.3.4", b"[IPv6:fe80::1%eth0]", b"a\n", b"\xff",
        b"x" * 256,
    ],
)  # fmt: skip
def test_names_that_are_none(name: bytes) -> None:
    assert not is_hello_name(name)
    assert parse_hello(b"EHLO " + name) == BAD_HELLO


@pytest.mark.parametrize(("raw", "data"), [(b"YQ==", b"a"), (b"", b""), (b"AAAA", b"\0\0\0")])
def test_canonical_base64(raw: bytes, data: bytes) -> None:
    assert decode_base64(raw) == data


@pytest.mark.parametrize("raw", [b"YR==", b"YQ=", b"YQ", b"Y Q==", b"AG E$$=bGljZQ==", b"YQ==\n", b"====", b"YQ==YQ=="])
def test_base64_in_any_other_form(raw: bytes) -> None:
    """Row AU-05."""
    with pytest.raises(BadValue):
        decode_base64(raw)
    assert parse_initial_response(raw) == BAD_BASE64


def test_an_equals_sign_is_an_empty_initial_response() -> None:
    assert parse_initial_response(b"=") == b""


def test_what_is_logged_of_a_line() -> None:
    assert shown(b"AUTH PLAIN c2VjcmV0") == "AUTH PLAIN"
    assert shown(b"\x1b[2J\xff\r") == "\\x1b[2J\\xff\\x0d"
    assert len(shown(b"x" * 5000)) == 200


@given(st.binary(max_size=60), st.sampled_from([b"MAIL FROM:<", b"RCPT TO:<a@b.test> ", b"EHLO ", b"MAIL FROM:<a@b.test> SIZE="]))
def test_no_line_raises(rest: bytes, head: bytes) -> None:
    for parse in (parse_mail, parse_rcpt):
        found = parse(head + rest, OFFER)
        assert isinstance(found, (MailFrom, RcptTo, Reply))
    parse_hello(head + rest)
    assert shown(head + rest).isprintable()


def test_hostile_lines_take_linear_time() -> None:
    start = time.process_time()
    for middle in (b" " * 4000, b"\\" * 4000, b'"' * 4000, b"a." * 2000, b"a=b " * 1000, b"@a," * 1300):
        parse_mail(b"MAIL FROM:<a@b.test>" + middle + b"\x01", OFFER)
        parse_mail(b"MAIL FROM:<" + middle, OFFER)
        parse_hello(b"EHLO " + middle + b"!")
    assert time.process_time() - start < 0.5

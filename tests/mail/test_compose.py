"""Messages of the house's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.mail.address import Domain, Path
from ekiden.mail.compose import address_field, compose, field, id_field, text_part
from ekiden.mail.encodings import decode_body, decode_text, decode_words
from ekiden.mail.fields import parse_addresses
from ekiden.mail.headers import parse_headers
from ekiden.mail.mime import parse_message

_ALICE, _BOB = Path("alice", Domain("a.test")), Path("bob", Domain("b.test"))


def _compose(subject: str = "s", text: str = "t", name: str = "") -> bytes:
    return compose(
        sender=_ALICE, sender_name=name, to=[_BOB], subject=subject, text=text, at=Millis(0), message_id="1@a.test",
        extra=[("Auto-Submitted", "auto-generated")],
    )  # fmt: skip


def test_a_short_message_is_plain() -> None:
    assert _compose("Hello", "One\nTwo", "Alice") == (
        b"From: Alice <alice@a.test>\r\nTo: bob@b.test\r\nSubject: Hello\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n"
        b"Message-ID: <1@a.test>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nOne\r\nTwo\r\n"
    )


@given(st.text(max_size=200), st.text(max_size=400), st.text(max_size=60))
def test_whatever_is_said_is_one_message_and_reads_back(subject: str, text: str, name: str) -> None:
    raw = _compose(subject, text, name)
    assert raw.isascii()
    assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    headers = parse_headers(raw)
    assert [field.lower() for field, _ in headers.fields] == [
        b"from", b"to", b"subject", b"date", b"message-id", b"auto-submitted",
        b"mime-version", b"content-type", b"content-transfer-encoding",
    ]  # fmt: skip
    assert [str(each) for each in parse_addresses(headers.first(b"from") or b"")] == ["alice@a.test"]
    if subject.isprintable():
        assert decode_words(headers.first(b"subject") or b"") == subject.strip(" ")
    part = parse_message(raw)
    if text.isprintable() and text:
        assert decode_text(decode_body(raw[part.body_at : part.end], part.encoding), b"utf-8") == text + "\r\n"


@pytest.mark.parametrize("name", ["Ex, Am", 'a "b" \\c', "会議", "a@b.test", "x\r\nBcc: y@z.test", "=?utf-8?q?a?=", "<>"])
def test_display_names_cannot_become_addresses(name: str) -> None:
    raw = address_field("From", [(name, _ALICE)])
    found = parse_addresses(raw[5:])
    assert [str(each) for each in found] == ["alice@a.test"]
    assert found[0].name == name.replace("\r", " ").replace("\n", " ")


def test_names_and_ids_that_are_none_are_refused() -> None:
    for bad in ("", "a b", "a:", "a\r\nb", "é"):
        with pytest.raises(BadValue):
            field(bad, "x")
    for bad in ("", "a b", "a>b", "a\r\nb"):
        with pytest.raises(BadValue):
            id_field("References", bad)
    with pytest.raises(BadValue):
        address_field("To", [("", Path("a\r\nb", Domain("c.test")))])


def test_long_or_foreign_text_is_base64() -> None:
    for text in ("会議", "x" * 999):
        part = text_part(text)
        assert b"base64" in part
        assert max(map(len, part.split(b"\r\n"))) <= 76


def test_nobody_in_to_is_undisclosed() -> None:
    raw = compose(sender=_ALICE, to=[], subject="s", text="t", at=Millis(0), message_id="1@a.test")
    assert b"To: undisclosed-recipients:;\r\n" in raw

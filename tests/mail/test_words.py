"""Words of a message: any charset, bigrams where no spaces are set, what is hidden, and bounds."""

from __future__ import annotations

import time
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.mail.words import WORDS, key_of, keys_of, words_of

HEAD = b"From: Shop <news@mail.shop.test>\r\nTo: a@b.test\r\nDate: x\r\nMessage-ID: <1@b>\r\nSubject: Best offer\r\n"
JAPANESE = "会議の資料を送ります"
HOSTILE = {
    "open tags": "<a " * 12_000,
    "comments that never end": "<!--" * 9_000,
    "styles that never end": "<style>" * 5_000,
    "entities": "&#65;" * 7_000,
    "huge entity": "&#" + "1" * 30_000 + ";",
    "links": "http://" * 5_000,
    "spaces": "display" + " " * 30_000,
    "digits": "1," * 16_000,
    "one word": "a" * 32_000,
    "less than": "<" * 32_000,
}


def _html(body: str) -> frozenset[str]:
    return frozenset(words_of(HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + body.encode()))


def test_a_word_says_where_it_was_found() -> None:
    raw = HEAD + b"Reply-To: <x@other.test>\r\nX-Mailer: Bulk 3\r\nList-Id: <l>\r\n\r\nBuy it https://go.shop.test/x/y?z=1 now for $5"
    found = set(words_of(raw))
    assert {"s:best", "s:offer", "f:shop", "from:mail.shop.test", "from:shop.test", "reply:other.test", "!reply-elsewhere"} <= found
    assert {"m:bulk", "h:list-id", "link:go.shop.test", "link:shop.test", "buy", "it", "now", "for", "!money", "ct:text/plain"} <= found
    assert not {"x", "y", "z", "https"} & found


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "shift_jis", "euc-jp"])
def test_japanese_is_the_same_in_every_charset(charset: str) -> None:
    raw = HEAD + f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + JAPANESE.encode(charset)
    assert {"会議", "議の", "の資", "資料", "料を", "を送", "送り", "りま", "ます"} <= set(words_of(raw))


def test_the_subject_in_encoded_words_is_read() -> None:
    raw = b"Subject: =?iso-2022-jp?B?" + b64encode("当選おめでとう".encode("iso-2022-jp")) + b"?=\r\n\r\nx"
    assert {"s:当選", "s:選お", "s:とう"} <= set(words_of(raw))


def test_what_looks_the_same_is_the_same() -> None:
    """Full-width letters and half-width kana are spelled in another way only (NFKC)."""
    first = words_of(HEAD + "Content-Type: text/plain; charset=utf-8\r\n\r\nＢＵＹ ｶﾞｿﾘﾝ".encode())
    second = words_of(HEAD + "Content-Type: text/plain; charset=utf-8\r\n\r\nbuy ガソリン".encode())
    assert first == second


def test_words_are_found_through_tags_entities_and_unseen_characters() -> None:
    found = _html("<p>V<b></b>iag<!-- x -->ra pi\u200blls c&#97;sino <style>hid{den}</style>end</p>")
    assert {"pills", "casino", "end", "!unseen"} <= found
    assert "den" not in found
    assert {"viag", "ra"} <= found  # a comment parts words, inline tags do not


@pytest.mark.parametrize("trick", [
    '<span style="display:none">', '<p style="font-size:0px">', '<p style="FONT-SIZE: 1px">', '<font color="#FFFFFF">',
])
def test_hidden_text_is_noted(trick: str) -> None:
    assert "!hidden" in _html(trick + "x")
    assert "!hidden" not in _html("plain <span style='font-size:12px'>text</span>")


def test_attachments_give_their_names_not_their_content() -> None:
    raw = (
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: text/plain\r\n"
        b'Content-Disposition: attachment; filename="Invoice March.PDF"\r\n\r\nsecret\r\n--b--\r\n'
    )
    found = set(words_of(raw))
    assert {"hello", "a:invoice", "a:march", "ext:pdf"} <= found
    assert "secret" not in found


def test_words_are_bounded() -> None:
    raw = HEAD + b"\r\n" + b" ".join(b"w%s" % bytes(97 + int(digit) for digit in str(number)) for number in range(9000))
    assert len(words_of(raw)) == WORDS


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE)
def test_nothing_is_worse_than_linear(bad: str) -> None:
    began = time.process_time()
    _html(bad)
    assert time.process_time() - began < 0.5


@given(st.binary(max_size=300), st.sampled_from([b"text/html", b"text/plain; charset=iso-2022-jp", b"multipart/mixed; boundary=x"]))
def test_it_never_raises(raw: bytes, kind: bytes) -> None:
    assert len(words_of(b"Subject: " + raw[:40] + b"\r\nContent-Type: " + kind + b"\r\n\r\n" + raw)) <= WORDS
    words_of(raw)


def test_keys_are_the_same_on_every_day() -> None:
    assert key_of("会議") == key_of("会議") != key_of("会話")
    assert key_of("offer") == 1188655734133096393
    assert keys_of(["a", "b"]) == {key_of("a"): "a", key_of("b"): "b"}

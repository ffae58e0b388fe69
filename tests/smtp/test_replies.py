"""The catalogue keeps the rules of RFC 5321 §4.2 and RFC 2034 §4."""

from __future__ import annotations

import re

import pytest

from ekiden.base.ids import EnvelopeId
from ekiden.smtp.replies import GOODBYE, NO_SUCH_MAILBOX, Reply, accepted, catalogue, greeting, printable

CATALOGUE = dict(catalogue())


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_reply_is_well_formed(name: str) -> None:
    reply = CATALOGUE[name]
    lines = reply.encode().split(b"\r\n")
    assert lines.pop() == b""
    assert all(re.fullmatch(rb"[2-5][0-5][0-9][ -][\t -~]+", line) for line in lines)
    assert all(len(line) <= 510 for line in lines)
    assert [line[3:4] for line in lines] == [b"-"] * (len(lines) - 1) + [b" "]
    if reply.code != 354:
        assert reply.enhanced is not None
        assert reply.enhanced[0] == reply.code // 100  # RFC 2034 §4
        assert all(line[4:].startswith(reply.status.encode()) for line in lines)


def test_no_two_names_for_one_reply() -> None:
    assert len(set(CATALOGUE.values())) == len(CATALOGUE)


def test_a_reply_of_several_lines() -> None:
    reply = Reply(250, (2, 1, 5), ("one", "", "three"))
    assert reply.encode() == b"250-2.1.5 one\r\n250-2.1.5 \r\n250 2.1.5 three\r\n"
    assert reply.text == "250 2.1.5 one three"


def test_nothing_unprintable_leaves_the_house() -> None:
    assert Reply(550, None, ("é\r\nX\x1b",)).encode() == b"550 ???X?\r\n"
    assert Reply(550, None, ("é\r\nX\x1b",)).text == "550 é\\x0d\\x0aX\\x1b"
    assert len(Reply(550, None, ("x" * 2000,)).encode()) == 512


def test_a_reply_is_encoded_once_and_still_equal() -> None:
    reply = Reply(221, (2, 0, 0), GOODBYE.lines)
    assert reply.encode() is reply.encode()
    assert reply == GOODBYE
    assert hash(reply) == hash(GOODBYE)


def test_greeting_and_promise() -> None:
    assert greeting("mx.test").encode() == b"220 mx.test ESMTP Ekiden\r\n"
    assert accepted(EnvelopeId(1)).encode() == b"250 2.0.0 Accepted as 0000000000001\r\n"


def test_status_of_a_reply_without_enhanced_code() -> None:
    assert (NO_SUCH_MAILBOX.status, Reply(451, None, ("x",)).status) == ("5.1.1", "4.0.0")


def test_code_classes() -> None:
    assert (GOODBYE.is_positive, GOODBYE.is_temporary, GOODBYE.is_permanent) == (True, False, False)
    assert (NO_SUCH_MAILBOX.is_positive, NO_SUCH_MAILBOX.is_temporary, NO_SUCH_MAILBOX.is_permanent) == (False, False, True)
    assert Reply(451, None, ("x",)).is_temporary


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain é", "plain é"), ("a\x00b\x9b", "a\\x00b\\x9b"), ("a\u2028\u202eb", "a\\u2028\\u202eb")],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown

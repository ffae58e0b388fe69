"""Replies of remote hosts, broken and hostile ones too. Rows OU-03 to OU-06, OU-18."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.smtp.desk import CUTS, Cut

from ekiden.base.errors import ProtocolError
from ekiden.smtp.replies import Reply, catalogue
from ekiden.smtp.reply_reader import ReplyLimits, ReplyReader


def read(data: bytes, cut: Cut = CUTS[0]) -> list[Reply]:
    reader = ReplyReader()
    found = []
    for piece in cut(data):
        reader.receive(piece)
        while (reply := reader.next_reply()) is not None:
            found.append(reply)
    return found


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("wire", "replies"),
    [
        (b"250 OK\r\n", [Reply(250, None, ("OK",))]),
        (b"250\r\n", [Reply(250, None, ("",))]),  # RFC 5321 §4.2: the space may be missing
        (b"250-a\r\n250-b\r\n250 c\r\n221 d\r\n", [Reply(250, None, ("a", "b", "c")), Reply(221, None, ("d",))]),
        (b"550-5.1.1 no\r\n550 5.1.1 such\r\n", [Reply(550, (5, 1, 1), ("no", "such"))]),
        (b"550 5.1.1\r\n", [Reply(550, (5, 1, 1), ("",))]),
        (b"250 5.1.1 odd\r\n", [Reply(250, None, ("5.1.1 odd",))]),  # RFC 2034 §4: the classes must agree
        (b"550 5.1.1234 x\r\n", [Reply(550, None, ("5.1.1234 x",))]),
        (b"250 lf only\n", [Reply(250, None, ("lf only",))]),
        (b"550 5.1.1 <script>\x1b[2J\xff\r\n", [Reply(550, (5, 1, 1), ("<script>\\x1b[2J\\xff",))]),
        ("550 ö\r\n".encode(), [Reply(550, None, ("ö",))]),
    ],
)
def test_replies(wire: bytes, replies: list[Reply], cut: Cut) -> None:
    assert read(wire, cut) == replies


@pytest.mark.parametrize(
    "wire",
    [
        b"250-a\r\n550 b\r\n", b"2 OK\r\n", b"2500 x\r\n", b"abc\r\n", b"\r\n", b"\x00250 ok\r\n", b"150 x\r\n", b"650 x\r\n", b"250_x\r\n",
        b"x" * 4097, b"250 " + b"x" * 10_000_000, b"250-x\r\n" * 101, (b"250-" + b"x" * 1000 + b"\r\n") * 70,
    ],
)  # fmt: skip
def test_what_is_no_reply(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(wire)


def test_long_text_is_cut() -> None:
    assert read(b"250 " + b"x" * 4000 + b"\r\n")[0].lines == ("x" * 512,)


@given(st.binary(max_size=40))
def test_any_bytes_give_printable_replies_or_an_error(data: bytes) -> None:
    try:
        found = read(b"250 " + data + b"\r\n")
    except ProtocolError:
        return
    assert all(reply.text.isprintable() for reply in found)


def test_what_we_say_can_be_read() -> None:
    for _, reply in catalogue():
        assert read(reply.encode()) == [reply]


@pytest.mark.parametrize("raw", [b"250 123456789\r\n", b"250-1\r\n250-2\r\n250 3\r\n", b"250-12345\r\n250 12345\r\n250"])
def test_the_limits_of_a_reply_are_those_that_were_given(raw: bytes) -> None:
    reader = ReplyReader(ReplyLimits(line_bytes=12, lines=2, reply_bytes=18))
    reader.receive(raw)
    with pytest.raises(ProtocolError):
        reader.next_reply()

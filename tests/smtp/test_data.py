"""Content on the wire: where it ends, what it holds, in whatever pieces it comes."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.smtp.desk import CUTS, Cut

from ekiden.smtp.data import ContentReader, holds_bad_marks
from ekiden.smtp.replies import BARE_LINE_END, CONTENT_LINE_TOO_LONG, MESSAGE_TOO_BIG, NUL_IN_CONTENT, Reply

END = b"\r\n.\r\n"


def read(reader: ContentReader, data: bytes, cut: Cut) -> tuple[bytes, bytes]:
    """What came out, and what was left over after the end."""
    out, left = b"", b""
    for piece in cut(data):
        if reader.ended:
            left += piece
            continue
        at = reader.read(piece)
        out += reader.chunk
        left += piece[at:]
    return out, left


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b".\r\n", b""),  # SI-04, RFC 5321 §4.1.1.4
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n...\r\n.a\r\n.\r\n", b".\r\n..\r\na\r\n"),  # SI-05, RFC 5321 §4.5.2
        (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
        (b".a\r\n\r\n..b\r\n\r\n.\r\n", b"a\r\n\r\n.b\r\n\r\n"),
        (b"a." + b"b" * 2000 + b".\r\n.\r\n", b"a." + b"b" * 2000 + b".\r\n"),
    ],
)
def test_content_ends_at_the_dot_and_is_unstuffed(wire: bytes, content: bytes, cut: Cut) -> None:
    reader = ContentReader(10_000)
    assert read(reader, wire + b"QUIT\r\n", cut) == (content, b"QUIT\r\n")
    assert (reader.ended, reader.problem, reader.size, reader.lost) == (True, None, len(content), False)


NOT_THE_END = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n",
]  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("end", NOT_THE_END)
def test_no_other_sequence_ends_content(end: bytes, cut: Cut) -> None:
    """Row SI-01: SMTP smuggling; RFC 5321 §2.3.8."""
    reader = ContentReader(10_000)
    _, left = read(reader, b"S: x\r\n\r\nA" + end + b"MAIL FROM:<x@evil.test>\r\nDATA\r\nx" + END + b"NOOP\r\n", cut)
    assert (reader.problem, left) == (BARE_LINE_END, b"NOOP\r\n")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("end", [b"\r\n\x00.\r\n", b"\r\n.\x00\r\n"])
def test_a_nul_neither_ends_nor_passes(end: bytes, cut: Cut) -> None:
    """Row SI-02."""
    reader = ContentReader(10_000)
    _, left = read(reader, b"A" + end + b"DATA\r\nx" + END, cut)
    assert (reader.problem, left) == (NUL_IN_CONTENT, b"")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("size", "problem"), [(98, None), (99, MESSAGE_TOO_BIG)])
def test_the_limit_is_exact(size: int, problem: Reply | None, cut: Cut) -> None:
    """Row SI-32."""
    reader = ContentReader(100)
    assert read(reader, b"x" * size + END + b"N", cut)[1] == b"N"
    assert (reader.problem, reader.size) == (problem, size + 2)


def test_content_far_beyond_the_limit_is_given_up() -> None:
    """Row SI-33."""
    reader = ContentReader(100, excess_bytes=1000)
    taken = 0
    while not reader.ended:
        taken += reader.read(b"x" * 98 + b"\r\n")
        assert reader.chunk == b"" or taken <= 100
    assert (reader.lost, reader.problem, taken) == (True, MESSAGE_TOO_BIG, 1200)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("wire", "problem"),
    [
        (b"x" * 50 + b"\r\n" + b"y" * 50, None),
        (b"x" * 51, CONTENT_LINE_TOO_LONG),
        (b"a\r\n" + b"x" * 51 + b"\r\nb", CONTENT_LINE_TOO_LONG),
        (b"a\r\n" * 40 + b"x" * 50 + b"\r\n" + b"b\r\n" * 40 + b"z" * 50, None),
        (b"a\r\n" * 40 + b"z" * 51, CONTENT_LINE_TOO_LONG),
        (b"\r\n" * 60 + b"z" * 50, None),
    ],
)
def test_lines_up_to_their_limit(wire: bytes, problem: Reply | None, cut: Cut) -> None:
    reader = ContentReader(10_000, line_bytes=50)
    read(reader, wire + END, cut)
    assert reader.problem == problem


def test_a_line_without_end_needs_no_memory() -> None:
    """Row SI-14: 10 MiB without CRLF; the pieces come out or are dropped, none is kept."""
    reader = ContentReader(50_000_000, line_bytes=65_536)
    for _ in range(160):
        reader.read(b"A" * 65_536)
    reader.read(END)
    assert (reader.ended, reader.problem) == (True, CONTENT_LINE_TOO_LONG)


def test_time_is_linear_for_hostile_content() -> None:
    start = time.process_time()
    for unit in (b"\r\n..", b"\r", b"\r\n.\r", b".", b"\r\n"):
        reader = ContentReader(20_000_000, line_bytes=65_536)
        data = unit * (4_000_000 // len(unit))
        for at in range(0, len(data), 65_536):
            reader.read(data[at : at + 65_536])
    assert time.process_time() - start < 2


CONTENT = st.lists(st.sampled_from([b"\r\n", b".", b"a", b"\r\n.", b" ", b"..", b"\xff"]), max_size=30).map(b"".join)


@given(CONTENT, st.integers(0, 2**32))
def test_stuffed_content_comes_out_the_same_in_any_pieces(content: bytes, seed: int) -> None:
    lines = content.split(b"\r\n")
    wire = b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"
    chance = random.Random(seed)

    def cut(data: bytes) -> list[bytes]:
        marks = sorted(chance.sample(range(len(data)), chance.randint(0, min(4, len(data) - 1))))
        return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True)]

    reader = ContentReader(10_000)
    assert read(reader, wire, cut) == (content + b"\r\n", b"")
    assert reader.problem is None


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"\0"]), max_size=12).map(b"".join))
def test_bad_marks_are_all_that_is_left_without_crlf(piece: bytes) -> None:
    rest = piece.replace(b"\r\n", b"")
    assert holds_bad_marks(piece) == any(mark in rest for mark in (b"\r", b"\n", b"\0"))

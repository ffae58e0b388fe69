"""Bodies of multi-line responses, whole, byte by byte and cut at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.pop3.multiline import LineCounter, Stuffer


def whole(data: bytes) -> list[bytes]:
    return [data]


def by_byte(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


def at_random(data: bytes) -> list[bytes]:
    chance = random.Random(len(data))
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(5))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


CUTS = pytest.mark.parametrize("cut", [whole, by_byte, at_random])


def stuff(pieces: Iterable[bytes]) -> bytes:
    stuffer = Stuffer()
    return b"".join([*map(stuffer.feed, pieces), stuffer.end()])


@CUTS
@pytest.mark.parametrize(("stored", "sent"), [
    (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n.\r\n"),
    (b".\r\n", b"..\r\n.\r\n"),                                # RFC 1939 §3
    (b"a\r\n.\r\n..\r\n.b\r\n", b"a\r\n..\r\n...\r\n..b\r\n.\r\n"),
    (b"", b".\r\n"),
    (b"no end", b"no end\r\n.\r\n"),                           # PO-07
    (b"no end.", b"no end.\r\n.\r\n"),
    (b"half an end\r", b"half an end\r\n.\r\n"),
    (b"bare\nlf\n.dot\r\n", b"bare\r\nlf\r\n..dot\r\n.\r\n"),  # PO-07
    (b"\n.\n", b"\r\n..\r\n.\r\n"),
    (b"cr\rinside\r\n", b"cr\rinside\r\n.\r\n"),
    (b"\r\r\n.", b"\r\r\n..\r\n.\r\n"),
    (b"." * 7, b"." * 8 + b"\r\n.\r\n"),
])
def test_a_message_becomes_a_response(stored: bytes, sent: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    assert stuff(cut(stored)) == sent


@given(st.lists(st.sampled_from([b"a", b".", b"\r\n", b"..", b"\r\n.", b"text", b"\xff\x00"])), st.integers(0, 99))
def test_a_client_gets_back_what_was_stored(parts: list[bytes], seed: int) -> None:
    stored = b"".join(parts) + b"\r\n"
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(stored) + 1) for _ in range(4))
    sent = stuff(stored[a:b] for a, b in zip([0, *cuts], [*cuts, len(stored)], strict=True))
    assert sent.endswith(b"\r\n.\r\n")
    lines = sent[:-3].split(b"\r\n")
    assert b"." not in lines  # one end only
    assert b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines) == stored


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"."])), st.integers(0, 99))
def test_how_the_message_is_cut_does_not_matter(parts: list[bytes], seed: int) -> None:
    stored = b"".join(parts)
    cut = random.Random(seed).randrange(len(stored) + 1)
    assert stuff([stored]) == stuff([stored[:cut], stored[cut:]]) == stuff(by_byte(stored))


@CUTS
@pytest.mark.parametrize(("lines", "through"), [
    (0, b""), (1, b"one\r\n"), (2, b"one\r\ntwo\r\n"), (3, b"one\r\ntwo\r\nthree"), (10**9, b"one\r\ntwo\r\nthree"),
])
def test_the_first_lines_of_a_body(lines: int, through: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    counter = LineCounter(lines)
    assert b"".join(map(counter.feed, cut(b"one\r\ntwo\r\nthree"))) == through

"""Search keys become a tree; what nests too deep is refused."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.imap.grammar import Refusal
from ekiden.imap.search import (
    All,
    And,
    Arrived,
    BodyHas,
    HasFlag,
    HeaderHas,
    IsRecent,
    Larger,
    Not,
    Numbers,
    Or,
    SearchKey,
    Sent,
    TextHas,
    Uids,
    search_program,
)
from ekiden.imap.sequence import parse_sequence_set
from ekiden.imap.tokens import Incomplete, Reader

SEEN = HasFlag("\\Seen")
ONE = parse_sequence_set(b"1:3")


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"ALL", All()),
        (b"seen", SEEN),
        (b"UNSEEN", Not(SEEN)),
        (b"NEW", And((IsRecent(), Not(SEEN)))),
        (b"OLD", Not(IsRecent())),
        (b"1:3", Numbers(ONE)),
        (b"UID 1:3", Uids(ONE)),
        (b"SEEN 1:3", And((SEEN, Numbers(ONE)))),
        (b"(SEEN (1:3))", And((SEEN, Numbers(ONE)))),
        (b"OR SEEN NOT ALL", Or(SEEN, Not(All()))),
        (b"FROM joe", HeaderHas("from", "joe")),
        (b'HEADER "X-Spam" ""', HeaderHas("x-spam", "")),
        (b"CHARSET utf-8 SUBJECT {6}\r\n", HeaderHas("subject", "会議")),
        (b'BODY "%_\'--\\\\"', BodyHas("%_'--\\")),  # IM-09
        (b'TEXT "(a+)+$"', TextHas("(a+)+$")),  # IM-09
        (b"ON 1-Feb-1994", Arrived(date(1994, 2, 1), date(1994, 2, 2))),
        (b"SINCE 1-Feb-1994", Arrived(date(1994, 2, 1), None)),
        (b"SENTBEFORE 1-Feb-1994", Sent(None, date(1994, 2, 1))),
        (b"SENTON 31-Dec-9999", Sent(date(9999, 12, 31), None)),
        (b"LARGER 100", Larger(100)),
        (b"UNKEYWORD nil", Not(HasFlag("nil"))),
    ],
)
def test_keys_become_a_tree(raw: bytes, key: SearchKey) -> None:
    reader = Reader(raw, ["会議".encode()])
    assert search_program(reader) == key
    reader.end()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"FOO",
        b"()",
        b"(SEEN",
        b"OR SEEN",
        b"NOT",
        b"LARGER -1",
        b"KEYWORD \\Seen",
        b'TEXT "\xff"',
        b"NOT " * 10_000 + b"ALL",  # IM-08
        b"OR " * 10_000 + b"ALL" + b" ALL" * 10_000,  # IM-08
        b"(" * 10_000,  # IM-04
        b"SENTON 1-Feb-19940",
    ],
)
def test_bad_keys_are_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        _read_all(raw)


def _read_all(raw: bytes) -> None:
    reader = Reader(raw)
    search_program(reader)
    reader.end()


def test_an_unknown_charset_is_refused_by_name() -> None:  # IM-08
    with pytest.raises(Refusal) as caught:
        search_program(Reader(b"CHARSET X ALL"))
    assert caught.value.code.startswith(b"BADCHARSET")


@given(st.lists(st.sampled_from([b"OR", b"NOT", b"(", b")", b" ", b" ", b"ALL", b"1", b"FROM", b'"a"', b"{1}\r\n", b"x"]), max_size=20))
def test_no_words_raise_anything_else(words: list[bytes]) -> None:
    try:
        search_program(Reader(b"".join(words)))
    except (BadValue, Refusal, Incomplete):
        pass

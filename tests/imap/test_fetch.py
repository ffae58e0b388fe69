"""Items of FETCH."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.imap.fetch import Attribute, BodyItem, FetchItem, Section, Text, choose_fields, fetch_items, sets_seen
from ekiden.imap.tokens import Incomplete, Reader


@pytest.mark.parametrize(
    ("raw", "items"),
    [
        (b"fast", (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE)),
        (b"FULL", (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE, Attribute.BODY)),
        (b"UID", (Attribute.UID,)),
        (b"(UID rfc822.size uid)", (Attribute.UID, Attribute.SIZE)),
        (b"BODY", (Attribute.BODY,)),
        (b"BODY[]", (BodyItem(Section(), b"BODY[]"),)),
        (b"body.peek[]<0.10>", (BodyItem(Section(), b"BODY[]", True, (0, 10)),)),
        (b"BODY[1.2.mime]", (BodyItem(Section((1, 2), Text.MIME), b"BODY[1.2.MIME]"),)),
        (b"BODY[3]", (BodyItem(Section((3,)), b"BODY[3]"),)),
        (b"BODY[header]", (BodyItem(Section((), Text.HEADER), b"BODY[HEADER]"),)),
        (
            b'BODY[1.HEADER.FIELDS.NOT (To "x y")]',
            (BodyItem(Section((1,), Text.FIELDS_NOT, (b"To", b"x y")), b'BODY[1.HEADER.FIELDS.NOT (To "x y")]'),),
        ),
        (b"RFC822.HEADER", (BodyItem(Section((), Text.HEADER), b"RFC822.HEADER", True),)),
    ],
)
def test_items_are_read(raw: bytes, items: tuple[FetchItem, ...]) -> None:
    reader = Reader(raw)
    assert fetch_items(reader) == items
    reader.end()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"()",
        b"(ALL)",
        b"FOO",
        b"BODY[",
        b"BODY[0]",
        b"BODY[MIME]",
        b"BODY[1.]",
        b"BODY[1..2]",
        b"BODY[FOO]",
        b"BODY[HEADER.FIELDS]",
        b"BODY[HEADER.FIELDS ()]",
        b'BODY[HEADER.FIELDS ("")]',
        b'BODY[HEADER.FIELDS ("\xe3\x81\x82")]',
        b"BODY[]<0>",
        b"BODY[]<0.0>",
        b"BODY[]<4294967296.1>",
        b"BODY[" + b".".join([b"1"] * 1000) + b"]",  # IM-21
        b"BODY[HEADER.FIELDS (" + b" ".join([b"a"] * 10_000) + b")]",  # IM-21
        b"FLAGS[]",
        b"RFC822[]",
        b"BODY.PEEK",
    ],
)
def test_bad_items_are_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        _read_all(raw)


@pytest.mark.parametrize(
    ("partial", "cut"), [(None, (5, 10)), ((0, 3), (5, 8)), ((3, 100), (8, 10)), ((4294967295, 10), (10, 10)), ((5, 1), (10, 10))]
)
def test_a_partial_is_cut_to_what_is_there(partial: tuple[int, int] | None, cut: tuple[int, int]) -> None:
    assert BodyItem(Section(), b"BODY[]", partial=partial).slice(5, 10) == cut


def test_the_response_names_the_first_byte() -> None:
    assert BodyItem(Section(), b"BODY[]", partial=(3, 9)).label() == b"BODY[]<3>"


def _read_all(raw: bytes) -> None:
    reader = Reader(raw)
    fetch_items(reader)
    reader.end()


HEADER = b"From: a\r\nTo: b,\r\n c\r\nSUBJECT : x\r\nto: d\r\n\r\n"


def test_fields_are_chosen_untouched() -> None:
    assert choose_fields(HEADER, [b"TO", b"none"]) == b"To: b,\r\n c\r\nto: d\r\n\r\n"
    assert choose_fields(HEADER, [b"to", b"from"], others=True) == b"SUBJECT : x\r\n\r\n"
    assert choose_fields(HEADER, [b"x"]) == b"\r\n"


def test_only_a_peek_leaves_seen_alone() -> None:
    assert sets_seen(fetch_items(Reader(b"(FLAGS BODY[])")))
    assert not sets_seen(fetch_items(Reader(b"(FLAGS BODY.PEEK[] RFC822.HEADER BODY)")))


@given(st.lists(st.sampled_from([b"BODY", b"[", b"]", b"1", b".", b"HEADER", b"HEADER.FIELDS", b" ", b"(", b")", b"<0.1>", b"{1}\r\n"])))
def test_no_words_raise_anything_else(words: list[bytes]) -> None:
    try:
        fetch_items(Reader(b"".join(words)))
    except (BadValue, Incomplete):
        pass

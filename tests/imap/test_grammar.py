"""Argument pieces."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from ekiden.base.errors import BadValue
from ekiden.imap.grammar import Refusal, date_time, day, flag_list, flags, fold_inbox, mailbox
from ekiden.imap.tokens import Reader


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"inbox", "INBOX"),
        (b"iNbOx/a", "INBOX/a"),
        (b"inboxes", "inboxes"),
        (b'"a b"', "a b"),
        (b"&AOk-", "é"),
        (b"e&AwE-", "é"),  # IM-13: form D is form C
        (b"&g0I-", "荂"),
    ],
)
def test_mailbox_names_are_read(raw: bytes, name: str) -> None:
    assert mailbox(Reader(raw)) == name


def test_greek_capitals_are_not_inbox() -> None:  # IM-13
    assert fold_inbox("INBΟX") == "INBΟX"
    assert fold_inbox("ınbox") == "ınbox"


@pytest.mark.parametrize("raw", [b"&AGE-", b'"caf\xc3\xa9"', b"&"])
def test_a_name_that_cannot_exist_is_refused_and_not_bad(raw: bytes) -> None:  # IM-12
    with pytest.raises(Refusal) as caught:
        mailbox(Reader(raw))
    assert caught.value.code == b"CANNOT"


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"()", ()),
        (b"(\\seen \\DELETED)", ("\\Seen", "\\Deleted")),
        (b"(a A $Forwarded a)", ("a", "A", "$Forwarded")),
        (b"(NIL)", ("NIL",)),
    ],
)
def test_flag_lists_are_read(raw: bytes, found: tuple[str, ...]) -> None:
    assert flag_list(Reader(raw)) == found


def test_flags_of_store_need_no_parentheses() -> None:
    assert flags(Reader(b"\\Seen x")) == ("\\Seen", "x")
    assert flags(Reader(b"(\\Seen x)")) == ("\\Seen", "x")


@pytest.mark.parametrize("raw", [b"\\Recent", b"\\Unknown", b"x" * 1024])
def test_flags_that_nobody_may_set_are_refused(raw: bytes) -> None:  # IM-15
    with pytest.raises(Refusal):
        flags(Reader(raw))


@pytest.mark.parametrize(
    ("raw", "found"),
    [(b"1-Feb-1994", date(1994, 2, 1)), (b'"01-feb-1994"', date(1994, 2, 1)), (b"29-Feb-2000", date(2000, 2, 29))],
)
def test_days_are_read(raw: bytes, found: date) -> None:
    assert day(Reader(raw)) == found


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b'" 1-Jan-1970 00:00:10 +0000"', 10),
        (b'"01-Jan-1970 09:00:10 +0900"', 10),
        (b'"31-Dec-1969 23:00:00 -0100"', 0),
        (b'"31-Dec-1960 23:00:00 -0100"', 0),
        (b'"15-Feb-2007 01:02:03 +0200"', 1171494123),
        (b'"31-Dec-9999 23:59:60 +0000"', 253402300799),
    ],
)
def test_moments_are_read(raw: bytes, seconds: int) -> None:
    assert date_time(Reader(raw)) == seconds * 1000


@pytest.mark.parametrize(
    ("piece", "raw"),
    [
        (day, b"30-Feb-2001"),
        (day, b"1-Foo-2001"),
        (day, b'"1-Feb-2001'),
        (day, b"1-Feb-01"),
        (day, b"1-Feb-0000"),
        (date_time, b'"1-Jan-1970 00:00:10 +0000"'),
        (date_time, b'" 1-Jan-1970 24:00:10 +0000"'),
        (date_time, b'" 1-Jan-1970 00:00:10 GMT"'),
        (date_time, b'" 0-Jan-1970 00:00:10 +0000"'),
        (date_time, b'"\xd9\xa3\xd9\xa3-Jan-1970 00:00:10 +0000"'),
    ],
)
def test_what_is_no_date_is_refused(piece: Callable[[Reader], object], raw: bytes) -> None:
    with pytest.raises(BadValue):
        piece(Reader(raw))

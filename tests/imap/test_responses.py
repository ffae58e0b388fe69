"""Responses: whole lines that no text can break."""

from __future__ import annotations

import pytest

from ekiden.base.clock import Millis
from ekiden.imap import responses
from ekiden.imap.responses import Kind


def test_status_responses() -> None:
    assert responses.status_response(b"a", Kind.OK, "done") == b"a OK done\r\n"
    assert responses.status_response(b"*", Kind.NO, "no\r\nb OK é", b"TRYCREATE") == b"* NO [TRYCREATE] no?b OK ?\r\n"
    assert responses.status_response(b"a", Kind.BAD, "") == b"a BAD -\r\n"


@pytest.mark.parametrize(
    ("when", "wire"),
    [
        (0, b'" 1-Jan-1970 00:00:00 +0000"'),
        (1171494123999, b'"14-Feb-2007 23:02:03 +0000"'),
        (-5, b'" 1-Jan-1970 00:00:00 +0000"'),
        (2**62, b'"31-Dec-9999 23:59:59 +0000"'),
    ],
)
def test_internal_dates(when: int, wire: bytes) -> None:
    assert responses.internal_date(Millis(when)) == wire


def test_mailbox_data() -> None:
    assert responses.list_line(b"LIST", [b"\\Noselect"], "/", 'a"é') == b'* LIST (\\Noselect) "/" "a\\"&AOk-"\r\n'
    assert responses.list_line(b"LSUB", [], "/", "INBOX") == b'* LSUB () "/" INBOX\r\n'
    assert responses.status_line("a b", {b"MESSAGES": 3, b"UNSEEN": 0}) == b'* STATUS "a b" (MESSAGES 3 UNSEEN 0)\r\n'
    assert responses.flags_line(["\\Seen", "x"]) == b"* FLAGS (\\Seen x)\r\n"
    assert responses.search_line([]) == b"* SEARCH\r\n"
    assert responses.search_line([1, 5]) == b"* SEARCH 1 5\r\n"
    assert responses.capability([b"IMAP4rev1", b"IDLE"]) == b"* CAPABILITY IMAP4rev1 IDLE\r\n"


def test_expunges_count_down_so_that_numbers_stay_true() -> None:
    assert responses.expunges([2, 5]) == b"* 5 EXPUNGE\r\n* 2 EXPUNGE\r\n"


def test_message_data() -> None:
    assert responses.fetch_line(3, [b"UID 9", b"FLAGS ()"]) == b"* 3 FETCH (UID 9 FLAGS ())\r\n"
    assert responses.exists(4) == b"* 4 EXISTS\r\n"
    assert responses.recent(0) == b"* 0 RECENT\r\n"
    assert responses.uid_pairs_code(b"COPYUID", 7, [(1, 4), (2, 5), (9, 6)]) == b"COPYUID 7 1:2,9 4:6"


def test_id() -> None:
    assert responses.id_line(None) == b"* ID NIL\r\n"
    assert responses.id_line({b"name": b"Ekiden", b"os": None}) == b'* ID ("name" "Ekiden" "os" NIL)\r\n'

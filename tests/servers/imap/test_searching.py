"""Search keys against real messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.servers.imap.doors import Doors
from tests.servers.imap.talking import Talk

from ekiden.servers.imap.searching import fold

Connect = Callable[..., Talk]

# 1: plain; 2: Japanese in words, parts and ISO-2022-JP; 3: base64 and a message inside; 4: odd; 5: no header at all.
MESSAGES = [
    (
        b"(\\Seen word)",
        b"1-Feb-2020 23:59:59 +0000",
        b"From: Ann Example <ann@x.test>\r\nTo: Bob <bob@y.test>\r\nCc: c@z.test\r\nBcc: d@z.test\r\nSubject: The plan\r\n"
        b"Date: Sat, 1 Feb 2020 23:30:00 -0500\r\nMessage-ID: <one@x.test>\r\nX-Empty:\r\n\r\nalpha (a+)+$ 100%_\r\n",
    ),
    (
        b"(\\Flagged)",
        b"2-Feb-2020 00:00:00 +0000",
        b"From: =?ISO-2022-JP?B?GyRCOzNFRBsoQg==?= <yamada@x.test>\r\nSubject: =?UTF-8?B?5Lya6K2w?= =?UTF-8?B?44Gu5Lu2?=\r\n"
        b"Date: Sun, 2 Feb 2020 08:00:00 +0900\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\r\n"
        + "こんにちは、ＡＢＣ".encode("iso-2022-jp")
        + b"\r\n",
    ),
    (
        b"()",
        b"3-Feb-2020 00:00:00 +0000",
        b"Subject: parts\r\nDate: Mon, 3 Feb 2020 00:00:00 GMT\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        b"--x\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nz=C3=BCrich is l=\r\nong\r\n"
        b"--x\r\nContent-Type: application/pdf; name=report.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nc2VjcmV0\r\n"
        b"--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: innermost\r\n\r\ninside\r\n--x--\r\n",
    ),
    (b"(\\Deleted \\Answered)", b"4-Feb-2020 00:00:00 +0000", b"Subject: %_'--\\\" STRASSE\r\n\r\n" + b"x" * 2000),
    (b"(\\Draft WORD2)", b"5-Feb-2020 00:00:00 +0000", b"\r\nnothing above\r\n"),
]


@pytest.fixture(scope="module")
def talk(doors: Doors) -> Iterator[Talk]:
    """One account with these messages, opened for reading by a session that has seen none of them as recent."""
    from ekiden.sasl.passwords import Passwords
    from ekiden.store import accounts

    stored = Passwords(memory_kib=64, passes=1).hash(b"secret")
    house = doors.house
    doors.run(
        house.database.write(lambda tx: accounts.create_account(tx, "searcher", ["searcher@example.test"], stored, house.clock.now()))
    )
    with ExitStack() as stack:
        first = stack.enter_context(Talk(doors.clear, "searcher"))
        for flags, date, content in MESSAGES:
            assert first.append(content, extra=f'{flags.decode()} "{date.decode():>26}" ').status == "OK"
        first.ask("SELECT INBOX")
        yield stack.enter_context(Talk(doors.clear, "searcher", mailbox="INBOX"))


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        ("ALL", [1, 2, 3, 4, 5]),
        ("SEEN", [1]),
        ("UNSEEN FLAGGED", [2]),
        ("ANSWERED DELETED", [4]),
        ("DRAFT", [5]),
        ("KEYWORD WORD", [1]),
        ("KEYWORD word2", [5]),
        ("UNKEYWORD word", [2, 3, 4, 5]),
        ("NEW", []),
        ("OLD", [1, 2, 3, 4, 5]),
        ("NOT 2:4", [1, 5]),
        ("OR 1 UID 5", [1, 5]),
        ("(OR SEEN FLAGGED) NOT KEYWORD word", [2]),
        # dates of arrival, in UTC
        ("BEFORE 2-Feb-2020", [1]),
        ("ON 2-Feb-2020", [2]),
        ("SINCE 4-Feb-2020", [4, 5]),
        # dates of sending, in the sender's zone (RFC 3501 §6.4.4)
        ("SENTON 1-Feb-2020", [1]),
        ("SENTON 2-Feb-2020", [2]),
        ("SENTBEFORE 3-Feb-2020", [1, 2]),
        ("SENTSINCE 2-Feb-2020", [2, 3]),
        ("NOT SENTSINCE 1-Jan-1990", [4, 5]),
        # sizes
        ("LARGER 1000", [4]),
        ("SMALLER 20", [5]),
        # header
        ("FROM ann", [1]),
        ("FROM 山田", [2]),
        ("TO BOB", [1]),
        ("CC z.test", [1]),
        ("BCC z.test", [1]),
        ("SUBJECT PLAN", [1]),
        ("SUBJECT 会議の件", [2]),
        ('SUBJECT "%_\'--\\\\\\""', [4]),  # IM-09
        ("SUBJECT strasse", [4]),
        ('SUBJECT "%"', [4]),
        ('SUBJECT ""', [1, 2, 3, 4]),
        ("HEADER message-id one@x", [1]),
        ('HEADER X-Empty ""', [1]),
        ("HEADER X-None x", []),
        # text
        ("BODY alpha", [1]),
        ('BODY "(a+)+$"', [1]),  # IM-09
        ("BODY こんにちは", [2]),
        ("BODY abc", [2]),
        ("BODY ZÜRICH", [3]),
        ("BODY long", [3]),
        ("BODY report.pdf", [3]),
        ("BODY innermost", [3]),
        ("BODY inside", [3]),
        ("BODY plan", []),
        ("TEXT plan", [1]),
        ("TEXT above", [5]),
        ("NOT TEXT alpha TEXT x", [2, 3, 4]),
        ("OR TEXT alpha TEXT above", [1, 5]),
    ],
)
def test_keys(talk: Talk, key: str, numbers: list[int]) -> None:
    words = [f'"{word}"' if not word.isascii() else word for word in key.split(" ")]
    answer = talk.ask("SEARCH CHARSET UTF-8 " + " ".join(words))
    assert (answer.status, answer.found) == ("OK", numbers)


def test_texts_are_compared_without_case_and_width() -> None:
    assert fold("ＡＢＣ") == fold("abc")
    assert fold("Straße") == fold("STRASSE")
    assert fold("ｶﾞ") == fold("ガ")

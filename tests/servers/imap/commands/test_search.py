"""SEARCH."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def _talk(connect: Connect) -> Talk:
    talk = connect("INBOX")
    talk.append(b"Subject: one\r\nFrom: Ann <ann@x.test>\r\n\r\nalpha\r\n", extra='(\\Seen) " 1-Feb-2020 00:00:00 +0000" ')
    talk.append("Subject: 会議\r\n\r\nベータ\r\n".encode())
    return talk


def test_numbers_and_uids(connect: Connect) -> None:
    talk = _talk(connect)
    talk.append(b"\r\n")
    talk.ask("STORE 1 +FLAGS (\\Deleted)")
    talk.ask("EXPUNGE")
    assert talk.ask("SEARCH ALL").found == [1, 2]
    assert talk.ask("UID SEARCH ALL").found == [2, 3]
    assert talk.ask("UID SEARCH UID 2").found == [2]
    assert talk.ask("SEARCH UID 2").found == [1]


def test_texts_in_a_charset(connect: Connect) -> None:
    talk = _talk(connect)
    wanted = "会議".encode()
    assert talk.ask(b"SEARCH CHARSET UTF-8 SUBJECT {%d+}\r\n%b" % (len(wanted), wanted)).found == [2]
    assert talk.ask(b'SEARCH SUBJECT "%b"' % wanted).found == [2]
    answer = talk.ask("SEARCH CHARSET KOI8-R SUBJECT x")
    assert answer.status == "NO"
    assert answer.code == "BADCHARSET (US-ASCII UTF-8)"


def test_bad_searches_are_refused(connect: Connect) -> None:  # IM-08
    talk = _talk(connect)
    for words in ("", "FOO", "SUBJECT", "NOT " * 10_000 + "ALL", "3", "LARGER x"):
        assert talk.ask(f"SEARCH {words}").status == "BAD"
    assert talk.ask("SEARCH 1:*").found == [1, 2]

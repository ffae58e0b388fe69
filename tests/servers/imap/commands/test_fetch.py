"""FETCH."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.servers.imap.doors import Doors
from tests.servers.imap.talking import Talk

from ekiden.store import journeys

Connect = Callable[..., Talk]

PLAIN = b"From: Ann <a@b.test>\r\nTo: c@d.test\r\nSubject: hello\r\nMessage-ID: <m@b.test>\r\n\r\nline one\r\nline two\r\n"
NESTED = (
    b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\nfirst\r\n"
    b"--x\r\nContent-Type: text/html\r\nX-One: 1\r\n\r\n<p>hi\r\n"
    b"--x\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\npart A\r\n--y\r\n\r\npart B\r\n--y--\r\n"
    b"--x--\r\nlast\r\n"
)


def _sections(talk: Talk, number: int, *sections: str) -> list[object]:
    names = " ".join(f"BODY.PEEK[{section}]" for section in sections)
    found = talk.ask(f"FETCH {number} ({names})").fetched[number]
    return [found[f"BODY[{section}]".encode()] for section in sections]


def test_sections_of_a_plain_message(connect: Connect) -> None:
    talk = connect("INBOX")
    talk.append(PLAIN)
    header, body = PLAIN[: PLAIN.index(b"line one")], b"line one\r\nline two\r\n"
    assert _sections(talk, 1, "", "HEADER", "TEXT", "1", "1.MIME", "2", "1.1") == [PLAIN, header, body, body, header, None, None]
    assert _sections(talk, 1, "HEADER.FIELDS (SUBJECT X)", "HEADER.FIELDS.NOT (from to message-id)") == [
        b"Subject: hello\r\n\r\n",
        b"Subject: hello\r\n\r\n",
    ]


def test_sections_of_a_message_with_parts(connect: Connect) -> None:  # RFC 3501 §6.4.5
    talk = connect("INBOX")
    talk.append(NESTED)
    inner = NESTED[NESTED.index(b"Subject: inner") : NESTED.index(b"\r\n--x--")]
    assert _sections(talk, 1, "1", "1.MIME", "2", "2.HEADER", "2.TEXT", "2.1", "2.2", "2.1.MIME", "2.3", "3") == [
        b"<p>hi",
        b"Content-Type: text/html\r\nX-One: 1\r\n\r\n",
        inner,
        inner[: inner.index(b"--y")],
        inner[inner.index(b"--y") :],
        b"part A",
        b"part B",
        b"\r\n",
        None,
        None,
    ]
    assert _sections(talk, 1, "2.HEADER.FIELDS (subject)", "1.HEADER") == [b"Subject: inner\r\n\r\n", b""]


def test_structure_and_envelope_come_ready(connect: Connect) -> None:
    talk = connect("INBOX")
    talk.append(NESTED)
    full = talk.ask("FETCH 1 FULL").fetched[1]
    assert set(full) == {b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY"}
    found = talk.ask("FETCH 1 (BODY BODYSTRUCTURE)").fetched[1]
    body, structure = found[b"BODY"], found[b"BODYSTRUCTURE"]
    assert isinstance(body, list)
    assert isinstance(structure, list)
    assert body[2] == b"MIXED"
    assert structure[2:] == [b"MIXED", [b"boundary", b"x"], None, None, None]


@pytest.mark.parametrize(
    ("partial", "content"),
    [("<0.4>", PLAIN[:4]), ("<10.5>", PLAIN[10:15]), ("<100.1000>", PLAIN[100:]), ("<4294967295.10>", b"")],  # IM-21
)
def test_partials(connect: Connect, partial: str, content: bytes) -> None:
    talk = connect("INBOX")
    talk.append(PLAIN)
    found = talk.ask(f"FETCH 1 BODY.PEEK[]{partial}").fetched[1]
    assert found == {b"BODY[]" + partial[: partial.index(".")].encode() + b">": content}


def test_a_body_that_is_read_is_seen(connect: Connect) -> None:
    talk, other = connect("INBOX"), connect("INBOX")
    talk.append(PLAIN)
    assert b"FLAGS" not in talk.ask("FETCH 1 BODY.PEEK[]").fetched[1]
    assert talk.ask("FETCH 1 BODY[]").fetched[1][b"FLAGS"] == [b"\\Recent", b"\\Seen"]
    assert b"FLAGS" not in talk.ask("FETCH 1 BODY[]").fetched[1]
    assert talk.ask("NOOP").lines == []  # it has been told
    other.ask("NOOP")
    assert other.ask("FETCH 1 FLAGS").fetched[1][b"FLAGS"] == [b"\\Recent", b"\\Seen"]


def test_examine_leaves_seen_alone(connect: Connect) -> None:
    talk = connect()
    talk.append(PLAIN)
    talk.ask("EXAMINE INBOX")
    assert b"FLAGS" not in talk.ask("FETCH 1 (BODY[] RFC822.TEXT)").fetched[1]
    assert b"\\Seen" not in talk.ask("FETCH 1 FLAGS").fetched[1][b"FLAGS"]  # type: ignore[operator]


def test_rfc822_items(connect: Connect) -> None:
    talk = connect("INBOX")
    talk.append(PLAIN)
    found = talk.ask("FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT)").fetched[1]
    assert found[b"RFC822"] == PLAIN
    assert found[b"RFC822.HEADER"] == PLAIN[: PLAIN.index(b"line one")]
    assert found[b"RFC822.TEXT"] == b"line one\r\nline two\r\n"


def test_uid_fetch_tells_the_uid_and_ignores_what_is_not_there(connect: Connect) -> None:  # IM-07
    talk = connect("INBOX")
    for _ in range(3):
        talk.append(PLAIN)
    talk.ask("STORE 1 +FLAGS.SILENT (\\Deleted)")
    talk.ask("EXPUNGE")
    assert {number: found[b"UID"] for number, found in talk.ask("UID FETCH 1:4294967295 FLAGS").fetched.items()} == {1: 2, 2: 3}
    assert talk.ask("UID FETCH 100 FLAGS").status == "OK"
    assert list(talk.ask("UID FETCH 100:* UID").fetched) == [2]
    assert talk.ask("FETCH 3 FLAGS").status == "BAD"
    assert talk.ask("FETCH 0 FLAGS").status == "BAD"


def test_what_another_session_expunged_is_gone_but_its_number_stays(connect: Connect) -> None:  # RFC 5530 §3
    one, two = connect("INBOX"), connect()
    for number in range(3):
        one.append(b"Subject: %d\r\n\r\n" % number)
    two.ask("SELECT INBOX")
    two.ask("STORE 2 +FLAGS.SILENT (\\Deleted)")
    two.ask("EXPUNGE")
    answer = one.ask("FETCH 1:3 BODY.PEEK[]")
    assert (answer.status, answer.code) == ("NO", "EXPUNGEISSUED")
    assert answer.fetched[3][b"BODY[]"] == b"Subject: 2\r\n\r\n"
    assert not any(name == "EXPUNGE" for name, _ in answer.numbers)
    assert one.ask("NOOP").numbers == [("EXPUNGE", 2)]
    assert one.ask("FETCH 2 BODY.PEEK[]").fetched[2][b"BODY[]"] == b"Subject: 2\r\n\r\n"


def test_header_names_that_need_quoting_come_back_whole(connect: Connect) -> None:  # IM-27
    talk = connect("INBOX")
    talk.append(b'Subject: "quoted\\"\xff\0\rx\r\nFrom: "a\\"b" <x@y>\r\nContent-Type: text/plain; name="a\\"b\xe3\x81\x82"\r\n\r\n')
    answer = talk.ask('FETCH 1 (ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS ("a b" {3+}\r\nx"y)])')
    assert answer.status == "OK"
    assert all(b"\xff" not in line and b"\xe3" not in line for line in answer.lines)


def test_the_first_reading_of_a_body_is_a_step_of_its_journey(doors: Doors, connect: Connect) -> None:
    talk = connect("INBOX")
    talk.append(PLAIN.replace(b"m@b.test", b"once@b.test"))
    talk.ask('ID ("name" "Tester" "version" "1")')
    talk.ask("FETCH 1 BODY.PEEK[HEADER]")
    talk.ask("FETCH 1 BODY.PEEK[]")
    talk.ask("FETCH 1 BODY.PEEK[]")
    talk.ask("STORE 1 +FLAGS (\\Flagged)")  # the step is written with the next transaction

    def steps(tx: object) -> list[object]:
        return [step for id in journeys.find(tx, "once@b.test") for step in journeys.steps_of(tx, id)]  # type: ignore[arg-type]

    fetched = [step for step in doors.run(doors.house.database.read(steps)) if type(step).__name__ == "Fetched"]
    assert [(step.protocol, step.client) for step in fetched] == [("IMAP", "Tester 1")]  # type: ignore[attr-defined]

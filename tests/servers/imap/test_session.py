"""A session as a whole: a foreign client, many sessions at once, and what goes wrong."""

from __future__ import annotations

import imaplib
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.servers.imap.doors import Doors
from tests.servers.imap.talking import Answer, Talk

from ekiden.base.ids import AccountId
from ekiden.servers.imap.session import Seats

Connect = Callable[..., Talk]


def test_seats_are_counted_by_account_and_network() -> None:
    seats = Seats(limit=1)
    assert seats.take(AccountId(1), "a")
    assert not seats.take(AccountId(1), "a")
    assert seats.take(AccountId(1), "b")
    seats.leave(AccountId(1), "a")
    assert seats.take(AccountId(1), "a")


def test_python_s_client_can_do_all_it_knows(doors: Doors, user: str) -> None:
    def ok(answer: tuple[str, Any]) -> Any:
        assert answer[0] == "OK", answer
        return answer[1]

    with imaplib.IMAP4("127.0.0.1", doors.clear, timeout=20) as client:
        ok(client.authenticate("PLAIN", lambda _: b"\0%b\0secret" % user.encode()))
        ok(client.noop())
        ok(client.namespace())
        ok(client.create("a/b"))
        ok(client.rename("a/b", "c"))
        ok(client.subscribe("c"))
        assert b"c" in ok(client.lsub())[-1]
        ok(client.unsubscribe("c"))
        ok(client.append("c", "(\\Flagged)", imaplib.Time2Internaldate(1_700_000_000), b"Subject: x\r\n\r\nbody\r\n"))
        ok(client.status("c", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)"))
        ok(client.select("c"))
        ok(client.check())
        assert ok(client.search(None, "FLAGGED"))[0] == b"1"
        setattr(client, "literal", "会議".encode())  # noqa: B010  (typed as str, sent as bytes)
        assert ok(client.search("UTF-8", "SUBJECT"))[0] == b""
        (_, content), _ = ok(client.fetch("1", "(FLAGS BODY[TEXT])"))
        assert content == b"body\r\n"
        assert b"\\Seen" in ok(client.fetch("1", "(FLAGS)"))[0]
        ok(client.store("1", "+FLAGS", "(\\Answered)"))
        ok(client.copy("1", "INBOX"))
        ok(client.uid("COPY", "1", "INBOX"))
        ok(client.uid("SEARCH", "ALL"))
        ok(client.uid("STORE", "1", "-FLAGS", "(\\Answered)"))
        assert b"UID 1" in ok(client.uid("FETCH", "1", "(FLAGS)"))[0]
        ok(client.uid("MOVE", "1", "INBOX"))
        ok(client.select("INBOX"))
        ok(client.store("1:2", "+FLAGS", "(\\Deleted)"))
        assert ok(client.expunge()) == [b"2", b"1"]
        assert client.recent()[0] == "OK"
        ok(client.close())
        ok(client.select("INBOX", readonly=True))
        ok(client.unselect())
        ok(client.delete("c"))
        assert b"INBOX" in ok(client.list())[0]


def test_a_client_that_does_not_read_is_not_served_without_end(doors: Doors, user: str, connect: Connect) -> None:  # IM-19
    connect().append(b"\r\n" + b"x" * 200_000)
    with socket.create_connection(("127.0.0.1", doors.clear), 20) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.sendall(b"a LOGIN %b secret\r\nb SELECT INBOX\r\n" % user.encode())
        sock.sendall(b"".join(b"c%d FETCH 1 BODY.PEEK[]\r\n" % number for number in range(300)))
        sock.shutdown(socket.SHUT_WR)
        total = 0
        while data := sock.recv(1 << 20):
            total += len(data)
    # All of it comes, or nothing after the end of stream: but never more than was asked for, and the door lives on.
    assert total < 300 * 200_200
    assert connect().ask("NOOP").status == "OK"


def test_pipelined_commands_are_all_answered_in_order(connect: Connect) -> None:
    talk = connect("INBOX")
    talk.send(b"".join(b"p%d NOOP\r\n" % number for number in range(3000)))
    assert all(talk.line() == b"p%d OK Done\r\n" % number for number in range(3000))


def _blobs(doors: Doors) -> list[Path]:
    return [path for path in (Path(doors.house.config.data_dir) / "blobs").rglob("*") if path.is_file()]


def test_a_message_that_breaks_off_ends_the_connection(doors: Doors, connect: Connect) -> None:
    talk = connect("INBOX")
    talk.append(b"Subject: in a file\r\n\r\n" + b"x" * 30_000_000)
    talk.send(b"a FETCH 1 BODY.PEEK[]\r\n")
    assert talk._file.readline().startswith(b"* 1 FETCH ")  # the rest waits until it is read
    for path in _blobs(doors):
        os.truncate(path, 1000)
    assert b"a OK" not in talk.rest()
    assert connect("INBOX").ask("FETCH 1 FLAGS").status == "OK"


def test_a_message_whose_file_is_gone_is_refused_and_the_others_come(doors: Doors, connect: Connect) -> None:
    talk = connect("INBOX")
    talk.append(b"Subject: in a file\r\n\r\n" + b"x" * 700_000)
    talk.append(b"Subject: in a row\r\n\r\nwhole")
    for path in _blobs(doors):
        path.unlink()
    for command in ("FETCH 1:2 BODY.PEEK[]", "UID FETCH 1:2 (FLAGS BODY.PEEK[TEXT])"):
        answer = talk.ask(command)
        assert (answer.status, answer.code) == ("NO", "SERVERBUG")
        assert list(answer.fetched) == [2]
    assert talk.ask("FETCH 1 ENVELOPE").status == "OK"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"a\r\n",
        b"a LOGIN {99999999999}\r\n",
        b"a LOGIN {1000000000+}\r\n" + b"x" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
        b"x" * 100_000,
        b"a IDLE\r\n",
        b"a AUTHENTICATE PLAIN\r\n",
    ],
)
def test_no_bytes_of_a_stranger_trouble_the_door(doors: Doors, raw: bytes) -> None:
    with Talk(doors.clear) as talk:
        try:
            talk.send(raw)
            talk._sock.shutdown(socket.SHUT_WR)
            talk.rest()
        except OSError:
            pass  # it may hang up on us in the middle


class _Tracking:
    """A client that keeps its own list of the mailbox by what it hears, as RFC 3501 §7.4.1 means it."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.uids: list[int | None] = []
        self.hear(talk.ask("SELECT INBOX"), "SELECT")

    def do(self, command: str) -> None:
        self.hear(self.talk.ask(command), command)

    def hear(self, answer: Answer, command: str) -> None:
        for name, number in answer.numbers:
            if name == "EXPUNGE":
                assert not command.startswith(("FETCH", "STORE", "SEARCH")), command
                del self.uids[number - 1]
            elif name == "EXISTS":
                assert number >= len(self.uids)
                self.uids += [None] * (number - len(self.uids))
        for number, items in answer.fetched.items():
            uid = items.get(b"UID")
            if isinstance(uid, int):
                assert self.uids[number - 1] in (None, uid)
                self.uids[number - 1] = uid


@pytest.mark.parametrize("seed", range(4))
def test_clients_that_count_along_never_disagree(connect: Connect, seed: int) -> None:  # IM-32
    chosen = random.Random(seed)
    clients = [_Tracking(connect()) for _ in range(3)]
    for _ in range(120):
        client = chosen.choice(clients)
        count = len(client.uids)
        one = chosen.randint(1, count) if count else 0
        commands = ["NOOP", "EXPUNGE", "UID FETCH 1:* FLAGS", "SEARCH ALL", "UID SEARCH SEEN", "CHECK"]
        if one:
            commands += [f"STORE {one} +FLAGS (\\Deleted)", f"STORE {one} FLAGS (\\Seen)", f"FETCH {one} (UID FLAGS)"]
            commands += [f"COPY {one} INBOX", f"MOVE {one} Trash", f"UID STORE {one}:* +FLAGS.SILENT (k{one})", f"FETCH {one}:* BODY[]"]
        if chosen.random() < 0.3:
            client.hear(client.talk.append(b"\r\nx"), "APPEND")
        else:
            client.do(chosen.choice(commands))
    for client in clients:
        client.do("NOOP")
        if client.uids:
            client.do("FETCH 1:* UID")
    assert clients[0].uids == clients[1].uids == clients[2].uids

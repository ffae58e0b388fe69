"""kill -9 at random while clients send: what was acknowledged is there exactly once afterwards, and nothing else is doubled.

Source: reliability.md §1.3 (C1 … C3), §3.1, F-20.
"""

from __future__ import annotations

import contextlib
import imaplib
import random
import smtplib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.crash.ledger import Heard, Ledger, Line, Verdict, id_of, is_whole, judge
from tests.doors.server import Ekiden, Settings

RECOVERY_S = 15.0  # from kill to an answer by IMAP, beside eleven clients that hammer; the bar of 5 s is for an idle machine
_BROKEN = (OSError, smtplib.SMTPException, imaplib.IMAP4.error)


# ---- the checker checks itself: it must see what it is for ---------------------------------------


def _sent(heard: Heard) -> tuple[Ledger, Line, bytes]:
    ledger = Ledger("test", random.Random(1))
    line, message = ledger.next_message(("alice",))
    line.heard = heard
    return ledger, line, message


@pytest.mark.parametrize(
    ("heard", "copies", "wrong"),
    [
        (Heard.ACKNOWLEDGED, 1, ""),
        (Heard.ACKNOWLEDGED, 0, "lost"),
        (Heard.ACKNOWLEDGED, 2, "doubled"),
        (Heard.SENT, 0, ""),
        (Heard.SENT, 1, ""),
        (Heard.SENT, 2, "doubled"),
        (Heard.REFUSED, 0, ""),
        (Heard.REFUSED, 1, "ghosts"),
        (Heard.UNSENT, 1, "ghosts"),
    ],
)
def test_the_checker_sees_what_is_missing_doubled_or_should_not_be(heard: Heard, copies: int, wrong: str) -> None:
    ledger, line, message = _sent(heard)
    verdict = judge([ledger], {"alice": [message] * copies})
    assert verdict.is_clean == (not wrong)
    if wrong:
        assert getattr(verdict, wrong) == [(line.id, "alice")]


def test_the_checker_sees_a_changed_byte() -> None:
    ledger, _, message = _sent(Heard.ACKNOWLEDGED)
    assert is_whole(message)
    assert judge([ledger], {"alice": [message.replace(b"end of", b"End of")]}).damaged


# ---- clients -----------------------------------------------------------------------------------


class Client(threading.Thread):
    """Sends until it is told to stop, over as few connections as the server allows, and keeps its ledger."""

    def __init__(self, name: str, stop: threading.Event, choices: list[tuple[str, ...]]) -> None:
        super().__init__(name=name, daemon=True)
        self.ledger = Ledger(name, random.Random(name), author="alice@one.test" if "submit" in name else "somebody@two.test")
        self._stop_asked = stop
        self._choices = choices
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                with contextlib.suppress(*_BROKEN):
                    self._talk()
                self._stop_asked.wait(0.02)
        except BaseException as error:  # a bug of the test must not look like a quiet client
            self.failure = error

    def _talk(self) -> None:
        raise NotImplementedError

    def next_message(self) -> tuple[Line, bytes]:
        return self.ledger.next_message(self.ledger.dice.choice(self._choices))


class Sender(Client):
    """An SMTP client. connect: opens a connection that may send."""

    def __init__(self, name: str, stop: threading.Event, choices: list[tuple[str, ...]], connect: Callable[[], smtplib.SMTP]) -> None:
        super().__init__(name, stop, choices)
        self._connect = connect

    def _talk(self) -> None:
        client = self._connect()
        try:
            for _ in range(50):
                if self._stop_asked.is_set():
                    return
                self._send(client)
        finally:
            client.close()

    def _send(self, client: smtplib.SMTP) -> None:
        line, message = self.next_message()
        answers = [client.mail(f"{self.ledger.name}@one.test" if "submit" not in self.name else "alice@one.test")]
        answers += [client.rcpt(recipient) for recipient in line.recipients]
        if any(code != 250 for code, _ in answers):
            raise smtplib.SMTPException(str(answers))
        code, answer = client.docmd("DATA")
        if code != 354:
            raise smtplib.SMTPException(str(answer))
        line.heard = Heard.SENT
        client.send(smtplib._quote_periods(message) + b".\r\n")  # type: ignore[attr-defined]  # as SMTP.data() does
        code, answer = client.getreply()
        line.heard = Heard.ACKNOWLEDGED if code == 250 else Heard.REFUSED


class Appender(Client):
    """An IMAP client that appends."""

    def __init__(self, name: str, stop: threading.Event, connect: Callable[[], imaplib.IMAP4]) -> None:
        super().__init__(name, stop, [("alice Sent",)])
        self._connect = connect

    def _talk(self) -> None:
        client = self._connect()
        try:
            while not self._stop_asked.is_set():
                line, message = self.next_message()
                line.heard = Heard.SENT
                status, _ = client.append("Sent", None, None, message)
                line.heard = Heard.ACKNOWLEDGED if status == "OK" else Heard.REFUSED
        finally:
            client.shutdown()


def _clients(server: Ekiden, stop: threading.Event) -> list[Client]:
    local = [("alice@one.test",), ("bob@one.test",), ("alice@one.test", "bob@one.test"), ("bob+tag@one.test",)]
    outside = [("x@two.test",), ("x@two.test", "y@three.test"), ("alice@one.test", "x@two.test")]

    def mx() -> smtplib.SMTP:
        client = smtplib.SMTP("127.0.0.1", server.ports["mx"], timeout=20)
        client.ehlo("client.two.test")
        return client

    def submit() -> smtplib.SMTP:
        client = smtplib.SMTP_SSL("localhost", server.ports["submissions"], timeout=20, context=server.trusted())
        client.login("alice@one.test", server.settings.password)
        return client

    def imap() -> imaplib.IMAP4:
        client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.trusted(), timeout=20)
        client.login("alice@one.test", server.settings.password)
        return client

    made: list[Client] = [Sender(f"mx{number}", stop, local, mx) for number in range(8)]
    made += [Sender(f"submit{number}", stop, outside, submit) for number in range(2)]
    made.append(Appender("append0", stop, imap))
    return made


# ---- what is there -----------------------------------------------------------------------------


def _queued(database: Path) -> dict[str, list[bytes]]:
    """Copies in the queue, read without any code of the server."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        # columns of STRICT tables
        rows: list[tuple[str, bytes | None, str]] = connection.execute(  # type: ignore[assignment]
            "SELECT delivery.recipient, message.content, message.blob_id FROM delivery"
            " JOIN envelope ON envelope.id = delivery.envelope_id JOIN message ON message.id = envelope.message_id"
            " WHERE delivery.status IN ('due', 'held')"
        ).fetchall()
        blobs = {str(name) for (name,) in connection.execute("SELECT blob_id FROM message WHERE blob_id IS NOT NULL").fetchall()}
    finally:
        connection.close()
    folder = database.parent / "blobs"
    assert {name for name in blobs if not (folder / name[:2] / name).is_file()} == set(), "rows that name no file"
    found: dict[str, list[bytes]] = {}
    for recipient, content, blob in rows:
        data = content if content is not None else (folder / blob[:2] / blob).read_bytes()
        found.setdefault(recipient, []).append(data)
    return found


def _everything(server: Ekiden) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {"alice@one.test": [], "bob@one.test": [], "bob+tag@one.test": []}
    for message in server.inbox("alice"):
        found["alice@one.test"].append(message)
    for message in server.inbox("bob"):
        tagged = b"\r\nDelivered-To: bob+tag@one.test\r\n" in message
        found["bob+tag@one.test" if tagged else "bob@one.test"].append(message)
    found["alice Sent"] = server.inbox("alice", "Sent")
    return found


def _uids_when_it_answers(server: Ekiden, seconds: float = 20.0) -> dict[str, tuple[bytes, list[int]]]:
    """As _uids; tries again while connections break: they may have come to a socket of a process that was just dying."""
    end = time.monotonic() + seconds
    while True:
        try:
            return _uids(server)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _uids(server: Ekiden) -> dict[str, tuple[bytes, list[int]]]:
    seen = {}
    for name, box in (("alice", "INBOX"), ("bob", "INBOX"), ("alice", "Sent")):
        with server.imap(name) as client:
            client.select(box, readonly=True)
            validity = client.response("UIDVALIDITY")[1][0]
            uids = [int(uid) for uid in client.uid("SEARCH", "ALL")[1][0].split()]
        seen[f"{name} {box}"] = (validity, uids)
    return seen


def _run(server: Ekiden, kills: int, dice: random.Random) -> Verdict:
    stop = threading.Event()
    clients = _clients(server, stop)
    for client in clients:
        client.start()
    recovered = []
    known: dict[str, tuple[bytes, list[int]]] = {}
    try:
        for _ in range(kills):
            time.sleep(dice.uniform(0.3, 2.0))  # how long it lives is what the test is about
            server.kill()
            began = time.monotonic()
            server.start()
            now = _uids_when_it_answers(server)
            recovered.append(time.monotonic() - began)
            for box, (validity, uids) in known.items():
                assert now[box][0] == validity, "UIDVALIDITY has changed"
                assert set(uids) <= set(now[box][1]), "a message that was shown is gone"
            known = now
        time.sleep(0.5)
    finally:
        stop.set()
        for client in clients:
            client.join(30)
    assert [client.failure for client in clients if client.failure is not None] == []
    for client in clients:
        assert any(line.heard is Heard.ACKNOWLEDGED for line in client.ledger.lines), f"{client.name} was never taken seriously"
    found = _everything(server)
    server.stop()
    for recipient, messages in _queued(server.folder / "data" / "ekiden.db").items():
        found.setdefault(recipient, []).extend(messages)
    for validity, uids in known.values():
        assert validity
        assert len(uids) == len(set(uids))
    assert max(recovered) < RECOVERY_S, recovered
    return judge([client.ledger for client in clients], found)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("processes", [1, 2])
def test_after_kills_at_random_nothing_acknowledged_is_missing_and_nothing_is_doubled(
    tmp_path: Path, certificate: tuple[Path, Path, Path], processes: int
) -> None:
    more = {"": [f"processes = {processes}"], "limits": ["connections_per_address = 500"]}
    settings = Settings(doors=("mx", "submissions", "imaps"), more=more)
    server = Ekiden(tmp_path / "ekiden", certificate, settings)
    verdict = _run(server, kills=6 if processes == 1 else 3, dice=random.Random(processes))
    print(f"ledger: {verdict.acknowledged} acknowledged, {verdict.open} open ({verdict.open_arrived} arrived)")
    assert verdict.is_clean, verdict
    assert verdict.acknowledged > 100


def test_an_id_is_found_in_what_a_reader_gets() -> None:
    _, line, message = _sent(Heard.ACKNOWLEDGED)
    assert id_of(b"Return-Path: <a@b>\r\nReceived: x\r\n" + message) == line.id

"""kill -9 and errors of the disk at every named point: what clients were told holds afterwards.

Inwards one SMTP client sends until the server dies, or says no; outwards a copy waits in the queue. Then the server is started
again without the failpoint, and the ledger is held against what is there.
Source: reliability.md §3.2 (F-01 … F-15, F-17).
"""

from __future__ import annotations

import contextlib
import imaplib
import random
import smtplib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.crash.faults import Failing, by_address, queued
from tests.crash.ledger import Heard, Ledger, Verdict, id_of, judge
from tests.doors.server import Settings

from ekiden.base import failpoints
from ekiden.testing.peers import Action, ScriptedHost

_BROKEN = (OSError, smtplib.SMTPException, imaplib.IMAP4.error)
_BIG = 400_000
"""More than lies in a row: the content is a file."""
_WAIT_S = 30.0

INWARDS = ("K1", "K2", "K3", "K4", "K5", "K6", "K7", "K8", "K9", "K10", "K11", "K19")
OUTWARDS = ("K12", "K13", "K14", "K15", "K16", "K17")
OF_FILES = frozenset({"K4", "K5", "K6", "K7"})
"""What these are about is the file of the content."""
COMMITTED = frozenset({"K9", "K10", "K11"})
"""Behind the commit: what the client was sending is there."""


@pytest.fixture
def server(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> Iterator[Failing]:
    made = Failing(tmp_path / "ekiden", certificate, Settings(doors=("mx", "submissions", "imaps"), outbound_port=2525))
    try:
        yield made
    finally:
        with contextlib.suppress(AssertionError):
            made.kill()


def _send_until_it_breaks(server: Failing, ledger: Ledger, size: int, recipients: tuple[str, ...]) -> list[int]:
    """At most five messages by submission; the reply codes at their ends. Ends early where the connection does."""
    codes: list[int] = []
    with contextlib.suppress(*_BROKEN), server.smtp("submissions", "alice") as client:
        for _ in range(5):
            line, message = ledger.next_message(recipients, size)
            client.ehlo_or_helo_if_needed()
            answers = [client.mail("alice@one.test"), *(client.rcpt(recipient) for recipient in recipients), client.docmd("DATA")]
            if answers[-1][0] != 354:
                raise smtplib.SMTPException(str(answers))
            line.heard = Heard.SENT
            client.send(smtplib._quote_periods(message) + b".\r\n")  # type: ignore[attr-defined]  # as SMTP.data() does
            code, _ = client.getreply()
            line.heard = Heard.ACKNOWLEDGED if code == 250 else Heard.REFUSED
            codes.append(code)
    return codes


def _judged(server: Failing, ledger: Ledger) -> Verdict:
    found = by_address(server)
    server.stop()
    for recipient, messages in queued(server.folder / "data" / "ekiden.db").items():
        found.setdefault(recipient, []).extend(messages)
    return judge([ledger], found)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", INWARDS)
def test_a_server_that_dies_on_the_way_in_keeps_what_it_promised(server: Failing, name: str) -> None:
    # held: what is for others stays in the queue, where it can be counted
    ledger = Ledger("one", random.Random(name), author="alice@one.test")
    size = _BIG if name in OF_FILES else 4_096
    recipients = ("alice@one.test", "x@two.test")
    nth = 5 if name == "K1" else 2  # the start itself connects
    server.arm(f"{name}:{nth}:kill")
    if name == "K1":
        with contextlib.suppress(*_BROKEN):
            for _ in range(nth):
                _send_until_it_breaks(server, ledger, size, recipients)
    for _ in range(3):
        _send_until_it_breaks(server, ledger, size, recipients)
        if name != "K2" or server._daemon.process.poll() is not None:
            break
    server.wait_until_dead()
    server.again()
    verdict = _judged(server, ledger)
    assert verdict.is_clean, verdict
    if name in COMMITTED:
        assert verdict.open == (0 if name == "K10" else 1), "only behind K10 has 250 been heard"
        assert verdict.open_arrived == 2 * verdict.open, "what was committed has to be there, whatever was said of it"
    if name not in COMMITTED:
        assert not verdict.open_arrived, "what was not committed must not be there"
    assert list((server.folder / "data" / "blobs" / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("action", "code"), [("eio", 451), ("enospc", 452)])
@pytest.mark.parametrize("name", ["K4", "K5", "K7", "K8", "K19"])
def test_a_disk_that_fails_there_is_told_to_the_client_and_leaves_nothing(server: Failing, name: str, action: str, code: int) -> None:
    ledger = Ledger("one", random.Random(name), author="alice@one.test")
    server.arm(f"{name}:2:{action}")
    codes = _send_until_it_breaks(server, ledger, _BIG if name in OF_FILES else 4_096, ("alice@one.test", "x@two.test"))
    assert sorted(codes) == [250] * 4 + [code], codes
    verdict = _judged(server, ledger)
    assert verdict.is_clean, verdict
    assert list((server.folder / "data" / "blobs" / "tmp").iterdir()) == []


# ---- IMAP ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _imap(server: Failing) -> Iterator[imaplib.IMAP4]:
    """alice's client; closed without a word, whatever is left of the connection."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.trusted(), timeout=_WAIT_S)
    try:
        client.login("alice@one.test", server.settings.password)
        yield client
    finally:
        client.shutdown()


def _append(client: imaplib.IMAP4, ledger: Ledger) -> None:
    line, message = ledger.next_message(("alice Sent",), 4_096)
    line.heard = Heard.SENT
    status, _ = client.append("Sent", None, None, message)
    line.heard = Heard.ACKNOWLEDGED if status == "OK" else Heard.REFUSED


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "arrived"), [("K21", 0), ("K21-after", 1)])
def test_an_append_is_there_whole_or_not_at_all(server: Failing, name: str, arrived: int) -> None:
    ledger = Ledger("one", random.Random(name), author="alice@one.test")
    server.arm(f"{name}:3:kill")
    with contextlib.suppress(*_BROKEN), _imap(server) as client:
        for _ in range(5):
            _append(client, ledger)
    server.wait_until_dead()
    server.again()
    verdict = _judged(server, ledger)
    assert verdict.is_clean, verdict
    assert (verdict.acknowledged, verdict.open, verdict.open_arrived) == (2, 1, arrived)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", ["COPY", "MOVE"])
@pytest.mark.parametrize(("name", "done"), [("K21", False), ("K21-after", True)])
def test_a_copy_and_a_move_are_done_whole_or_not_at_all(server: Failing, command: str, name: str, done: bool) -> None:
    ledger = Ledger("one", random.Random(name), author="alice@one.test")
    with server.imap("alice") as client:
        for _ in range(3):
            _append(client, ledger)
        client.create("There")
    before = sorted(map(id_of, server.inbox("alice", "Sent")))
    server.arm(f"{name}:1:kill")
    with contextlib.suppress(*_BROKEN), _imap(server) as client:
        client.select("Sent")
        client.uid(command, "1:*", "There")
    server.wait_until_dead()
    server.again()
    here, there = (sorted(map(id_of, server.inbox("alice", folder))) for folder in ("Sent", "There"))
    assert there == (before if done else [])
    assert here == ([] if done and command == "MOVE" else before)
    server.stop()


# ---- outwards ------------------------------------------------------------------------------------


def _outward(tmp_path: Path, certificate: tuple[Path, Path, Path], host: ScriptedHost) -> Failing:
    more = {"queue": ["retry = ['1s', '1s', '1s', '1s']", "jitter_percent = 0"]}
    settings = Settings(doors=("mx", "submissions", "imaps"), outbound_port=host.port, more=more)
    return Failing(tmp_path / "ekiden", certificate, settings)


def _until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _WAIT_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", OUTWARDS)
def test_a_courier_that_dies_hands_the_message_over_after_its_restart(
    tmp_path: Path, certificate: tuple[Path, Path, Path], name: str
) -> None:
    with ScriptedHost() as host:
        server = _outward(tmp_path, certificate, host)
        try:
            ledger = Ledger("one", random.Random(name), author="alice@one.test")
            server.arm(f"{name}:1:kill")
            recipients = (f"x@[{host.ip}]", f"y@[{host.ip}]")
            with server.smtp("submissions", "alice") as client, contextlib.suppress(*_BROKEN):
                line, message = ledger.next_message(recipients, 4_096)
                client.sendmail("alice@one.test", recipients, message)
                line.heard = Heard.ACKNOWLEDGED
            server.wait_until_dead()
            server.again()
            _until(lambda: server.command("queue", "list").count("@[") == 0, "the queue is not empty")
            ids = [id_of(letter.content) for letter in host.messages]
            assert set(ids) == {line.id}
            # RFC 5321 §4.5.4.1: only a host that may have said 250 already is told twice
            assert len(ids) <= (2 if name in ("K15", "K16", "K17") else 1)
            server.stop()
        finally:
            with contextlib.suppress(AssertionError):
                server.kill()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_report_comes_once_though_the_server_dies_while_it_is_written(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    refused: dict[str, Action | list[Action]] = {"RCPT": "550 5.1.1 nobody of that name"}
    with ScriptedHost(says=refused) as host:
        server = _outward(tmp_path, certificate, host)
        try:
            server.arm("K18:1:kill")
            with server.smtp("submissions", "alice") as client, contextlib.suppress(*_BROKEN):
                client.sendmail("alice@one.test", [f"x@[{host.ip}]"], b"Subject: x\r\n\r\nhello\r\n")
            server.wait_until_dead()
            server.again()
            _until(lambda: server.command("queue", "list").count("@[") == 0, "the queue is not empty")
            reports = server.inbox("alice")
            assert [b"nobody of that name" in report for report in reports] == [True]
            server.stop()
        finally:
            with contextlib.suppress(AssertionError):
                server.kill()


def test_every_point_but_that_of_upkeep_is_tried_here() -> None:
    tried = {*INWARDS, *OUTWARDS, "K18", "K21", "K21-after"}
    assert set(failpoints.POINTS) - tried == {"K22", "K23", "K24"}

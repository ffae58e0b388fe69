"""kill -9 and errors of the disk at every named point: what clients were told holds afterwards.

Inwards one SMTP client sends until the server dies, or says no; outwards a copy waits in the queue. Then the server is started
again without the failpoint, and the ledger is held against what is there.
Source: reliability.md §3.2 (F-01 … F-15, F-17).
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.alice import (
    ALICE,
    INWARDS,
    MAY_COME_TWICE,
    OTHERS,
    OUTWARDS,
    append,
    held_what_was_promised,
    judged,
    nothing_half_done,
    reading,
    size_for,
    submit,
)
from tests.crash.faults import Failing
from tests.crash.ledger import Heard, Ledger, id_of
from tests.crash.ledger.clients import BROKEN
from tests.doors.server import Settings
from tests.peers.process import until

from ekiden.base import failpoints
from ekiden.testing.peers import Action, ScriptedHost

_WAIT_S = 30.0

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
    with contextlib.suppress(*BROKEN), server.smtp("submissions", "alice") as client:
        for _ in range(5):
            client.ehlo_or_helo_if_needed()
            codes.append(submit(client, ledger, size, recipients))
    return codes


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", INWARDS)
def test_a_server_that_dies_on_the_way_in_keeps_what_it_promised(server: Failing, name: str) -> None:
    ledger = Ledger("one", random.Random(name), author=ALICE)
    nth = 5 if name == "K1" else 2  # the start itself connects
    server.arm(f"{name}:{nth}:kill")
    if name == "K1":
        with contextlib.suppress(*BROKEN):
            for _ in range(nth):
                _send_until_it_breaks(server, ledger, size_for(name), OTHERS)
    for _ in range(3):
        _send_until_it_breaks(server, ledger, size_for(name), OTHERS)
        if name != "K2" or server._daemon.process.poll() is not None:
            break
    server.wait_until_dead()
    server.again()
    held_what_was_promised(name, judged(server, ledger))
    assert nothing_half_done(server)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("action", "code"), [("eio", 451), ("enospc", 452)])
@pytest.mark.parametrize("name", ["K4", "K5", "K7", "K8", "K19"])
def test_a_disk_that_fails_there_is_told_to_the_client_and_leaves_nothing(server: Failing, name: str, action: str, code: int) -> None:
    ledger = Ledger("one", random.Random(name), author=ALICE)
    server.arm(f"{name}:2:{action}")
    codes = _send_until_it_breaks(server, ledger, size_for(name), OTHERS)
    assert sorted(codes) == [250] * 4 + [code], codes
    verdict = judged(server, ledger)
    assert verdict.is_clean, verdict
    assert nothing_half_done(server)


# ---- IMAP ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "arrived"), [("K21", 0), ("K21-after", 1)])
def test_an_append_is_there_whole_or_not_at_all(server: Failing, name: str, arrived: int) -> None:
    ledger = Ledger("one", random.Random(name), author=ALICE)
    server.arm(f"{name}:3:kill")
    with contextlib.suppress(*BROKEN), reading(server) as client:
        for _ in range(5):
            append(client, ledger)
    server.wait_until_dead()
    server.again()
    verdict = judged(server, ledger)
    assert verdict.is_clean, verdict
    assert (verdict.acknowledged, verdict.open, verdict.open_arrived) == (2, 1, arrived)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", ["COPY", "MOVE"])
@pytest.mark.parametrize(("name", "done"), [("K21", False), ("K21-after", True)])
def test_a_copy_and_a_move_are_done_whole_or_not_at_all(server: Failing, command: str, name: str, done: bool) -> None:
    ledger = Ledger("one", random.Random(name), author=ALICE)
    with server.imap("alice") as client:
        for _ in range(3):
            append(client, ledger)
        client.create("There")
    before = sorted(map(id_of, server.inbox("alice", "Sent")))
    server.arm(f"{name}:1:kill")
    with contextlib.suppress(*BROKEN), reading(server) as client:
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


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", OUTWARDS)
def test_a_courier_that_dies_hands_the_message_over_after_its_restart(
    tmp_path: Path, certificate: tuple[Path, Path, Path], name: str
) -> None:
    with ScriptedHost() as host:
        server = _outward(tmp_path, certificate, host)
        try:
            ledger = Ledger("one", random.Random(name), author=ALICE)
            server.arm(f"{name}:1:kill")
            recipients = (f"x@[{host.ip}]", f"y@[{host.ip}]")
            with server.smtp("submissions", "alice") as client, contextlib.suppress(*BROKEN):
                line, message = ledger.next_message(recipients, 4_096)
                client.sendmail(ALICE, recipients, message)
                line.heard = Heard.ACKNOWLEDGED
            server.wait_until_dead()
            server.again()
            until(lambda: server.command("queue", "list").count("@[") == 0, "the queue is empty", _WAIT_S)
            ids = [id_of(letter.content) for letter in host.messages]
            assert set(ids) == {line.id}
            assert len(ids) <= (2 if name in MAY_COME_TWICE else 1)
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
            with server.smtp("submissions", "alice") as client, contextlib.suppress(*BROKEN):
                client.sendmail(ALICE, [f"x@[{host.ip}]"], b"Subject: x\r\n\r\nhello\r\n")
            server.wait_until_dead()
            server.again()
            until(lambda: server.command("queue", "list").count("@[") == 0, "the queue is empty", _WAIT_S)
            reports = server.inbox("alice")
            assert [b"nobody of that name" in report for report in reports] == [True]
            server.stop()
        finally:
            with contextlib.suppress(AssertionError):
                server.kill()


def test_every_point_but_that_of_upkeep_is_tried_here() -> None:
    tried = {*INWARDS, *OUTWARDS, "K18", "K21", "K21-after"}
    assert set(failpoints.POINTS) - tried == {"K22", "K23", "K24"}

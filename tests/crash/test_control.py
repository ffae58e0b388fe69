"""Postfix as control: the ledger's part about recipients of our own, with kills, against a server that we did not write.

The checker has to run there and to report. What was acknowledged must be there; a copy too many may be seen, because a local delivery
and its note in the queue are two steps there.
Source: reliability.md §3.1 (calibration).
"""

from __future__ import annotations

import random
import smtplib
import threading
import time
from pathlib import Path

import pytest
from tests.crash.ledger.clients import Sender
from tests.crash.ledger.verdict import Copy, Verdict, judge_copies
from tests.crash.ledger.writing import Ledger, Notes, read_message, read_states
from tests.peers.postfix import Postfix
from tests.peers.process import free_port, until

BOXES = tuple(f"{name}@two.test" for name in ("alice", "bob", "carol", "dave"))
KILLS = 6


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.peer("postfix")
def test_postfix_loses_nothing_over_kills(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    port, dice = free_port(), random.Random(6)

    def postfix() -> Postfix:
        made = Postfix(tmp_path / "postfix", port=port, certificate=certificate[2], domains=["two.test"], boxes=BOXES)
        made.log.chmod(0o666)  # what looks after the queue at the next start writes there, too, as a user of its own
        return made

    def connect() -> smtplib.SMTP:
        client = smtplib.SMTP("127.0.0.1", port, timeout=20)
        client.ehlo("client.one.test")
        return client

    stop = threading.Event()
    ledgers = [Ledger(f"control-{n}", random.Random(n), notes=Notes(tmp_path / f"{n}.ledger")) for n in range(20)]
    kinds = [(box,) for box in BOXES]
    senders = [Sender(ledger, stop, kinds, connect, f"{ledger.name}@one.test") for ledger in ledgers]
    server = postfix()
    try:
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            time.sleep(dice.uniform(1.0, 4.0))  # how long it lives is what the test is about
            server.stop()
            server = postfix()
        time.sleep(1.0)
        stop.set()
        for sender in senders:
            sender.join(30)
        until(lambda: "is empty" in server.queue(), "Postfix's queue is empty", 120)
        copies = [_copy(box, message) for box in BOXES for message in server.mailbox(box)]
    finally:
        stop.set()
        server.stop()
    assert [sender.failure for sender in senders if sender.failure is not None] == []
    verdict = Verdict()
    states = {}
    for ledger in ledgers:
        assert ledger.notes is not None
        states.update(read_states(ledger.notes.path))
    judge_copies(states, copies, verdict)
    print(f"Postfix {server.version}, {KILLS} kills\n{verdict}")
    assert verdict.acknowledged > 200
    assert verdict.lost == []
    assert verdict.ghost == []
    assert verdict.corrupt == []


def _copy(box: str, message: bytes) -> Copy:
    seen = read_message(message.replace(b"\n", b"\r\n"))  # a Maildir has the line ends of its system
    return Copy(seen.id, box, "mailbox", seen.is_whole and seen.received == 1)

"""A reader moves mail into Junk in a mail program, and like mail goes there by itself; moved out again, it does not any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.doors.server import Ekiden, Settings
from tests.mail.letters import letters
from tests.peers.dns import Dnsmasq, Record
from tests.peers.process import free_port, until

RECORDS = [Record("plain.test", "TXT", '"v=spf1 ip4:192.0.2.1 ~all"')]
LANGUAGES = ("en", "ja")


@pytest.fixture
def server(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    names = free_port()
    dns = Dnsmasq(tmp_path / "dns", port=names, records=RECORDS)
    more = {"": ['policies = ["builtin:authentication", "builtin:score"]']}
    ekiden = Ekiden(tmp_path / "one", certificate, Settings(doors=("mx", "imaps"), dns_port=names, more=more))
    try:
        yield ekiden
        ekiden.stop()
    finally:
        ekiden.kill()
        dns.stop()


def _taught(server: Ekiden, name: str | None) -> dict[str, Any]:
    rows = json.loads(server.command("spam", "stats", "--json"))
    nothing = {"spam": 0, "ham": 0, "waiting": 0}
    return next((row for row in rows if row["account"] == name), nothing)


def _send(server: Ekiden, to: str, *contents: bytes) -> None:
    """From a domain whose SPF record has doubts about it: that alone is too little for Junk."""
    with server.smtp("mx") as client:
        for content in contents:
            client.sendmail("x@plain.test", [server.address(to)], content)


def _move(server: Ekiden, source: str, target: str) -> None:
    with server.imap("alice") as client:
        client.select(source)
        assert client.uid("MOVE", "1:*", target)[0] == "OK"


def _learned(server: Ekiden, spam: int, ham: int) -> None:
    def is_so() -> bool:
        alice = _taught(server, server.address("alice"))
        return (alice["spam"], alice["ham"], alice["waiting"]) == (spam, ham, 0)

    until(is_so, f"alice has taught {spam} and {ham}", 20)


def _of_kind(is_spam: bool, seed: int, count: int) -> list[bytes]:
    return [each.raw for language in LANGUAGES for each in letters(count, seed, language) if each.is_spam is is_spam]


@pytest.mark.peer("dnsmasq")
@pytest.mark.timeout(120)
def test_like_mail_follows_where_a_reader_moves_it(server: Ekiden) -> None:
    wanted = server.folder / "wanted"
    wanted.mkdir()
    for number, raw in enumerate(_of_kind(False, 1, 40)):
        (wanted / f"{number}.eml").write_bytes(raw)
    server.command("spam", "learn", "--ham", str(wanted))

    first = _of_kind(True, 1, 15)
    _send(server, "alice", *first)
    assert (len(server.inbox("alice")), len(server.inbox("alice", "Junk"))) == (30, 0), "nobody has said anything yet"
    _move(server, "INBOX", "Junk")
    _learned(server, 30, 0)
    _move(server, "Junk", "Trash")
    assert _taught(server, server.address("alice"))["waiting"] == 0

    again, good = _of_kind(True, 2, 5), _of_kind(False, 2, 5)
    _send(server, "alice", *again, *good)
    junk, inbox = server.inbox("alice", "Junk"), server.inbox("alice")
    assert len(junk) >= 9, "two languages, five each, and one may be missed"
    assert all(any(raw.rstrip(b"\r\n") in message for raw in again) for message in junk), "nothing that is wanted"
    assert len(junk) + len(inbox) == 20
    _send(server, "bob", *again)
    assert (len(server.inbox("bob")), len(server.inbox("bob", "Junk"))) == (10, 0), "what alice throws away is her business"
    told = json.loads(server.command("spam", "test", "--account", server.address("alice"), "--json", input=again[0].decode("latin-1")))
    assert told["probability"] > 0.9
    _learned(server, 30, 0)  # what is filed there without her teaches nothing

    count = len(junk)
    _move(server, "Junk", "INBOX")
    _learned(server, 30, count)
    _move(server, "Trash", "Junk")
    _move(server, "Junk", "INBOX")
    _learned(server, 0, 30 + count)
    _send(server, "alice", *_of_kind(True, 3, 5))
    assert server.inbox("alice", "Junk") == []


@pytest.mark.peer("dnsmasq")
@pytest.mark.timeout(120)
def test_what_a_reader_keeps_is_the_other_side_and_lessons_alone_file_into_junk(server: Ekiden) -> None:
    """Nobody has taught anything from files: she reads her mail, and throws twenty away."""
    _send(server, "alice", *_of_kind(False, 1, 10))
    _send(server, "alice", *_of_kind(True, 1, 10))
    with server.imap("alice") as client:
        client.select("INBOX")
        assert client.fetch("1:20", "(BODY[])")[0] == "OK"
        for _ in range(20):
            assert client.uid("MOVE", "*", "Junk")[0] == "OK"
    _learned(server, 20, 20)
    again, good = _of_kind(True, 2, 5), _of_kind(False, 2, 5)
    with server.smtp("mx") as client:
        for content in (*again, *good):
            client.sendmail("x@other.test", [server.address("alice")], content)
    junk = server.inbox("alice", "Junk")
    assert len(junk) >= 20 + 8
    assert len(junk) + len(server.inbox("alice")) == 20 + 20 + 20
    assert not any(raw.rstrip(b"\r\n") in message for raw in good for message in junk), "nothing that is wanted"

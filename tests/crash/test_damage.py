"""A message whose file is damaged: seen, refused to its readers, held in the queue, told to the operator; everything else goes on.

Source: reliability.md §1.3 (C10), F-29.
"""

from __future__ import annotations

import json
import os
import poplib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.peers.process import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    settings = Settings(doors=("mx", "submissions", "imaps", "pop3s"), accounts=("alice", "bob", "carol", "dave"))
    made = Ekiden(tmp_path_factory.mktemp("damage"), certificate, settings)
    yield made
    made.stop()


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(300_000)
        found = file.read(1)
        file.seek(300_000)
        file.write(bytes([found[0] ^ 4]))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _remove(path: Path) -> None:
    path.unlink()


def _files(server: Ekiden) -> set[Path]:
    return {path for path in (server.folder / "data" / "blobs").rglob("*") if path.is_file() and path.parent.name != "tmp"}


def _large(subject: str, to: str) -> bytes:
    return f"From: alice@one.test\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n".encode() + b"A long line of text in a file.\r\n" * 15_000


HARMS = pytest.mark.parametrize("harm", [_flip, _cut, _remove], ids=["flipped", "cut", "removed"])


@HARMS
def test_its_reader_hears_no_and_reads_the_others(server: Ekiden, harm: Callable[[Path], None]) -> None:
    name = {"_flip": "bob", "_cut": "carol", "_remove": "dave"}[harm.__name__]
    before = _files(server)
    with server.smtp("mx") as client:
        client.sendmail("x@two.test", [server.address(name)], _large("in a file", name))
        client.sendmail("x@two.test", [server.address(name)], b"Subject: in a row\r\n\r\nsmall\r\n")
    (blob,) = _files(server) - before
    assert len(server.inbox(name)) == 2  # whole, and seen to be whole, before it is harmed
    harm(blob)
    with server.imap(name) as client:
        client.select("INBOX", readonly=True)
        status, answer = client.fetch("1:2", "(BODY.PEEK[])")
        assert status == "NO"
        assert b"[SERVERBUG] " in repr(answer[-1]).encode()
        assert "Subject: in a row" in repr(client.response("FETCH")[1])
        assert client.fetch("2", "(BODY.PEEK[])")[0] == "OK"
        assert client.fetch("1", "(BODY.PEEK[]<300000.10>)")[0] == "NO"  # not a part of it either
        assert client.fetch("1", "(FLAGS ENVELOPE)")[0] == "OK"
    with server.pop3(name) as pop:
        with pytest.raises(poplib.error_proto, match=r"-ERR \[SYS/PERM\]"):
            pop.retr(1)
        assert pop.retr(2)[0].startswith(b"+OK")
    until(lambda: "message-damaged" in server.log(), "the operator is told")
    assert harm is _remove or blob.exists(), "what is damaged is kept"


@HARMS
def test_in_the_queue_it_is_held_and_neither_sent_nor_bounced(server: Ekiden, harm: Callable[[Path], None]) -> None:
    before = _files(server)
    recipient = f"x-{harm.__name__}@two.test"
    with server.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", [recipient], _large("to another server", recipient))
    (blob,) = _files(server) - before

    def state() -> dict[str, str]:
        (found,) = [each for each in json.loads(server.command("queue", "list", "--json")) if each["recipient"] == recipient]
        return {str(key): str(value) for key, value in found.items()}

    until(lambda: state()["attempts"] != "0", "it was tried once, in vain: there is no name server")
    harm(blob)
    server.command("queue", "retry", state()["id"])
    until(lambda: state()["status"] == "held", "it is held")
    assert blob.name in state()["reply"], state()
    assert server.inbox("alice") == []

"""kill -9 of upkeep between a row and its file: what is left is a file that no row names, and it goes with the next round.

Source: reliability.md §3.2 (F-18), K22.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import apsw
import pytest
from tests.crash.faults import Failing, send
from tests.crash.ledger import Ledger, id_of, is_whole
from tests.doors.server import Settings
from tests.peers.process import until


def _files(server: Failing) -> set[str]:
    return {file.name for file in (server.folder / "data" / "blobs").rglob("*") if file.is_file()}


def _named(server: Failing) -> set[str]:
    connection = apsw.Connection(str(server.folder / "data" / "ekiden.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return {str(name) for (name,) in connection.execute("SELECT blob_id FROM message WHERE blob_id IS NOT NULL AND gone = 0")}
    finally:
        connection.close()


def _with_one_expunged(server: Failing, ledger: Ledger) -> list[str]:
    """Four large messages, of which alice has expunged two; hours ago, as far as the files know. The ids of the others."""
    ids = []
    for _ in range(4):
        line, message = ledger.next_message(("alice@one.test",), 400_000)
        with server.smtp() as client:
            client.sendmail("x@two.test", ["alice@one.test"], message)
        ids.append(line.id)
    with server.imap("alice") as client:
        client.select("INBOX")
        client.store("1,3", "+FLAGS", "\\Deleted")
        client.expunge()
    server.stop()
    before = time.time() - 7_200
    for file in (server.folder / "data" / "blobs").rglob("*"):
        if file.is_file():
            os.utime(file, (before, before))
    return [ids[1], ids[3]]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("processes", "who"), [
    (1, "all"),
    (2, "worker"),
    pytest.param(2, "supervisor", marks=pytest.mark.nightly),
    pytest.param(2, "all", marks=pytest.mark.nightly),
])
@pytest.mark.parametrize("nth", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_what_is_left_is_a_file_without_a_row_and_goes_later(
    tmp_path: Path, certificate: tuple[Path, Path, Path], processes: int, who: str, nth: int
) -> None:
    server = Failing(tmp_path / "ekiden", certificate, Settings(doors=("mx", "imaps"), more={"": [f"processes = {processes}"]}))
    kept = _with_one_expunged(server, Ledger("one", random.Random(7)))
    server.failpoint = f"K22:{nth}:stop"
    server.start()
    until(lambda: server.standing() is not None, "upkeep comes to a file whose row is gone", 30)
    standing = server.standing()
    assert standing is not None
    server.serving(processes + (processes > 1) - 1)  # who stands there may have been serving or not yet
    assert len(_files(server)) == 5 - nth
    assert len(_named(server)) == 2
    assert _named(server) < _files(server), "a file may be without a row, a row never without its file"
    if processes == 1 or who != "worker":
        server.strike(who, standing)
    else:
        server.die(who, standing)
    until(lambda: _files(server) == _named(server), "what no row names is gone", 20)
    found = server.inbox("alice")
    assert [id_of(message) for message in found] == kept
    assert all(map(is_whole, found))
    assert send(server, "alice@one.test", "after")[0] == 250
    server.stop()

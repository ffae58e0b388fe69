"""Several processes behind one port: each takes mail, and a reader of one hears of what another has taken."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    running = Ekiden(tmp_path_factory.mktemp("several"), certificate, Settings(more={"": ["processes = 2"]}))
    yield running
    running.stop()


def _send(server: Ekiden, number: int) -> None:
    with server.smtp("mx") as client:
        client.sendmail("carol@far.test", ["bob@one.test"], b"Subject: number %d\r\n\r\nx\r\n" % number)


def test_all_mail_of_many_connections_arrives_once(several: Ekiden) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: _send(several, number), range(40)))
    found = several.wait_inbox("bob", 40)
    subjects = sorted(int(message.split(b"Subject: number ")[1].split(b"\r\n")[0]) for message in found)
    assert subjects == list(range(40))


def test_every_reader_that_idles_hears_of_new_mail(several: Ekiden) -> None:
    readers = []
    for _ in range(6):  # with two processes, all six on one is a chance of 1 in 32; both then still must work
        context = several.imap("alice")
        client = context.__enter__()
        readers.append((context, client))
        client.select("INBOX")
        client.send(b"i1 IDLE\r\n")
        assert client.readline().startswith(b"+")
    with several.smtp("mx") as sender:
        sender.sendmail("carol@far.test", ["alice@one.test"], b"Subject: to all\r\n\r\nx\r\n")
    for context, client in readers:
        assert client.readline() == b"* 1 EXISTS\r\n"
        client.send(b"DONE\r\n")
        while not (line := client.readline()).startswith(b"i1 "):
            assert line.startswith(b"* ")
        context.__exit__(None, None, None)

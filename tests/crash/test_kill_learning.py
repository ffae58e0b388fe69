"""kill -9 while readers teach: every lesson is counted once, and the counts are those of the folders in which mail is then."""

from __future__ import annotations

import contextlib
import imaplib
import random
import time
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import apsw
import pytest
from tests.crash.faults import Failing
from tests.doors.server import Settings
from tests.mail.letters import letters
from tests.peers.process import until

from ekiden.services.learning import keys_in

LETTERS = [each.raw for language in ("en", "ja") for each in letters(6, 4, language)]


def _server(folder: Path, certificate: tuple[Path, Path, Path], processes: int) -> Failing:
    more = {"": [f"processes = {processes}"]}
    return Failing(folder / "ekiden", certificate, Settings(doors=("imaps",), more=more))


def _rows(server: Failing, query: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(server.folder / "data" / "ekiden.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return list(connection.execute(query))
    finally:
        connection.close()


def _is_learned(server: Failing) -> bool:
    return _rows(server, "SELECT COUNT(*) FROM lesson") == [(0,)]


def _is_counted_as(server: Failing, spam: list[bytes], ham: list[bytes]) -> None:
    """The store has exactly the counts of these messages."""
    assert set(_rows(server, "SELECT sha256, side FROM learned")) == {
        *((sha256(raw).digest(), "spam") for raw in spam),
        *((sha256(raw).digest(), "ham") for raw in ham),
    }
    in_spam, in_ham = (Counter(key for raw in kind for key in keys_in(raw)) for kind in (spam, ham))
    words = {key: (in_spam[key], in_ham[key]) for key in in_spam | in_ham}
    found = {key: (spam, ham) for key, spam, ham in _rows(server, "SELECT key, spam, ham FROM word")}
    assert found == words
    assert _rows(server, "SELECT spam, ham, words FROM learner") == [(len(spam), len(ham), len(words))]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("processes", "nth"), [(1, 2), (2, 1), pytest.param(2, 4, marks=pytest.mark.nightly)])
def test_who_dies_while_he_learns_has_learned_nothing_of_it(
    tmp_path: Path, certificate: tuple[Path, Path, Path], processes: int, nth: int
) -> None:
    server = _server(tmp_path, certificate, processes)
    server.stop()
    server.failpoint = f"K24:{nth}:stop"
    server.start()
    server.serving(processes + (processes > 1) - 1)
    with _to_the_end(server) as client:
        for raw in LETTERS[:5]:
            client.append("Junk", "", "", raw)  # the store stands still with who learns, and the client with it
    until(lambda: server.standing() is not None, "somebody learns", 20)
    standing = server.standing()
    assert standing is not None
    if processes == 1:
        server.strike("all", standing)
    else:
        server.die("worker", standing)
    until(lambda: _is_learned(server), "all is learned", 20)
    there = server.inbox("alice", "Junk")
    _is_counted_as(server, there, [])
    assert there
    server.stop()


@contextlib.contextmanager
def _to_the_end(server: Failing) -> Iterator[imaplib.IMAP4]:
    """A client of a server that dies, or stands still."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.trusted(), timeout=30)
    try:
        client.login(server.address("alice"), server.settings.password)
        client.sock.settimeout(1.5)
        yield client
    except (imaplib.IMAP4.error, OSError):
        pass
    finally:
        client.shutdown()


def _move_about(server: Failing, chance: random.Random, until_s: float) -> None:
    """Move mail into Junk and out of it until the time has come, whatever breaks."""
    with _to_the_end(server) as client:
        while time.monotonic() < until_s:
            source, target = chance.choice([("INBOX", "Junk"), ("Junk", "INBOX")])
            client.select(source)
            uids = client.uid("SEARCH", "ALL")[1][0].split(b" ")
            if uids != [b""]:
                chosen = b",".join(chance.sample(uids, min(len(uids), chance.randint(1, 4))))
                client.uid(chance.choice(["MOVE", "MOVE", "COPY"]), chosen.decode(), target)
            if chance.random() < 0.2:
                server.kill()
                return


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.nightly)])
def test_whenever_it_is_killed_the_counts_are_those_of_the_last_moves(
    tmp_path: Path, certificate: tuple[Path, Path, Path], kills: int
) -> None:
    chance = random.Random(kills)
    server = _server(tmp_path, certificate, 1)
    with server.imap("alice") as client:
        for raw in LETTERS:
            client.append("INBOX", "", "", raw)
    for _ in range(kills):
        _move_about(server, chance, time.monotonic() + 20)
        server.again()
    with server.imap("alice") as client:  # where a message has copies in both, the last lesson about it decides: make them agree
        client.select("Junk")
        client.uid("MOVE", "1:*", "INBOX")
        client.select("INBOX")
        uids = client.uid("SEARCH", "ALL")[1][0].split(b" ")
        in_junk = [number for number in uids if int(number) % 3 == 0]
        client.uid("MOVE", b",".join(in_junk).decode(), "Junk")
    until(lambda: _is_learned(server), "all is learned", 30)
    junk = set(server.inbox("alice", "Junk"))
    taught = {digest for digest, _ in _rows(server, "SELECT sha256, side FROM learned")}
    ham = [raw for raw in LETTERS if raw not in junk and sha256(raw).digest() in taught]
    assert len(taught) > len(LETTERS) / 2, "most of them have been moved"
    _is_counted_as(server, [raw for raw in LETTERS if raw in junk], ham)
    server.stop()

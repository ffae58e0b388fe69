"""What could Python do here at most? A server with nothing in it, under the same load as the others.

    python -m bench.bare [--work 0,20,40,80] [--rounds 3] [--quick]

It looks at four letters of each command, keeps each message in SQLite as the product does (one commit for all that wait, synced, in a
thread of its own) and answers 250: no parsing, no addresses, no routing, no analysis, no journey. --work adds so many microseconds
of Python to each message, which says how much a message may cost for a given rate. It is a ruler, not a mail server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import statistics
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import cast

import apsw
import uvloop
from bench import servers
from bench.load import send, wait_quiet

_LONG_LOG_PAGES = 4000
_TURNS = 5  # reads that a message takes: three commands, content, end

_SCHEMA = """
CREATE TABLE message (id INTEGER PRIMARY KEY, content BLOB, facts BLOB);
CREATE TABLE entry (mailbox INT, uid INT, message INT, PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE TABLE journey (message INTEGER PRIMARY KEY, steps BLOB);
"""


class Store:
    """One transaction after the other: all that wait when one begins are in it."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = apsw.Connection(str(path))
        for words in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", _SCHEMA):
            self._connection.execute(words).fetchall()
        self._connection.wal_autocheckpoint(0)
        self._connection.set_wal_hook(self._committed)
        self._loop = loop
        self._pages = self._count = 0
        self._waiting: list[tuple[Bare, bytes]] = []
        self._in_work: list[tuple[Bare, bytes]] = []
        self._asked = False
        self._turns: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._commit_for_ever, daemon=True)
        self._thread.start()

    def keep(self, connection: Bare, content: bytes) -> None:
        self._waiting.append((connection, content))
        if not self._in_work and not self._asked:
            self._asked = True
            self._loop.call_soon(self._begin)  # after all that has been read has been looked at

    def close(self) -> None:
        self._turns.put(False)
        self._thread.join()
        self._connection.close()

    def _begin(self) -> None:
        self._asked = False
        self._in_work, self._waiting = self._waiting, []
        if not self._in_work:
            return
        first = self._count
        self._count += len(self._in_work)
        run = self._connection.executemany
        self._connection.execute("BEGIN IMMEDIATE")
        run("INSERT INTO message VALUES (?, ?, ?)", [(first + at, kept[1], b"f" * 300) for at, kept in enumerate(self._in_work)])
        run("INSERT INTO entry VALUES (1, ?, ?)", [(first + at, first + at) for at in range(len(self._in_work))])
        run("INSERT INTO journey VALUES (?, ?)", [(first + at, b"j" * 400) for at in range(len(self._in_work))])
        self._turns.put(True)

    def _commit_for_ever(self) -> None:
        while self._turns.get():
            self._connection.execute("COMMIT")
            if self._pages > _LONG_LOG_PAGES:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        for connection, _ in self._in_work:
            connection.say(b"250 kept\r\n")
        self._begin()

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK


class Bare(asyncio.Protocol):
    """One connection. work_s: how long each read keeps the interpreter busy for nothing."""

    def __init__(self, store: Store, work_s: float) -> None:
        self._store = store
        self._work_s = work_s
        self._content: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.say(b"220 bare\r\n")

    def say(self, words: bytes) -> None:
        self._transport.write(words)

    def data_received(self, data: bytes) -> None:
        until = time.perf_counter() + self._work_s
        while time.perf_counter() < until:
            pass
        if self._content is not None:
            self._content += data
            if self._content.endswith(b"\r\n.\r\n"):
                content, self._content = self._content, None
                self._store.keep(self, content)
        elif data[:4] == b"DATA":
            self._content = b""
            self.say(b"354 go on\r\n")
        elif data[:4] == b"QUIT":
            self.say(b"221 bye\r\n")
            self._transport.close()
        else:
            self.say(b"250 ok\r\n")


async def round_of(folder: Path, work_us: float, sessions: int, messages: int, *, persistent: bool) -> tuple[float, float, float]:
    """(messages a second, user and system µs of the server for each)."""
    loop = asyncio.get_running_loop()
    store = Store(folder / "bare.db", loop)
    listening = await loop.create_server(lambda: Bare(store, work_us / 1e6 / _TURNS), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    before = resource.getrusage(resource.RUSAGE_SELF)
    seconds, _ = await asyncio.to_thread(send, port, sessions=sessions, messages=messages, size=4096, persistent=persistent)
    after = resource.getrusage(resource.RUSAGE_SELF)
    listening.close()
    store.close()
    shutil.rmtree(folder)
    return messages / seconds, (after.ru_utime - before.ru_utime) / messages * 1e6, (after.ru_stime - before.ru_stime) / messages * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="0,20,40,80", help="µs of Python that each message takes on top, several with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one small round: does the program work?")
    given = parser.parse_args()
    messages, rounds = (300, 1) if given.quick else (10_000, given.rounds)
    folder = servers.BENCH / "out" / f"bare-{os.getpid()}"
    print("| connections | µs of Python on top | msgs/s | lowest … highest | user µs | system µs |\n|---|---|---|---|---|---|")
    for sessions, persistent in ((20, True), (100, True), (20, False)):
        for work_us in [float(word) for word in given.work.split(",")] if persistent and not given.quick else [0.0]:
            found = []
            for _ in range(rounds):
                if not given.quick:
                    wait_quiet()
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                found.append(uvloop.run(round_of(folder, work_us, sessions, messages, persistent=persistent)))
            rates, users, systems = zip(*found, strict=True)
            what = f"{sessions}, open" if persistent else f"{sessions}, one message each"
            rate, user, system = (statistics.median(numbers) for numbers in (rates, users, systems))
            print(f"| {what} | {work_us:g} | {rate:,.0f} | {min(rates):,.0f} … {max(rates):,.0f} | {user:.0f} | {system:.0f} |")


if __name__ == "__main__":
    main()

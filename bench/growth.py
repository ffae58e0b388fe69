"""Does Ekiden get slower as it fills? Rate of taking mail against mailbox size, accounts and queue length; reading a huge mailbox.

    python -m bench.growth [--rounds 5] [--messages 4000] [--only mailbox,accounts,queue,backlog,reading] [--quick] [--save]

One server for each size, all filled before they start (bench/filling.py) and loaded in turn, so that a slow minute of the machine
meets all of them. Flat means: the median at each size is at least 80 % of that at the smallest. The plot goes to docs/growth.svg
(with --save).

    mailbox   messages that are in the INBOX already; 4 KiB over 20 connections into that INBOX
    accounts  accounts that the same load is spread over, one after the other
    queue     deliveries that wait for a later attempt; the load is for another server, taken, queued and handed over to a sink
    backlog   deliveries that are due at once: how many a second leave, nothing coming in
    reading   IMAP and POP3 on the largest mailbox
"""

from __future__ import annotations

import argparse
import os
import poplib
import shutil
import ssl
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import apsw
from bench import filling, plot, servers
from bench.load import measure, postfix_tool, wait_quiet
from tests.peers.process import Daemon, free_port

FLAT = 0.8
SIZES = {
    "mailbox": [1, 1_000, 100_000, 1_000_000],
    "accounts": [1, 100, 1_000, 10_000],
    "queue": [0, 1_000, 100_000, 1_000_000],
    "backlog": [10_000, 100_000, 1_000_000],
}
QUICK = {"mailbox": [1, 2_000], "accounts": [1, 50], "queue": [0, 2_000], "backlog": [500, 1_000]}
LABELS = {
    "mailbox": "messages in the mailbox",
    "accounts": "accounts",
    "queue": "deliveries waiting in the queue",
    "backlog": "deliveries due at once",
}


@dataclass(slots=True)
class Point:
    """One size of one axis. rates: messages a second, one a round; others: share of the machine that other programs used."""

    size: int
    rates: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median."""
        return statistics.median(self.rates)


class FullServer(servers.EkidenServer):
    """Ekiden on a filled store; what has arrived is counted in the store itself, by a query that does not grow with it."""

    def __init__(self, axis: str, size: int, messages: int, sink: int) -> None:
        self.axis = axis
        fills: dict[str, Callable[[], Callable[[Path], None]]] = {
            "mailbox": lambda: filling.fill_mailbox(size),
            "accounts": lambda: filling.fill_accounts(size, messages + 10),
            "queue": lambda: filling.fill_queue(size, due_in_s=86_400),
            "backlog": lambda: filling.fill_queue(size, due_in_s=0),
        }
        relays = {"EKIDEN_OUTBOUND__SMARTHOST__SERVER": f"127.0.0.1:{sink}", "EKIDEN_OUTBOUND__SMARTHOST__TLS": "none"}
        settings = relays if axis in ("queue", "backlog") else {}
        super().__init__(f"growth-{axis}-{size}", prepare=fills[axis](), settings=settings)
        self.label = f"{size:,} {LABELS[axis]}"

    def count(self) -> int:
        """Copies in mailboxes, or finished deliveries."""
        queue = self.axis in ("queue", "backlog")
        query = "SELECT COUNT(*) FROM delivery WHERE finished_at IS NOT NULL AND status = 'done'"
        connection = apsw.Connection(str(self.database), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(5000)
            row = connection.execute(query if queue else "SELECT SUM(messages) FROM mailbox").fetchone()
        finally:
            connection.close()
        return int(row[0] or 0) if row is not None else 0


class Sink:
    """smtp-sink of Postfix: takes everything and throws it away."""

    def __init__(self) -> None:
        self.port = free_port()
        program, env = postfix_tool("smtp-sink")
        user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to stay root
        words = [program, *user, "-h", "sink.test", f"inet:127.0.0.1:{self.port}", "1000"]
        self._daemon = Daemon("smtp-sink", words, log=servers.fresh("sink") / "log", env=env)
        self._daemon.wait_port(self.port)

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()
        shutil.rmtree(self._daemon.log.parent, ignore_errors=True)


def arrivals(axis: str, sizes: list[int], rounds: int, messages: int) -> list[Point]:
    """Rates of one axis, in turn."""
    points = [Point(size) for size in sizes]
    running: list[FullServer] = []
    sink = Sink() if axis == "queue" else None
    try:
        for size in sizes:
            running.append(FullServer(axis, size, messages, sink.port if sink else 0))
        for server in running:
            measure(server, messages=min(messages, 500), numbered=axis == "accounts")
        for _ in range(rounds):
            for point, server in zip(points, running, strict=True):
                wait_quiet(5)
                found = measure(server, messages=messages, numbered=axis == "accounts")
                point.rates.append(found.rate)
                point.others.append(found.others)
    finally:
        for server in running:
            server.stop()
        if sink is not None:
            sink.stop()
    return points


def backlog(sizes: list[int], rounds: int, seconds: float) -> list[Point]:
    """Deliveries a second out of queues that are due at once, each size in some stretches of so many seconds."""
    points = [Point(size) for size in sizes]
    for point in points:
        sink = Sink()
        server: FullServer | None = None
        try:
            server = FullServer("backlog", point.size, 0, sink.port)
            _until_moving(server)
            for _ in range(rounds):
                before, begun = server.count(), time.perf_counter()
                time.sleep(seconds)
                done, took = server.count() - before, time.perf_counter() - begun
                if done:
                    point.rates.append(done / took)
                if server.count() >= point.size:
                    break
        finally:
            if server is not None:
                server.stop()
            sink.stop()
        if not point.rates:
            raise SystemExit(f"nothing left a queue of {point.size}")
    return points


def _until_moving(server: FullServer) -> None:
    end = time.monotonic() + 60
    while not server.count():
        if time.monotonic() > end:
            raise SystemExit(f"{server.label}: nothing was handed over in a minute")
        time.sleep(0.02)


IMAP = [
    ("STATUS (MESSAGES UNSEEN UIDNEXT)", b"STATUS INBOX (MESSAGES UNSEEN UIDNEXT)"),
    ("SELECT", b"SELECT INBOX"),
    ("FETCH of the 50 newest, list view", b"FETCH {newest}:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"),
    ("FETCH of 50 in the middle, whole", b"FETCH {middle}:{middle_end} (BODY.PEEK[])"),
    ("SEARCH UNSEEN", b"SEARCH UNSEEN"),
    ("SEARCH SINCE yesterday", b"SEARCH SINCE {yesterday}"),
    ("SEARCH SUBJECT of all", b"SEARCH SUBJECT week"),
    ("FETCH of all FLAGS", b"FETCH 1:* (FLAGS)"),
]


def reading(size: int, rounds: int) -> list[tuple[str, float]]:
    """(what, median milliseconds) of IMAP and POP3 on one mailbox of that size."""
    server = FullServer("mailbox", size, 0, 0)
    times: dict[str, list[float]] = {}
    numbers = {
        "newest": str(max(1, size - 49)),
        "middle": str(max(1, size // 2)),
        "middle_end": str(size // 2 + 49),
        "yesterday": time.strftime("%d-%b-%Y", time.gmtime(time.time() - 86_400)),
    }
    try:
        with servers.Imap(server.imaps, server.certificate) as client:
            for _ in range(rounds):
                for name, command in IMAP:
                    words = command
                    for key, value in numbers.items():
                        words = words.replace(b"{%s}" % key.encode(), value.encode())
                    begun = time.perf_counter()
                    client.ask(words)
                    times.setdefault(f"IMAP {name}", []).append(time.perf_counter() - begun)
        trust = ssl.create_default_context(cafile=str(server.certificate))
        for _ in range(rounds):
            pop = poplib.POP3_SSL("localhost", server.pop3s, context=trust, timeout=300)
            pop.user(servers.RECIPIENT)
            steps: list[tuple[str, Callable[[], object]]] = [
                ("sign-in", partial(pop.pass_, servers.PASSWORD)),
                ("STAT", pop.stat),
                ("UIDL of all", pop.uidl),
                ("RETR of the newest", partial(pop.retr, size)),
            ]
            for name, work in steps:
                begun = time.perf_counter()
                work()
                times.setdefault(f"POP3 {name}", []).append(time.perf_counter() - begun)
            pop.quit()
    finally:
        server.stop()
    return [(name, statistics.median(found) * 1000) for name, found in times.items()]


def verdict(points: list[Point]) -> str:
    """"flat", or how far it falls."""
    lowest = min(point.rate for point in points) / points[0].rate
    return "flat within 20 %" if lowest >= FLAT else f"falls to {lowest:.0%}"


def main() -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=4000, help="in each round")
    parser.add_argument("--only", default="mailbox,accounts,queue,backlog,reading")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does the program work?")
    parser.add_argument("--save", action="store_true", help="append to bench/results/ and draw docs/growth.svg")
    given = parser.parse_args()
    rounds, messages = (1, 200) if given.quick else (given.rounds, given.messages)
    sizes = QUICK if given.quick else SIZES
    wanted = given.only.split(",")
    result: dict[str, list[Point]] = {}
    for axis in ("mailbox", "accounts", "queue", "backlog"):
        if axis in wanted:
            result[axis] = backlog(sizes[axis], rounds, 0.2 if given.quick else 4) if axis == "backlog" else arrivals(
                axis, sizes[axis], rounds, messages
            )
            show(axis, result[axis])
    read = reading(sizes["mailbox"][-1], 1 if given.quick else 3) if "reading" in wanted else []
    if read:
        print(f"\nA mailbox of {sizes['mailbox'][-1]:,} messages, one connection, TLS:\n")
        print(servers.table([("what", "ms"), *((name, f"{ms:,.1f}") for name, ms in read)]))
    if given.save:
        save(result, read, rounds, messages)


def show(axis: str, points: list[Point]) -> None:
    """One table."""
    first = points[0].rate
    rows: list[tuple[object, ...]] = [(LABELS[axis], "msgs/s", "lowest … highest", "of the first", "others used")]
    rows += [
        (
            f"{p.size:,}",
            f"{p.rate:.0f}",
            f"{min(p.rates):.0f} … {max(p.rates):.0f}",
            f"{p.rate / first:.0%}",
            f"{max(p.others):.0%}" if p.others else "–",
        )
        for p in points
    ]
    print(f"\n{servers.table(rows)}\n{verdict(points)}", flush=True)


def save(result: dict[str, list[Point]], read: list[tuple[str, float]], rounds: int, messages: int) -> None:
    """The line of results, and the picture of the last line that has each axis."""
    rates = {axis: {str(p.size): [round(rate, 1) for rate in p.rates] for p in points} for axis, points in result.items()}
    servers.save(
        "growth",
        {
            "when": time.strftime("%Y-%m-%d"),
            "machine": servers.machine(),
            "rounds": rounds,
            "messages": messages,
            "rates": rates,
            "reading_ms": {name: round(ms, 2) for name, ms in read},
        },
    )
    panels: dict[str, list[tuple[int, float]]] = {}
    for line in servers.results("growth"):
        for axis, found in line["rates"].items():
            panels[axis] = [(int(size), statistics.median(values)) for size, values in found.items()]
    panels = {axis: panels[axis] for axis in LABELS if axis in panels}
    picture = plot.growth([(LABELS[axis], points) for axis, points in panels.items()], FLAT)
    (servers.BENCH.parent / "docs" / "growth.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    with servers.alone():
        main()

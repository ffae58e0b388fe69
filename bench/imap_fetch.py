"""How many messages a second does a client read from Ekiden over IMAP (TLS)?

    python -m bench.imap_fetch [--messages 2000] [--size 4096] [--rounds 5]

Prints msgs/s for whole messages, for what a mail list shows (FLAGS, ENVELOPE, BODYSTRUCTURE …), for flags alone and for SEARCH,
and the time of SELECT, each the median of the rounds on one connection.
"""

from __future__ import annotations

import argparse
import statistics
import time

from bench import servers
from bench.load import send

COMMANDS = [
    ("whole messages", b"UID FETCH 1:* (BODY.PEEK[])"),
    ("list view", b"UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"),
    ("headers", b"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)])"),
    ("flags", b"UID FETCH 1:* (FLAGS)"),
    ("search by subject", b"UID SEARCH SUBJECT smtp-source"),
]


def main() -> None:
    """Start a server, fill its mailbox, read it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--size", type=int, default=4096, help="bytes of a message")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="200 messages, one round: does the program work?")
    parser.add_argument("--save", action="store_true", help="append the result to bench/results/")
    given = parser.parse_args()
    if given.quick:
        given.messages, given.rounds = 200, 1
    server = servers.EkidenServer()
    try:
        differences = server.differences()
        print(servers.table([("setting", "default", "here"), *differences]), "\n")
        send(server.port, sessions=20, messages=given.messages, size=given.size)
        rates: dict[str, list[float]] = {name: [] for name, _ in COMMANDS}
        selects: list[float] = []
        with servers.Imap(server.imaps, server.certificate) as client:
            for _ in range(given.rounds):
                start = time.perf_counter()
                client.ask(b"SELECT INBOX")
                selects.append(time.perf_counter() - start)
                for name, command in COMMANDS:
                    start = time.perf_counter()
                    answer = client.ask(command)
                    rates[name].append(given.messages / (time.perf_counter() - start))
                    if b"FETCH" in command and answer.count(b" FETCH (") < given.messages:
                        raise RuntimeError(f"{name}: fewer answers than messages")
    finally:
        server.stop()
    rows: list[tuple[object, ...]] = [("what is read", "msgs/s", "lowest … highest")]
    rows += [(name, f"{statistics.median(found):.0f}", f"{min(found):.0f} … {max(found):.0f}") for name, found in rates.items()]
    print(f"{server.label}: {given.messages} messages of {given.size} bytes, one connection, TLS")
    print(servers.table(rows))
    print(f"SELECT: {statistics.median(selects) * 1000:.1f} ms")
    if given.save:
        servers.save(
            "imap_fetch",
            {
                "when": time.strftime("%Y-%m-%d"),
                "machine": servers.machine(),
                "server": server.label,
                "messages": given.messages,
                "size": given.size,
                "rates": {name: [round(rate, 1) for rate in found] for name, found in rates.items()},
                "select_ms": round(statistics.median(selects) * 1000, 2),
                "settings": {key: here for key, _, here in differences},
            },
        )


if __name__ == "__main__":
    with servers.alone():
        main()

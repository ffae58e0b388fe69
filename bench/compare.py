"""Ekiden beside Postfix: the same load, in turn, on the same machine, in one run.

    python -m bench.compare [--messages 4000] [--rounds 7] [--save]

Each message of 4 KiB goes over one of 20 connections that stay open, is durable before its 250, and counts when it is in the
mailbox. Rounds go in turn (Ekiden, Postfix, Postfix tuned, Ekiden …), so that a slow minute of the machine meets all; a turn in
which other programs were at work does not count and is taken again.
"""

from __future__ import annotations

import argparse
import statistics
import time

from bench import servers
from bench.load import Round, measure, median, wait_quiet


def main() -> None:
    """Start all, load them in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--messages", type=int, default=4000, help="in each round")
    parser.add_argument("--size", type=int, default=4096, help="bytes of a message")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--noise", type=float, default=0.15, help="share of the processors that others may use in a round that counts")
    parser.add_argument("--save", action="store_true", help="append the result to bench/results/")
    given = parser.parse_args()
    running: list[servers.Server] = []
    rounds: list[list[Round]] = []
    try:
        ours = servers.EkidenServer()
        running = [ours, servers.PostfixServer("default"), servers.PostfixServer("tuned")]
        rounds = [[] for _ in running]
        differences = ours.differences()
        for server in running:
            measure(server, sessions=given.sessions, messages=300, size=given.size)
        turns = 0
        while len(rounds[0]) < given.rounds and turns < 4 * given.rounds:
            turns += 1
            turn = []
            for server in running:
                wait_quiet()
                turn.append(measure(server, sessions=given.sessions, messages=given.messages, size=given.size))
            quiet = max(one.others for one in turn) < given.noise
            for measured, one in zip(rounds, turn, strict=True):
                measured.extend([one] if quiet else [])
            said = ", ".join(f"{server.label} {one.rate:.0f}" for server, one in zip(running, turn, strict=True))
            print(f"{'round' if quiet else 'not counted, others were at work'}: {said}", flush=True)
        if not rounds[0]:
            raise SystemExit("the machine was never quiet enough to measure anything")
    finally:
        for server in running:
            server.stop()
    print("\nSettings of Ekiden that are not at their defaults:\n")
    print(servers.table([("setting", "default", "here"), *differences]), "\n")
    control = median(rounds[1])[0]
    head = ("server", "msgs/s in the mailbox", "lowest … highest", "× Postfix", "server µs/msg", "client µs/msg")
    rows: list[tuple[object, ...]] = [head]
    for server, measured in zip(running, rounds, strict=True):
        middle, low, high = median(measured)
        rows.append((server.label, f"{middle:.0f}", f"{low:.0f} … {high:.0f}", f"{middle / control:.2f}", *_cpu(measured)))
    print(servers.table(rows))
    if given.save:
        servers.save(
            "compare",
            {
                "when": time.strftime("%Y-%m-%d"),
                "machine": servers.machine(),
                "sessions": given.sessions,
                "messages": given.messages,
                "size": given.size,
                "settings": {key: here for key, _, here in differences},
                "servers": {s.label: [round(one.rate, 1) for one in m] for s, m in zip(running, rounds, strict=True)},
            },
        )


def _cpu(measured: list[Round]) -> tuple[str, str]:
    server = statistics.median(one.server_cpu_s / one.messages for one in measured) * 1e6
    client = statistics.median(one.client_cpu_s / one.messages for one in measured) * 1e6
    return f"{server:.0f}", f"{client:.0f}"


if __name__ == "__main__":
    with servers.alone():
        main()

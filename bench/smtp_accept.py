"""How many 4-KiB messages a second does Ekiden take into a mailbox, each durable before its 250?

    python -m bench.smtp_accept [--sessions 20] [--messages 6000] [--size 4096] [--rounds 5]

Prints every setting that differs from its default, msgs/s (median, lowest, highest) and the processor time of a message.
"""

from __future__ import annotations

import argparse
import statistics
import time

from bench import servers
from bench.load import measure, median


def main() -> None:
    """Start a server, load it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--messages", type=int, default=6000, help="in each round")
    parser.add_argument("--size", type=int, default=4096, help="bytes of a message")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="append the result to bench/results/")
    given = parser.parse_args()
    server = servers.EkidenServer()
    try:
        differences = server.differences()
        print(servers.table([("setting", "default", "here"), *differences]), "\n")
        measure(server, sessions=given.sessions, messages=1000, size=given.size)  # warm
        rounds = []
        for number in range(given.rounds):
            rounds.append(measure(server, sessions=given.sessions, messages=given.messages, size=given.size))
            print(f"round {number + 1}: {rounds[-1].rate:.0f} msgs/s", flush=True)
    finally:
        server.stop()
    middle, low, high = median(rounds)
    cpu = statistics.median(one.server_cpu_s / one.messages for one in rounds) * 1e6
    client = statistics.median(one.client_cpu_s / one.messages for one in rounds) * 1e6
    print(
        f"{server.label}: {middle:.0f} msgs/s ({low:.0f} … {high:.0f}), {given.sessions} sessions, {given.size} bytes, "
        f"{cpu:.0f} µs of processor time a message (load generator {client:.0f} µs)"
    )
    if given.save:
        servers.save(
            "smtp_accept",
            {
                "when": time.strftime("%Y-%m-%d"),
                "machine": servers.machine(),
                "server": server.label,
                "sessions": given.sessions,
                "messages": given.messages,
                "size": given.size,
                "rates": [round(one.rate, 1) for one in rounds],
                "median": round(middle, 1),
                "server_cpu_us": round(cpu),
                "client_cpu_us": round(client),
                "settings": {key: here for key, _, here in differences},
            },
        )


if __name__ == "__main__":
    with servers.alone():
        main()

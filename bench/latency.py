"""How long does a sender wait for the 250 after the dot, while the server is at half of what it can do?

    python -m bench.latency [--rounds 5] [--seconds 5] [--quick] [--save]

First the peak of each server (smtp-source, 20 connections, 4 KiB), then an open loop (bench/open_loop.py) at half of it, Poisson
arrivals over 40 connections: Ekiden, Postfix and, to see what the loads have in common, Postfix's load on Ekiden. In turn.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from bench import servers
from bench.load import busy_seconds, cpu_seconds, measure, wait_quiet

_CONNECTIONS = 40


def half_load(server: servers.Server, rate: float, seconds: float) -> dict[str, list[float]]:
    """One round: the percentiles 50, 90, 99 and 99.9 in ms, from the dot ("dot") and from the timetable ("whole")."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy, cpu, start = busy_seconds(), cpu_seconds(server.pid), time.perf_counter()
    words = [sys.executable, "-m", "bench.open_loop", str(server.port), f"{rate:.1f}", f"{seconds:g}", str(_CONNECTIONS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, cwd=servers.BENCH.parent)
    if done.returncode:
        raise SystemExit(f"{server.label}: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stdout)
    took = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # the load with its start and its imports
    load = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    elsewhere = busy_seconds() - busy - (cpu_seconds(server.pid) - cpu) - load
    others = max(0.0, elsewhere / took / (os.cpu_count() or 1))
    return {"dot": found["dot_ms"], "whole": found["whole_ms"], "others": [others], "rate": [found["messages"] / found["seconds"]]}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of each round")
    parser.add_argument("--processes", default="1,2", help="one Ekiden for each of these numbers of processes")
    parser.add_argument("--noise", type=float, default=0.2, help="share of the processors that others may use in a round that counts")
    parser.add_argument("--quick", action="store_true", help="one short round, whatever else the machine does: does the program work?")
    parser.add_argument("--save", action="store_true", help="append the result to bench/results/")
    given = parser.parse_args()
    rounds, seconds, noise = (1, 0.5, 2.0) if given.quick else (given.rounds, given.seconds, given.noise)
    running: list[servers.Server] = []
    found: dict[str, list[dict[str, list[float]]]] = {}
    loads: list[tuple[str, servers.Server, float]] = []
    try:
        ours = [servers.EkidenServer(f"ekiden-{n}", processes=int(n)) for n in given.processes.split(",")]
        postfix = servers.PostfixServer("default")
        running = [*ours, postfix]
        for server in running:
            measure(server, messages=200)
            wait_quiet(5)
            peak = statistics.median(measure(server, messages=200 if given.quick else 2000).rate for _ in range(1 if given.quick else 3))
            loads.append((f"{server.label} at half of its {peak:,.0f}/s", server, peak / 2))
        loads.append((f"{ours[0].label} at the load of {postfix.label}", ours[0], loads[-1][2]))
        turns = 0
        while len(found.get(loads[0][0], [])) < rounds and turns < 4 * rounds:
            turns += 1
            turn = []
            for _, server, rate in loads:
                wait_quiet(5)
                turn.append(half_load(server, rate, seconds))
            quiet = max(one["others"][0] for one in turn) < noise
            print("round" if quiet else "not counted, others were at work", [one["dot"][2] for one in turn], flush=True)
            for (name, _, _), one in zip(loads, turn, strict=True):
                found.setdefault(name, []).extend([one] if quiet else [])
        if not found[loads[0][0]]:
            raise SystemExit("the machine was never quiet enough to measure anything")
    finally:
        for server in running:
            server.stop()
    head = ("load", "msgs/s", "p50 ms", "p90 ms", "p99 ms", "p99 lowest … highest", "p99.9 ms", "p99 from the timetable")
    rows: list[tuple[object, ...]] = [head]
    for name, measured in found.items():
        middle = [statistics.median(one["dot"][n] for one in measured) for n in range(4)]
        p99 = [one["dot"][2] for one in measured]
        whole = statistics.median(one["whole"][2] for one in measured)
        rate = statistics.median(one["rate"][0] for one in measured)
        shown = [f"{ms:.2f}" for ms in middle]
        rows.append((name, f"{rate:,.0f}", *shown[:3], f"{min(p99):.2f} … {max(p99):.2f}", shown[3], f"{whole:.2f}"))
    print(f"\n250 after the dot, 4 KiB, {_CONNECTIONS} connections, {len(p99)} rounds of {seconds:g} s\n\n{servers.table(rows)}\n")
    if given.save:
        servers.save(
            "latency", {"when": time.strftime("%Y-%m-%d"), "machine": servers.machine(), "seconds": seconds, "rounds_of": found}
        )


if __name__ == "__main__":
    with servers.alone():
        main()

"""Ekiden beside its peers: the same load, in turn, on the same machine, in one run.

    python -m bench.compare [WORK …] [--processes 1,2] [--rounds 5] [--quick] [--save]

    persistent  4 KiB, 20 connections that stay open; beside Postfix
    single      4 KiB, 20 sessions, one message a connection; beside Postfix
    hundred     4 KiB, 100 connections that stay open; beside Postfix
    100k, 5m    messages of 100 KiB and 5 MiB, 20 connections that stay open; beside Postfix, and beside the disk alone
    discard     4 KiB, 20 connections that stay open, accepted and thrown away by one process; beside smtp-server, Haraka, aiosmtpd

A message is durable before its 250 and counts when it is in the mailbox (not for discard). Rounds go in turn (Ekiden, Postfix,
Postfix tuned, Ekiden …), so that a slow minute of the machine meets all; a turn in which other programs were at work does not
count and is taken again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench import discarders, servers
from bench.files import Files
from bench.load import Round, measure, median, wait_quiet


@dataclass(frozen=True, slots=True)
class Work:
    """One row of what is asked. control: the label, or its beginning, of the server that the others are compared with."""

    name: str
    title: str
    sessions: int = 20
    messages: int = 4000
    size: int = 4096
    persistent: bool = True
    keeps: bool = True
    disk: bool = False
    control: str = "Postfix"


WORKS = [
    Work("persistent", "4 KiB, 20 connections that stay open"),
    Work("single", "4 KiB, 20 sessions, one message a connection", messages=3000, persistent=False),
    Work("hundred", "4 KiB, 100 connections that stay open", sessions=100),
    Work("100k", "100 KiB, 20 connections that stay open", messages=1000, size=100 * 1024, disk=True),
    Work("5m", "5 MiB, 20 connections that stay open", messages=60, size=5 * 1024 * 1024, disk=True),
    Work("discard", "4 KiB, 20 connections that stay open, accepted and thrown away", messages=8000, keeps=False, control="smtp-server"),
]
Contender = servers.Server | Files
Differences = list[tuple[str, object, object]]


def contenders(work: Work, processes: Sequence[int]) -> list[Callable[[], Contender]]:
    """How to start each server of a work."""
    if not work.keeps:
        return [discarders.EkidenDiscards, discarders.SmtpServerNpm, discarders.Haraka, discarders.Aiosmtpd]
    ours: list[Callable[[], Contender]] = [
        lambda count=count: servers.EkidenServer(f"ekiden-{count}", processes=count)  # type: ignore[misc]  # binds each count
        for count in processes
    ]
    peers: list[Callable[[], Contender]] = [lambda: servers.PostfixServer("default"), lambda: servers.PostfixServer("tuned")]
    return [*ours, *peers, *([Files] if work.disk else [])]


def one(work: Work, contender: Contender) -> Round:
    """One round of one contender."""
    if isinstance(contender, Files):
        return contender.measure(work.messages, work.size)
    return measure(
        contender,
        sessions=work.sessions,
        messages=work.messages,
        size=work.size,
        persistent=work.persistent,
        keeps=work.keeps,
    )


def compare(work: Work, processes: Sequence[int], rounds: int, noise: float) -> tuple[dict[str, list[Round]], Differences]:
    """(rounds that count, by label; settings of Ekiden that are not at their defaults)."""
    running: list[Contender] = []
    try:
        for start in contenders(work, processes):
            running.append(start())
        ours = running[0]
        differences = ours.differences() if isinstance(ours, servers.EkidenServer) else []
        for contender in running:
            one(replace(work, messages=max(work.sessions, work.messages // 4)), contender)
        kept: list[list[Round]] = [[] for _ in running]
        turns = 0
        while len(kept[0]) < rounds and turns < 4 * rounds:
            turns += 1
            turn = []
            for contender in running:
                wait_quiet()
                turn.append(one(work, contender))
            quiet = max(found.others for found in turn) < noise
            for found, measured in zip(turn, kept, strict=True):
                measured.extend([found] if quiet else [])
            said = ", ".join(f"{contender.label} {found.rate:.0f}" for contender, found in zip(running, turn, strict=True))
            print(f"{'round' if quiet else 'not counted, others were at work'}: {said}", flush=True)
        if not kept[0]:
            raise SystemExit(f"{work.name}: the machine was never quiet enough to measure anything")
        return {contender.label: found for contender, found in zip(running, kept, strict=True)}, differences
    finally:
        for contender in running:
            contender.stop()


def show(work: Work, found: dict[str, list[Round]]) -> None:
    """The table of one work."""
    base = next(measured for label, measured in found.items() if label.startswith(work.control))
    control = median(base)[0]
    disk = median(found[Files.label])[0] if work.disk else 0.0
    head = ("server", "msgs/s", "lowest … highest", f"× {work.control}", "server µs/msg", "load µs/msg")
    rows: list[tuple[object, ...]] = [(*head, "of the disk alone") if work.disk else head]
    for label, measured in found.items():
        middle, low, high = median(measured)
        row = (label, f"{middle:,.0f}", f"{low:,.0f} … {high:,.0f}", f"{middle / control:.2f}", *_cpu(measured))
        rows.append((*row, f"{middle / disk:.0%}") if work.disk else row)
    print(f"\n{work.title} ({work.messages} messages a round, {len(base)} rounds)\n\n{servers.table(rows)}\n", flush=True)


def _cpu(measured: list[Round]) -> tuple[str, str]:
    server = statistics.median(one.server_cpu_s / one.messages for one in measured) * 1e6
    client = statistics.median(one.client_cpu_s / one.messages for one in measured) * 1e6
    return f"{server:,.0f}", f"{client:,.0f}"


def main() -> None:
    """Each work: start all, load them in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK", help="of the list above; all of them if none is named")
    parser.add_argument("--processes", default="1,2", help="one Ekiden for each of these numbers of processes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--noise", type=float, default=0.15, help="share of the processors that others may use in a round that counts")
    parser.add_argument("--quick", action="store_true", help="one small round, whatever else the machine does: does the program work?")
    parser.add_argument("--save", action="store_true", help="append the results to bench/results/")
    given = parser.parse_args()
    names = [work.name for work in WORKS]
    if unknown := set(given.works) - set(names):
        parser.error(f"no such work: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    rounds, noise = (1, 2.0) if given.quick else (given.rounds, given.noise)
    processes = [int(number) for number in given.processes.split(",")]
    shown = False
    for work in WORKS:
        if given.works and work.name not in given.works:
            continue
        here = replace(work, messages=max(work.sessions, work.messages // 20)) if given.quick else work
        found, differences = compare(here, processes, rounds, noise)
        if not shown:
            print("\nSettings of Ekiden that are not at their defaults:\n")
            print(servers.table([("setting", "default", "here"), *differences]))
            shown = True
        show(here, found)
        if given.save:
            save(here, found, differences)


def save(work: Work, found: dict[str, list[Round]], differences: Differences) -> None:
    """One line of results."""
    servers.save(
        "compare",
        {
            "when": time.strftime("%Y-%m-%d"),
            "machine": servers.machine(),
            "work": work.name,
            "sessions": work.sessions,
            "persistent": work.persistent,
            "messages": work.messages,
            "size": work.size,
            "settings": {key: here for key, _, here in differences},
            "servers": {label: [round(one.rate, 1) for one in measured] for label, measured in found.items()},
            "server_cpu_us": {label: [round(one.server_cpu_s / one.messages * 1e6) for one in m] for label, m in found.items()},
        },
    )


if __name__ == "__main__":
    with servers.alone():
        main()

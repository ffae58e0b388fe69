"""The load on an SMTP door: smtp-source, the load generator of Postfix, which costs far less than any server under test.

Python only starts it and reads the clocks. Nothing is measured of the client but its processor time, so that it can be seen
that it was not the one that waited.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.servers import RECIPIENT, Server
from tests.peers import catalogue

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Round:
    """One measured load."""

    messages: int
    accept_s: float  # from the first connection to the last 250
    arrived_s: float  # until the last message was in the mailbox
    server_cpu_s: float  # processor time of the server's processes
    client_cpu_s: float
    others: float  # share of the machine's processors that everything else used meanwhile, 0 … 1

    @property
    def rate(self) -> float:
        """Messages a second, all of them in the mailbox."""
        return self.messages / self.arrived_s


def postfix_tool(name: str) -> tuple[str, dict[str, str]]:
    """The path of smtp-source or smtp-sink, and the environment that it runs in."""
    tree = catalogue.tree("postfix-tools")
    env = tree.environment()
    env["LD_LIBRARY_PATH"] = f"{tree.root}/usr/lib/postfix:" + env.get("LD_LIBRARY_PATH", "")
    return str(tree.program(name)), env


def send(
    port: int, *, sessions: int, messages: int, size: int, persistent: bool = True, numbered: bool = False,
    file: Path | None = None,
) -> tuple[float, float]:
    """Send messages of `size` bytes over so many connections at once; (seconds, processor seconds of the client).

    persistent: many messages a connection, not one. numbered: each message to another recipient, 0inbox@…, 1inbox@… and so on.
    file: a whole message, LF at line ends, that is sent instead of one that is made up.
    """
    program, env = postfix_tool("smtp-source")
    words = [
        program,
        "-s",
        str(sessions),
        "-m",
        str(messages),
        *(["-l", str(size)] if file is None else ["-F", str(file)]),
        "-f",
        "load@client.test",
        "-t",
        RECIPIENT,
        "-M",
        "client.test",
        "-C",
        "20",
        *(["-d"] if persistent else []),
        *(["-N"] if numbered else []),
        f"inet:127.0.0.1:{port}",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600, check=False)
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"smtp-source: {(done.stdout + done.stderr).strip()[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(
    server: Server,
    *,
    sessions: int = 20,
    messages: int = 4000,
    size: int = 4096,
    persistent: bool = True,
    numbered: bool = False,
    keeps: bool = True,
    file: Path | None = None,
) -> Round:
    """Send, and wait until all has arrived. Raises RuntimeError if any is missing after a minute, or if there are too many.

    keeps: False for a server that throws everything away; then nothing may arrive.
    """
    had = server.count()
    cpu, busy = cpu_seconds(server.pid), busy_seconds()
    start = time.perf_counter()
    accept, client = send(
        server.port, sessions=sessions, messages=messages, size=size, persistent=persistent, numbered=numbered, file=file
    )
    arrived_s = accept  # if all is there by now, it was when the last 250 came
    elsewhere = busy_seconds() - busy - client - (cpu_seconds(server.pid) - cpu)
    others = min(1.0, max(0.0, elsewhere / accept / (os.cpu_count() or 1)))
    wanted = messages if keeps else 0
    while (arrived := server.count() - had) != wanted:
        if arrived > wanted or time.perf_counter() - start > accept + 60:
            raise RuntimeError(f"{server.label}: {arrived} of {wanted} messages arrived")
        time.sleep(0.005)
        arrived_s = time.perf_counter() - start
    return Round(messages, accept, arrived_s, cpu_seconds(server.pid) - cpu, client, others)


def wait_quiet(seconds: float = 30, level: float = 0.1) -> None:
    """Wait until the machine is nearly idle, but not for ever."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(0.4)
        if (busy_seconds() - before) / 0.4 / (os.cpu_count() or 1) < level:
            return


def busy_seconds() -> float:
    """Processor time that the whole machine has been busy since it started."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, irq, softirq = (int(word) for word in file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / _TICK


def cpu_seconds(root: int) -> float:
    """Processor time that a process and all below it have used so far (children that ended count with their parent)."""
    facts = _processes()
    return sum(facts[pid][1] for pid in _below(root, facts) if pid in facts)


def family(root: int) -> set[int]:
    """A process and all below it."""
    return _below(root, _processes())


def _processes() -> dict[int, tuple[int, float]]:
    """The parent and the processor seconds of every process."""
    found: dict[int, tuple[int, float]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    words = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            found[int(name)] = (int(words[1]), sum(int(word) for word in words[11:15]) / _TICK)
    return found


def _below(root: int, facts: dict[int, tuple[int, float]]) -> set[int]:
    members = {root}
    while more := {pid for pid, (parent, _) in facts.items() if parent in members} - members:
        members |= more
    return members


def median(rounds: list[Round]) -> tuple[float, float, float]:
    """(median, lowest, highest) rate."""
    rates = sorted(one.rate for one in rounds)
    return statistics.median(rates), rates[0], rates[-1]

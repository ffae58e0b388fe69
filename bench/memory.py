"""How much memory does Ekiden hold: idle with two processes, and for each of thousands of idle TLS connections?

    python -m bench.memory [--connections 5000] [--size 300] [--quick] [--save]

Memory is PSS (/proc/PID/smaps_rollup) of all processes of the server: what they share counts once. The connections belong to a
program of its own (`python -m bench.memory --hold …`). Each takes up TLS with STARTTLS, sends one message of 300 KiB, hears its
250 and stays; in the end each of them still has to answer NOOP. They come from 127.0.0.1, .2 … so that no address runs out of ports.
"""

from __future__ import annotations

import argparse
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench import servers
from bench.load import family, measure, wait_quiet

IDLE_MIB = 150
EACH_KIB = 64
_PER_ADDRESS = 2000
_HANDS = 4


def pss_kib(root: int) -> int:
    """Of a process and all below it."""
    total = 0
    for pid in family(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it has just ended
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def idle(processes: int) -> tuple[int, int, int]:
    """(KiB a little after the start, KiB after a load of 2,000 messages and IMAP, how many processes there are)."""
    server = servers.EkidenServer(f"idle-{processes}", processes=processes)
    try:
        time.sleep(2)
        fresh, there = pss_kib(server.pid), len(family(server.pid))
        measure(server, messages=2000)
        time.sleep(2)
        return fresh, pss_kib(server.pid), there
    finally:
        server.stop()


def held(connections: int, size: int) -> tuple[int, int, float]:
    """(KiB before, KiB while they are held, seconds that it took to open them), one process."""
    settings = {
        "EKIDEN_LIMITS__CONNECTIONS": str(connections + 100),
        "EKIDEN_TIMEOUTS__SMTP__COMMAND": "30m",  # nobody is to be thrown out while the others come
    }
    server = servers.EkidenServer("held", settings=settings)
    client: subprocess.Popen[str] | None = None
    try:
        measure(server, messages=200)
        time.sleep(1)
        before, begun = pss_kib(server.pid), time.perf_counter()
        words = [sys.executable, "-m", "bench.memory", "--hold", str(server.port), "--connections", str(connections), "--size", str(size)]
        client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=servers.BENCH.parent)
        if client.stdin is None or client.stdout is None:
            raise RuntimeError("no pipe")
        _expect(client.stdout.readline(), f"held {connections}")
        took = time.perf_counter() - begun
        time.sleep(2)
        holding = pss_kib(server.pid)
        client.stdin.write("check\n")
        client.stdin.flush()
        _expect(client.stdout.readline(), f"alive {connections}")
        return before, holding, took
    finally:
        if client is not None:
            client.kill()
            client.wait()
        server.stop()


def _expect(line: str, wanted: str) -> None:
    if line.strip() != wanted:
        raise SystemExit(f"the holder of the connections said {line.strip()!r}, not {wanted!r}")


class _Held:
    """One connection of the client."""

    def __init__(self, port: int, number: int, context: ssl.SSLContext) -> None:
        source = f"127.0.0.{2 + number // _PER_ADDRESS}"
        plain = socket.create_connection(("127.0.0.1", port), timeout=120, source_address=(source, 0))
        self._socket: socket.socket = plain
        self.ask(b"")
        self.ask(b"EHLO client.test\r\n")
        self.ask(b"STARTTLS\r\n")
        self._socket = context.wrap_socket(plain)
        self.ask(b"EHLO client.test\r\n")

    def ask(self, line: bytes) -> None:
        """Say it; the answer has to be a good one."""
        self._socket.sendall(line)
        text = b""
        while not text.endswith(b"\r\n") or text.rsplit(b"\r\n", 2)[-2][3:4] != b" ":
            got = self._socket.recv(4096)
            if not got:
                raise RuntimeError("the server closed the connection")
            text += got
        if text[:1] not in b"23":
            raise RuntimeError(text.decode("ascii", "replace"))

    def send(self, content: bytes) -> None:
        """One message."""
        self.ask(b"MAIL FROM:<load@client.test>\r\n")
        self.ask(f"RCPT TO:<{servers.RECIPIENT}>\r\n".encode())
        self.ask(b"DATA\r\n")
        self.ask(content)


def hold(port: int, connections: int, size: int) -> None:
    """The client: open all, say so, wait for a line, let each of them answer, say so."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    content = b"Subject: held\r\n\r\n" + (b"x" * 78 + b"\r\n") * (size * 1024 // 80) + b".\r\n"
    all_of_them: list[_Held] = []

    def open_some(first: int) -> None:
        for number in range(first, connections, _HANDS):
            one = _Held(port, number, context)
            one.send(content)
            all_of_them.append(one)

    hands = [threading.Thread(target=open_some, args=(first,)) for first in range(_HANDS)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    print(f"held {len(all_of_them)}", flush=True)
    sys.stdin.readline()
    for one in all_of_them:
        one.ask(b"NOOP\r\n")
    print(f"alive {len(all_of_them)}", flush=True)
    sys.stdin.readline()


def main() -> None:
    """Measure, print; or hold connections."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--size", type=int, default=300, help="KiB of the message that each has sent")
    parser.add_argument("--processes", type=int, default=2, help="of the idle server")
    parser.add_argument("--quick", action="store_true", help="50 connections: does the program work?")
    parser.add_argument("--save", action="store_true", help="append the result to bench/results/")
    parser.add_argument("--hold", type=int, metavar="PORT", help="be the client")
    given = parser.parse_args()
    if given.hold is not None:
        hold(given.hold, given.connections, given.size)
        return
    with servers.alone():
        _measure(given.processes, 50 if given.quick else given.connections, given.size, given.save)


def _measure(processes: int, connections: int, size: int, save: bool) -> None:
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < connections + 500:
        raise SystemExit(f"{connections} connections need as many open files; this system allows {most} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), most))  # the server inherits it
    wait_quiet(5)
    fresh, loaded, there = idle(processes)
    before, holding, took = held(connections, size)
    each = (holding - before) / connections
    rows: list[tuple[object, ...]] = [
        ("what", "PSS", "bar"),
        (f"idle, processes = {processes} ({there} processes there), just started", f"{fresh / 1024:.0f} MiB", f"≤ {IDLE_MIB} MiB"),
        ("the same, after 2,000 messages", f"{loaded / 1024:.0f} MiB", f"≤ {IDLE_MIB} MiB"),
        ("one process before the connections", f"{before / 1024:.0f} MiB", ""),
        (f"the same with {connections:,} idle TLS connections", f"{holding / 1024:.0f} MiB", ""),
        (f"for each connection, after a message of {size} KiB", f"{each:.1f} KiB", f"≤ {EACH_KIB} KiB"),
    ]
    print(f"{servers.table(rows)}\n{connections:,} connections with their messages took {took:.0f} s; all of them answered in the end")
    if save:
        servers.save(
            "memory",
            {
                "when": time.strftime("%Y-%m-%d"),
                "machine": servers.machine(),
                "idle_kib": fresh,
                "idle_after_load_kib": loaded,
                "processes": processes,
                "processes_there": there,
                "connections": connections,
                "message_kib": size,
                "before_kib": before,
                "held_kib": holding,
                "each_kib": round(each, 2),
            },
        )


if __name__ == "__main__":
    main()

"""Where does the time of an accepted message go? A flame graph of a server under load, as docs/profile.svg.

    python -m bench.profile [--seconds 10] [--rate 250] [--out docs/profile.svg]

py-spy looks at the one process of the server so many times a second while smtp-source loads it over 20 connections; the server is
not changed by that, and its rate with and without py-spy is printed. A wide box is much time. py-spy is installed beside the
Python that runs this, if it is not there yet. Below the picture's frames the shares by module are printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench import servers
from bench.load import measure, send, wait_quiet
from tests.peers.process import run


def py_spy() -> str:
    """The program, installed if need be."""
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "py-spy"], seconds=300)
    return str(program)


def record(pid: int, seconds: float, rate: int, kind: str, out: Path) -> subprocess.Popen[bytes]:
    """Start looking. kind: "flamegraph" or "raw"."""
    words = [py_spy(), "record", "--pid", str(pid), "--duration", f"{seconds:g}", "--rate", str(rate), "--format", kind, "--function"]
    return subprocess.Popen([*words, "--output", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def without_places(text: str) -> str:
    """The same with the files named from their package on: where things lie on a machine is nobody's business."""
    text = re.sub(r'(<text id="title"[^>]*>)[^<]*', r"\1Ekiden while it takes mail: time by function", text)
    text = re.sub(r"(?:/[^\s/()&;:\"'<>]+)*/site-packages/", "", text)
    text = re.sub(r"(?:/[^\s/()&;:\"'<>]+)*/src/ekiden/", "ekiden/", text)
    return re.sub(r"(?:/[^\s/()&;:\"'<>]+)*/lib/python3\.\d+/", "", text)


def shares(raw: str) -> list[tuple[str, float]]:
    """(file of the innermost frame, share of the samples), the largest first."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        place = re.search(r"\(([^():]+)[^()]*\)$", stack.split(";")[-1])
        found[place[1] if place is not None else stack.split(";")[-1]] += int(count)
    total = found.total() or 1
    return [(name, count / total) for name, count in found.most_common()]


def main() -> None:
    """Load, look, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=250, help="looks a second")
    parser.add_argument("--quick", action="store_true", help="one second, nothing written: does the program work?")
    parser.add_argument("--out", type=Path, default=servers.BENCH.parent / "docs" / "profile.svg")
    given = parser.parse_args()
    seconds = 1.0 if given.quick else given.seconds
    server = servers.EkidenServer("profile")
    try:
        alone = measure(server, messages=500 if given.quick else 4000).rate
        texts: dict[str, str] = {}
        for kind in ("flamegraph", "raw"):
            wait_quiet(5)
            out = server.folder / kind
            watcher = record(server.pid, seconds, given.rate, kind, out)
            sent, spent = 0, 0.0
            while watcher.poll() is None:
                took, _ = send(server.port, sessions=20, messages=500, size=4096)
                sent, spent = sent + 500, spent + took
            if watcher.returncode:
                said = watcher.stderr.read().decode() if watcher.stderr is not None else ""
                raise SystemExit(f"py-spy: {said.strip()[-500:]}")
            texts[kind] = without_places(out.read_text("utf-8"))
    finally:
        server.stop()
    rows: list[tuple[object, ...]] = [("innermost frame in", "share")]
    rows += [(name, f"{share:.1%}") for name, share in shares(texts["raw"])[:15]]
    print(servers.table(rows))
    print(f"{alone:,.0f} msgs/s in the mailbox without py-spy, {sent / spent:,.0f} accepted a second while it looks")
    if not given.quick:
        given.out.write_text(texts["flamegraph"], "utf-8")
        print(f"written: {given.out.name}")


if __name__ == "__main__":
    with servers.alone():
        main()

"""Every measurement that docs/performance.md shows, one after the other.

    python -m bench.all [--quick] [--save]

About 25 minutes on a machine that does nothing else; --quick: about two minutes, small and noisy, to see that all programs work.
--save appends to bench/results/ and draws docs/growth.svg and docs/profile.svg.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from bench.servers import BENCH

# (program, does it know --save)
PROGRAMS = [
    ("compare", True),
    ("bare", False),
    ("latency", True),
    ("memory", True),
    ("growth", True),
    ("imap_fetch", True),
    ("profile", False),
]


def main() -> None:
    """Run them; the exit status is 1 if any has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    failed = []
    for name, saves in PROGRAMS:
        words = [sys.executable, "-m", f"bench.{name}"]
        words += ["--quick"] if given.quick else []
        words += ["--save"] if given.save and saves else []
        print(f"\n=== {' '.join(['python', *words[1:]])}\n", flush=True)
        begun = time.monotonic()
        if subprocess.run(words, cwd=BENCH.parent, check=False).returncode:
            failed.append(name)
        print(f"\n({time.monotonic() - begun:.0f} s)", flush=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()

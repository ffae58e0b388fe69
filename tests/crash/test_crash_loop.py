"""The crash loop: kill -9 at random, again and again, with every kind of client at work; all counters are zero afterwards.

Who dies is drawn, too: one worker, the supervisor alone, or every process. EKIDEN_SEED=NUMBER draws the same again.
Source: reliability.md §3.1, §3.2 (F-20), §1.3 (C1 … C3).
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.crash.faults import Failing, processes
from tests.crash.ledger.run import Run, begin, remote_host, settings

_WHO = ("worker", "supervisor", "all")
_AT_LEAST = 4


def _strike(server: Failing, who: str, dice: random.Random) -> None:
    if who == "worker":
        os.kill(dice.choice(processes(server)[1:] or [server.pid]), signal.SIGKILL)
        if server._daemon.process.poll() is not None:  # it was alone after all
            server.strike("all")
    else:
        server.strike(who)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("count", "seconds"), [
    (2, 12),
    pytest.param(1, 60, marks=pytest.mark.nightly),
    pytest.param(2, 60, marks=pytest.mark.nightly),
])
def test_however_often_it_is_killed_all_counters_stay_at_zero(
    tmp_path: Path, certificate: tuple[Path, Path, Path], people: Path, count: int, seconds: int
) -> None:
    seed = int(os.environ.get("EKIDEN_SEED") or random.SystemRandom().getrandbits(32))
    print(f"EKIDEN_SEED={seed}")
    dice = random.Random(seed)
    first = dice.sample(_WHO, len(_WHO))  # each at least once
    struck: list[str] = []
    with remote_host() as host:
        server = Failing(begin(people, tmp_path / "ekiden"), certificate, settings(host, count))
        server.serving(count + (count > 1))
        with Run(server, host, tmp_path / "ledgers", name=f"loop{seed}") as run:
            run.look()
            end = time.monotonic() + seconds
            while time.monotonic() < end or len(struck) < _AT_LEAST:
                time.sleep(dice.uniform(0.2, 3.0))  # how long it lives is what the test is about
                who = (first.pop() if first else dice.choice(_WHO)) if count > 1 else "all"
                struck.append(who)
                _strike(server, who, dice)
                run.look()
            run.calm()
            verdict = run.verdict()
        print(f"{len(struck)} kills ({', '.join(struck)}): {verdict}")
        assert verdict.is_clean, f"EKIDEN_SEED={seed}\n{verdict}"
        assert verdict.acknowledged > 50
        run.open_because_of(len(struck), verdict)
        server.said_nothing_bad()
        server.stop()

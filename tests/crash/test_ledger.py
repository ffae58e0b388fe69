"""kill -9 at random while clients send: what was acknowledged is there exactly once afterwards, and nothing else is doubled.

Source: reliability.md §1.3 (C1 … C3), §3.1, F-20.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tests.crash.ledger import run
from tests.crash.ledger.collect import everything as _everything
from tests.crash.ledger.collect import everything_queued as _queued
from tests.crash.ledger.verdict import Verdict
from tests.crash.ledger.writing import OFTEN, WITH_HUGE
from tests.doors.server import Ekiden

__all__ = ["_everything", "_queued"]  # for tests of failpoints

RECOVERY_S = 15.0  # from kill to an answer by IMAP, beside 22 clients that hammer; the bar of 5 s is for an idle machine


def _killed(
    tmp_path: Path,
    certificate: tuple[Path, Path, Path],
    people: Path,
    *,
    processes: int,
    kills: int,
    lives_s: tuple[float, float],
    huge: bool = False,
) -> Verdict:
    dice = random.Random(processes)
    recovered = []
    with run.remote_host() as host:
        server = Ekiden(run.begin(people, tmp_path / "ekiden"), certificate, run.settings(host, processes))
        try:
            with run.Run(server, host, tmp_path, often=WITH_HUGE if huge else OFTEN) as everybody:
                for _ in range(kills):
                    time.sleep(dice.uniform(*lives_s))  # how long it lives is what the test is about
                    server.kill()
                    began = time.monotonic()
                    server.start()
                    everybody.look()
                    recovered.append(time.monotonic() - began)
                time.sleep(0.5)
                everybody.calm()
                verdict = everybody.verdict()
                everybody.open_because_of(kills, verdict)
            server.stop()
        finally:
            run.end(server)
    print(f"recovered in {max(recovered):.1f} s at most\n{verdict}")
    assert max(recovered) < RECOVERY_S, recovered
    assert min(verdict.places[where] for where in ("mailbox", "queue", "report", "remote")) > 0, "the run has not been everywhere"
    assert min(verdict.acknowledged, verdict.refused, verdict.open) > 0
    return verdict


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("processes", "kills"), [(1, 2), pytest.param(2, 3, marks=pytest.mark.nightly)])
def test_after_kills_at_random_every_counter_of_the_ledger_is_zero(
    tmp_path: Path, certificate: tuple[Path, Path, Path], people: Path, processes: int, kills: int
) -> None:
    verdict = _killed(tmp_path, certificate, people, processes=processes, kills=kills, lives_s=(0.4, 1.2))
    assert verdict.is_clean, verdict
    assert verdict.acknowledged > 100


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_crash_loop_leaves_every_counter_at_zero(
    tmp_path: Path, certificate: tuple[Path, Path, Path], people: Path, processes: int
) -> None:
    """F-20: 40 lives of 0.2 to 3 s, also with messages of 5 MiB."""
    verdict = _killed(tmp_path, certificate, people, processes=processes, kills=40, lives_s=(0.2, 3.0), huge=True)
    assert verdict.is_clean, verdict

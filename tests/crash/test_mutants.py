"""Ekiden with a deliberate break, or a power cut, under the ledger: each break is caught, and without it the same check passes.

Source: reliability.md §3.1 (calibration), F-24.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from tests.crash.ledger import collect, run
from tests.crash.ledger.verdict import Verdict
from tests.doors.server import Ekiden
from tests.peers.process import until

from ekiden.testing.peers import ScriptedHost

_PROJECT = Path(__file__).resolve().parents[2]
_MANY_FILES = (4, 10, 40, 40, 0)
"""As writing.OFTEN, with so many large messages that their files matter."""
Certificate = tuple[Path, Path, Path]


class Broken(Ekiden):
    """An Ekiden with breaks of start_broken, until they are taken away. survivors: where a power cut leaves what it leaves."""

    def __init__(self, folder: Path, certificate: Certificate, host: ScriptedHost, breaks: str) -> None:
        self.breaks = breaks
        self.survivors = folder / "survivors"
        super().__init__(folder, certificate, run.settings(host))

    def _program(self) -> list[str]:
        return [sys.executable, "-m", "tests.crash.start_broken", self.breaks] if self.breaks else super()._program()

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**super()._environment(), "PYTHONPATH": path, "SURVIVORS": str(self.survivors)}

    def cut_power(self) -> None:
        """Nothing but what was synced is left; the process is gone."""
        os.kill(self.pid, signal.SIGUSR1)
        assert self._daemon.process.wait(60) == -signal.SIGKILL, self.log()
        self.kill()
        data = self.folder / "data"
        shutil.rmtree(data)
        shutil.move(self.survivors, data)


def _killed(tmp_path: Path, certificate: Certificate, people: Path, breaks: str, kills: int = 1) -> Verdict:
    """kill -9 under load, and at last a start without the breaks."""
    with run.remote_host() as host:
        server = Broken(run.begin(people, tmp_path / "ekiden"), certificate, host, breaks)
        try:
            with run.Run(server, host, tmp_path) as everybody:
                for life in range(1, kills + 1):
                    enough = everybody.acknowledged + 200
                    until(lambda: everybody.acknowledged > enough and everybody.all_succeeded, "mail is acknowledged", 30)  # noqa: B023
                    server.kill()
                    server.breaks = breaks if life < kills else ""
                    server.start()
                    everybody.look()
                everybody.calm()
                return everybody.verdict()
        finally:
            run.end(server)


def _without_power(tmp_path: Path, certificate: Certificate, people: Path, breaks: str, seed: str = "") -> Verdict:
    """The power goes under load; then a start without the breaks on what is left."""
    breaks = f"on-forgetful-disk,{breaks}".rstrip(",")
    with run.remote_host() as host:
        server = Broken(run.begin(people, tmp_path / f"ekiden{seed}"), certificate, host, breaks)
        try:
            with run.Run(server, host, tmp_path / f"run{seed}", name=f"run{seed}", senders=8, often=_MANY_FILES) as everybody:
                until(lambda: everybody.acknowledged > 50 and everybody.all_succeeded, "mail is acknowledged", 30)
                everybody.look()
                until(lambda: everybody.acknowledged > 100, "more mail is acknowledged", 30)
                server.cut_power()
                everybody.calm()
                if damaged := collect.damage(everybody.database, tmp_path / f"pages{seed}"):
                    return Verdict(damaged=damaged)  # it has been caught: nothing that such a store tells can be judged
                server.breaks = ""
                server.start()
                return everybody.verdict()
        finally:
            run.end(server)


@pytest.mark.slow
def test_250_before_the_commit_is_caught(tmp_path: Path, certificate: Certificate, people: Path) -> None:
    verdict = _killed(tmp_path, certificate, people, "early-250")
    assert verdict.lost, verdict


@pytest.mark.slow
def test_without_a_break_the_same_kills_leave_every_counter_at_zero(tmp_path: Path, certificate: Certificate, people: Path) -> None:
    verdict = _killed(tmp_path, certificate, people, "")
    assert verdict.is_clean, verdict


@pytest.mark.slow
def test_a_commit_that_does_not_wait_for_the_disk_is_caught(tmp_path: Path, certificate: Certificate, people: Path) -> None:
    verdict = _without_power(tmp_path, certificate, people, "synchronous-off")
    assert verdict.lost or verdict.damaged, verdict


@pytest.mark.slow
def test_a_file_whose_name_is_not_synced_is_caught(tmp_path: Path, certificate: Certificate, people: Path) -> None:
    verdict = _without_power(tmp_path, certificate, people, "no-directory-sync")
    assert verdict.dangling, verdict
    assert verdict.corrupt, "IMAP can show it"


@pytest.mark.slow
def test_without_a_break_a_power_cut_leaves_every_counter_at_zero(tmp_path: Path, certificate: Certificate, people: Path) -> None:
    verdict = _without_power(tmp_path, certificate, people, "")
    assert verdict.is_clean, verdict
    assert verdict.acknowledged > 90


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("breaks", ["", "synchronous-off", "no-directory-sync"])
def test_ten_power_cuts_tell_the_broken_from_the_sound(tmp_path: Path, certificate: Certificate, people: Path, breaks: str) -> None:
    for seed in range(10):
        verdict = _without_power(tmp_path, certificate, people, breaks, str(seed))
        assert verdict.is_clean == (not breaks), verdict


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("breaks", ["", "early-250"])
def test_twelve_kills_tell_the_broken_from_the_sound(tmp_path: Path, certificate: Certificate, people: Path, breaks: str) -> None:
    verdict = _killed(tmp_path, certificate, people, breaks, kills=12)
    assert verdict.is_clean == (not breaks), verdict

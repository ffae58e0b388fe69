"""A sync that fails: 451, the end of the process, never a second try on that file, and nothing acknowledged is lost.

Source: reliability.md §1.3 (C1, C4, C12), F-22, F-23.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from tests.crash.faults import processes, send, subjects, tampered
from tests.doors.server import Ekiden, Settings
from tests.peers.process import until

_INJECTED = re.compile(r"(fsync|fdatasync)\((\d+)<([^>]*)>\) .*\(INJECTED\)")


def _settings(count: int = 1) -> Settings:
    limits = ['free_space = "0"', "free_percent = 0", "connections_per_address = 500"]
    return Settings(doors=("mx", "imaps"), more={"": [f"processes = {count}"], "limits": limits})


def _ends(server: Ekiden) -> bool:
    try:
        return Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _syncs_after_the_error(log: str) -> list[str]:
    """Syncs of a file whose sync has failed before."""
    failed: set[str] = set()
    again = []
    for line in log.split("\n"):
        found = _INJECTED.search(line)
        if found:
            failed.add(found[3])
        elif any(f"<{name}>" in line for name in failed) and "sync(" in line:
            again.append(line)
    return again


def _fail_at(server: Ekiden, folder: Path, rule: str, size: int) -> tuple[list[str], list[str]]:
    """Send until the sync fails; what was acknowledged and what was not."""
    kept: list[str] = []
    refused: list[str] = []
    with tampered(server, folder / "strace", rule) as tracer:
        for number in range(80):
            code, _ = send(server, "alice@one.test", f"n{number}", size)
            (kept if code == 250 else refused).append(f"n{number}")
            if code != 250:
                assert code in (451, 452, 0), code
                break
        else:
            raise AssertionError("no sync has failed")
        until(lambda: _ends(server), "the process ends", 20)
        assert "INJECTED" in tracer.log
        assert _syncs_after_the_error(tracer.log) == []
    assert "event='store-fatal'" in server.log()
    assert re.search(r"event='stopped'.* status=1", server.log())
    return kept, refused


@pytest.mark.peer("strace")
@pytest.mark.parametrize(("rule", "size"), [
    ("fdatasync,fsync:error=EIO:when=1", 100),
    ("fdatasync,fsync:error=EIO:when=2", 100),
    ("fdatasync,fsync:error=EIO:when=7", 100),
    ("fsync:error=EIO:when=1", 400_000),  # the file of the message
    ("fsync:error=EIO:when=2", 400_000),  # the folder that has its name
    ("fdatasync:error=EIO:when=1", 400_000),  # the row that names the file
    ("fsync,fdatasync:error=ENOSPC:when=1", 100),  # some file systems say it here first
])
def test_a_failed_sync_ends_the_process_and_loses_nothing(
    tmp_path: Path, certificate: tuple[Path, Path, Path], rule: str, size: int
) -> None:
    server = Ekiden(tmp_path / "ekiden", certificate, _settings())
    assert send(server, "alice@one.test", "before")[0] == 250
    kept, refused = _fail_at(server, tmp_path, rule, size)
    server.kill()
    server.start()
    found = subjects(server, "alice")
    assert [each for each in ["before", *kept] if each not in found] == []
    assert len(set(found)) == len(found)
    assert set(found) - {"before", *kept} <= set(refused)  # whether the disk kept what it did not promise is its own affair
    assert send(server, "alice@one.test", "after", size)[0] == 250
    server.stop()


@pytest.mark.nightly
@pytest.mark.peer("strace")
@pytest.mark.parametrize("when", range(1, 51))
def test_whichever_sync_fails_nothing_is_lost(tmp_path: Path, certificate: tuple[Path, Path, Path], when: int) -> None:
    """when: which sync of a thread, as strace counts them; every third time with messages that lie in files of their own."""
    size = 400_000 if when % 3 == 0 else 100
    test_a_failed_sync_ends_the_process_and_loses_nothing(tmp_path, certificate, f"fsync,fdatasync:error=EIO:when={when}", size)


@pytest.mark.peer("strace")
def test_under_a_supervisor_a_worker_whose_sync_failed_is_replaced(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    server = Ekiden(tmp_path / "ekiden", certificate, _settings(2))
    # two doors and the delivery; the supervisor's sockets answer before they are there
    until(lambda: server.log().count("event='serving'") == 3, "all processes serve", 20)
    before = set(processes(server))
    kept = []
    with tampered(server, tmp_path / "strace", "fdatasync:error=EIO:when=3"):
        for number in range(200):
            code, _ = send(server, "alice@one.test", f"n{number}")
            if code == 250:
                kept.append(f"n{number}")
            else:
                break
        assert code in (451, 0)
    until(lambda: len(set(processes(server)) - before) >= 1, "a successor is there", 20)
    until(lambda: send(server, "alice@one.test", "after")[0] == 250, "mail is taken again", 20)
    found = subjects(server, "alice")
    assert [each for each in kept if each not in found] == []
    assert "store-fatal" in server.log()
    server.stop()


@pytest.mark.peer("strace")
def test_who_starts_answers_nobody_before_it_has_looked_at_what_is_there(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    """C12: connections wait in the backlog or are refused; the first banner comes from a server that is ready."""
    server = Ekiden(tmp_path / "ekiden", certificate, _settings())
    kept = [f"n{number}" for number in range(30) if send(server, "alice@one.test", f"n{number}", 20_000)[0] == 250]
    server.kill()
    began = time.monotonic()
    server.start()
    assert subjects(server, "alice") == kept
    assert time.monotonic() - began < 5.0
    server.stop()

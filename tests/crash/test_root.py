"""Started as root with a user: doors below 1024, the data directory handed over, and then nothing of root is left in any process.

Everything is in namespaces of the test's own: mounts, so that the user can reach the interpreter, and a network with free ports.
Source: reliability.md §5.1.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.crash.faults import own_mounts, processes
from tests.doors.server import Ekiden, Settings
from tests.peers.network import two_hosts
from tests.peers.process import until

USER = "nobody"
PORTS = {"mx": 25, "submissions": 465, "imaps": 993}
_HERE = Path("/mnt")


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def _uncover(folder: Path) -> None:
    """Let everybody reach a folder, in this namespace: what closes the way to it is covered by an empty folder with a way."""
    closed = next((each for each in reversed(folder.parents) if not each.stat().st_mode & 0o001), None)
    if closed is None:
        return
    kept = _HERE / "kept"
    kept.mkdir(exist_ok=True)
    _mount("--bind", folder, kept)
    _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", closed)
    folder.mkdir(parents=True)
    _mount("--bind", kept, folder)


@contextmanager
def _place() -> Iterator[Path]:
    """A folder that every user can reach, and the interpreter as well."""
    with own_mounts():
        _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", _HERE)
        _uncover(Path(os.path.realpath(sys.executable)).parents[1])
        yield _HERE


def _of_root(pid: int) -> list[str]:
    """What a process has that an ordinary user has not."""
    lines = Path(f"/proc/{pid}/status").read_text().split("\n")
    status = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
    entry = pwd.getpwnam(USER)
    wrong = [name for name, number in (("Uid", entry.pw_uid), ("Gid", entry.pw_gid)) if status[name] != [str(number)] * 4]
    wrong += ["Groups"] if status["Groups"] else []
    wrong += [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(status[name][0], 16)]
    return wrong + (["NoNewPrivs"] if status["NoNewPrivs"] != ["1"] else [])


def _left(pids: list[int]) -> dict[int, list[str]]:
    return {pid: left for pid in pids if (left := _of_root(pid))}


def _not_handed_over(data: Path) -> list[str]:
    uid = pwd.getpwnam(USER).pw_uid
    return [str(file) for file in [data, *data.rglob("*")] if file.lstat().st_uid != uid]


def _ready(server: Ekiden, count: int) -> None:
    until(lambda: server.log().count("event='serving'") == (1 if count == 1 else count + 1), "all serve")


@pytest.mark.peer("root", "mounts", "netns")
@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_as_root_it_opens_its_doors_and_becomes_its_user_for_good(certificate: tuple[Path, Path, Path], count: int) -> None:
    with _place() as folder, two_hosts() as (host, _):
        own = tuple(Path(shutil.copy(file, folder)) for file in certificate)
        shutil.chown(own[1], USER)
        settings = Settings(doors=tuple(PORTS), ports=PORTS, network=host.network, more={"": [f'user = "{USER}"', f"processes = {count}"]})
        server = Ekiden(folder / "ekiden", (own[0], own[1], own[2]), settings)
        _ready(server, count)
        who = processes(server)
        assert len(who) == (1 if count == 1 else count + 2)
        assert _left(who) == {}
        assert _not_handed_over(server.folder / "data") == []
        with server.smtp("submissions", "alice") as client:
            client.sendmail("alice@one.test", ["bob@one.test"], b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 30_000)
        assert len(server.inbox("bob")) == 1

        text = server.config.read_text()
        server.config.write_text(text + "\n[limits]\nrecipients = 123\n")
        assert "limits.recipients: 1000 → 123" in server.command("reload")
        until(lambda: len(processes(server)) == len(who), "the former ones have retired")
        assert _left(processes(server)) == {}
        with server.smtp("mx") as client:
            client.sendmail("x@two.test", ["bob@one.test"], b"Subject: y\r\n\r\ny\r\n")
        assert len(server.inbox("bob")) == 2
        server.config.write_text(server.config.read_text().replace("[listeners]", '[listeners]\npop3s = ["127.0.0.1:995"]'))
        server.command("reload", status=1)  # a new port below 1024 is not for an ordinary user
        assert "listeners.pop3s: 127.0.0.1:995: Permission denied" in server.log()
        if count > 1:
            gone = processes(server)[1]
            os.kill(gone, signal.SIGKILL)
            until(lambda: gone not in (now := processes(server)) and len(now) == len(who), "it is replaced")
            assert _left(processes(server)) == {}
        assert len(server.inbox("bob")) == 2
        assert _not_handed_over(server.folder / "data") == []
        server.stop()


@pytest.mark.peer("root", "mounts", "netns")
def test_what_root_has_left_in_the_data_directory_is_handed_over(certificate: tuple[Path, Path, Path]) -> None:
    with _place() as folder, two_hosts() as (host, _):
        own = tuple(Path(shutil.copy(file, folder)) for file in certificate)
        settings = Settings(doors=tuple(PORTS), ports=PORTS, network=host.network)
        server = Ekiden(folder / "ekiden", (own[0], own[1], own[2]), settings)  # as root, to the end
        with server.smtp("mx") as client:
            client.sendmail("x@two.test", ["bob@one.test"], b"Subject: y\r\n\r\n" + b"0123456789\r\n" * 30_000)
        server.stop()
        outside = folder / "outside"
        outside.write_text("")
        (server.folder / "data" / "link").symlink_to(outside)
        shutil.chown(own[1], USER)
        server.config.write_text(f'user = "{USER}"\n' + server.config.read_text())
        server.start()
        _ready(server, 1)
        assert _of_root(server.pid) == []
        assert _not_handed_over(server.folder / "data") == []
        assert outside.stat().st_uid == 0
        assert len(server.inbox("bob")) == 1
        server.stop()

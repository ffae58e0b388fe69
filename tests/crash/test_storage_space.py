"""A disk that is nearly or wholly full, without inodes, or closed to writing: 452, everything else goes on, and room heals it.

Source: reliability.md §1.3 (C5), F-21, F-23, F-25, F-26.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.faults import send, small_disk, subjects, tampered
from tests.doors.server import Ekiden, Settings
from tests.peers.process import until

DOORS = ("mx", "submissions", "imaps", "pop3s")


def _settings(free: str, percent: int) -> Settings:
    return Settings(doors=DOORS, more={"limits": [f'free_space = "{free}"', f"free_percent = {percent}"]})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def _fill(folder: Path, leave: int) -> Path:
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - leave
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free)
    return ballast


def _code_at_mail(server: Ekiden) -> int:
    with server.smtp("mx") as client:
        client.ehlo("client.two.test")
        return client.mail("x@two.test")[0]


@pytest.mark.peer("mounts")
def test_below_the_floor_new_mail_waits_and_all_else_goes_on(disk: Path, certificate: tuple[Path, Path, Path]) -> None:
    server = Ekiden(disk / "ekiden", certificate, _settings("8MiB", 5))
    assert [send(server, "alice@one.test", f"m{number}")[0] for number in range(3)] == [250] * 3
    with server.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", ["x@two.test"], b"Subject: waits\r\n\r\nx\r\n")
    ballast = _fill(disk, 6 << 20)
    until(lambda: _code_at_mail(server) == 452, "452 at MAIL", 10)
    with server.smtp("submissions", "alice") as client:
        assert client.mail("alice@one.test")[0] == 452
    with server.imap("alice") as reader:
        reader.select("INBOX")
        assert reader.fetch("1", "(BODY.PEEK[])")[0] == "OK"
        status, answer = reader.append("Sent", None, None, b"Subject: x\r\n\r\nx\r\n")
        assert status == "NO"
        assert answer[0].startswith(b"[UNAVAILABLE] ")
        assert reader.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
        assert reader.expunge() == ("OK", [b"1"])
    assert subjects(server, "alice") == ["m1", "m2"]

    def attempts() -> int:
        return int(json.loads(server.command("queue", "list", "--json"))[0]["attempts"])

    tried = attempts()
    server.command("queue", "retry", "--all")
    until(lambda: attempts() > tried, "the queue goes on")
    assert "event='mail-refused'" in server.log()
    ballast.unlink()
    until(lambda: _code_at_mail(server) == 250, "mail is taken again, without a restart", 10)
    assert send(server, "alice@one.test", "again")[0] == 250
    server.stop()


@pytest.mark.peer("mounts")
def test_without_inodes_new_mail_waits(disk: Path, certificate: tuple[Path, Path, Path]) -> None:
    server = Ekiden(disk / "ekiden", certificate, _settings("1MiB", 5))
    (disk / "many").mkdir()
    for number in range(os.statvfs(disk).f_favail - 50):
        (disk / "many" / str(number)).touch()
    until(lambda: _code_at_mail(server) == 452, "452 at MAIL", 10)
    for file in (disk / "many").iterdir():
        file.unlink()
    until(lambda: _code_at_mail(server) == 250, "mail is taken again", 10)
    server.stop()


@pytest.mark.peer("mounts")
@pytest.mark.parametrize("what", ["space", "inodes"])
def test_even_without_a_floor_a_full_disk_is_452_and_leaves_nothing(
    disk: Path, certificate: tuple[Path, Path, Path], what: str
) -> None:
    server = Ekiden(disk / "ekiden", certificate, _settings("0", 0))
    assert send(server, "alice@one.test", "before")[0] == 250
    if what == "space":
        ballast = _fill(disk, 0)
        assert send(server, "alice@one.test", "small", 50_000)[0] == 452
    else:
        (disk / "many").mkdir()
        for number in range(os.statvfs(disk).f_favail):
            (disk / "many" / str(number)).touch()
    assert send(server, "alice@one.test", "large", 2_000_000)[0] == 452
    assert subjects(server, "alice") == ["before"]
    assert [file for file in (disk / "ekiden" / "data" / "blobs").rglob("*") if file.is_file()] == []
    if what == "space":
        ballast.unlink()
    else:
        for file in (disk / "many").iterdir():
            file.unlink()
    assert send(server, "alice@one.test", "after", 2_000_000)[0] == 250
    assert subjects(server, "alice") == ["before", "after"]
    server.stop()


def test_a_limit_on_the_size_of_files_is_452_and_no_signal_ends_the_server(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    server = Ekiden(tmp_path / "ekiden", certificate, _settings("0", 0))
    assert send(server, "alice@one.test", "before")[0] == 250
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    assert send(server, "alice@one.test", "large", 3_000_000)[0] == 452
    answers = [send(server, "alice@one.test", f"small{number}", 200_000)[0] for number in range(8)]
    assert set(answers) == {250, 452}  # until the log is as long as a file may be
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert send(server, "alice@one.test", "after", 3_000_000)[0] == 250
    kept = [f"small{number}" for number, code in enumerate(answers) if code == 250]
    assert subjects(server, "alice") == ["before", *kept, "after"]
    server.stop()


@pytest.mark.peer("strace")
@pytest.mark.parametrize(("error", "code"), [("EROFS", 451), ("EDQUOT", 452), ("EIO", 451)])
def test_where_nothing_can_be_written_mail_waits_and_is_read(
    tmp_path: Path, certificate: tuple[Path, Path, Path], error: str, code: int
) -> None:
    """As after `remount -o ro`, or over a quota: the calls that write say so, the calls that sync are never reached."""
    server = Ekiden(tmp_path / "ekiden", certificate, _settings("0", 0))
    assert send(server, "alice@one.test", "before")[0] == 250
    calls = "pwrite64,ftruncate,rename,mkdir,unlink,fallocate"
    with tampered(server, tmp_path / "strace", f"{calls}:error={error}") as tracer:
        assert send(server, "alice@one.test", "during")[0] == code
        if error != "EIO":
            assert subjects(server, "alice") == ["before"]
        assert "INJECTED" in tracer.log
    assert "arrival-failed" in server.log()
    if error == "EIO":  # a write that failed so may have been a sync that failed: the process ends and looks at what is there
        until(lambda: not os.path.exists(f"/proc/{server.pid}/fd/0"), "it has ended")
        server.kill()
        server.start()
    assert send(server, "alice@one.test", "after")[0] == 250
    assert subjects(server, "alice") == ["before", "after"]
    server.stop()

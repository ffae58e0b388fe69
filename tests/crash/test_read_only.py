"""A file system that is closed to writing while mail comes in: 451 or 452, reading goes on, people are told, and it heals.

The kernel closes a file system with open files only after an error (here: ext4 that is told to abort); there is no way back for
those who have it open. `mount -o remount,ro` waits until nobody has a file open for writing, so here it is tried on the folder of
large messages, whose files are open only while one comes in.
Source: reliability.md §1.3 (C1), F-25.
"""

from __future__ import annotations

import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.crash.faults import own_mounts, send, subjects
from tests.doors.server import Ekiden, Settings
from tests.peers.process import free_port, until

_LARGE = 300_000
DOORS = ("mx", "imaps")


class _Load:
    """Two clients, one with small messages and one with large ones. kept: what was acknowledged; codes: what else was said."""

    def __init__(self, server: Ekiden) -> None:
        self.kept: set[str] = set()
        self.codes: set[int] = set()
        self._server = server
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(name, size)) for name, size in (("small", 100), ("large", _LARGE))]

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self, name: str, size: int) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            code, _ = send(self._server, "alice@one.test", f"{name}{number}", size)
            if code == 250:
                self.kept.add(f"{name}{number}")
            else:
                self.codes.add(code)


def _settings() -> Settings:
    limits = ['free_space = "0"', "free_percent = 0", "connections_per_address = 500"]
    return Settings(doors=DOORS, more={"listeners": [f'metrics = ["127.0.0.1:{free_port()}"]'], "limits": limits})


def _page(server: Ekiden, path: str) -> str:
    lines: object = server.settings.more["listeners"]
    port = str(lines).partition("127.0.0.1:")[2].partition('"')[0]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


@contextmanager
def _ext4(image: Path, folder: Path) -> Iterator[None]:
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True, capture_output=True)
    folder.mkdir(parents=True, mode=0o700)
    with own_mounts():
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(folder)], check=True)
        folder.chmod(0o700)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.nightly
@pytest.mark.peer("mounts", "ext4")
def test_when_the_kernel_closes_the_file_system_mail_waits_and_is_read(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    data, image = tmp_path / "ekiden" / "data", tmp_path / "image"
    with _ext4(image, data):
        server = Ekiden(tmp_path / "ekiden", certificate, _settings())
        with _Load(server) as load:
            until(lambda: {"small5", "large5"} <= load.kept, "there is load", 60)
        with server.imap("alice") as reader:
            subprocess.run(["mount", "-o", "remount,abort", str(data)], check=True)  # between two syncs: one that fails ends the process
            with _Load(server) as later:
                until(lambda: later.codes != set(), "mail is refused", 60)
                until(lambda: "event='mail-refused' because='read-only'" in server.log(), "it is noticed", 60)
                assert reader.select("INBOX")[0] == "OK"
                assert reader.fetch("1:*", "(BODY.PEEK[])")[0] == "OK"  # on a connection that was there
        assert later.codes <= {451, 452}, later.codes
        assert later.kept == set()
        assert "ekiden_store_takes_mail{worker=\"0\"} 0.0" in _page(server, "/metrics")
        assert "read-only" in _page(server, "/ready")
        assert load.kept <= set(subjects(server, "alice"))  # and on a new one
        server.kill()
        subprocess.run(["umount", str(data)], check=True)
        subprocess.run(["e2fsck", "-p", "-f", str(image)], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(image), str(data)], check=True)
        server.start()
        found = subjects(server, "alice")
        assert load.kept <= set(found)
        assert len(found) == len(set(found))
        assert send(server, "alice@one.test", "after", _LARGE)[0] == 250
        server.stop()


@pytest.mark.peer("mounts")
def test_when_the_folder_of_large_messages_is_closed_they_wait_until_it_is_open_again(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    blobs = tmp_path / "ekiden" / "data" / "blobs"
    blobs.mkdir(parents=True, mode=0o700)
    blobs.parent.chmod(0o700)
    with own_mounts():
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200M,mode=0700", "tmpfs", str(blobs)], check=True)
        server = Ekiden(tmp_path / "ekiden", certificate, _settings())
        with _Load(server) as load:
            until(lambda: {"small5", "large5"} <= load.kept, "there is load", 60)
            until(lambda: _remount(blobs, "ro"), "it is closed")  # between two messages
            until(lambda: load.codes != set(), "mail is refused", 60)
            assert load.codes <= {451, 452}, load.codes
            until(lambda: "event='mail-refused' because='read-only'" in server.log(), "it is told", 60)
            assert "ekiden_store_takes_mail{worker=\"0\"} 0.0" in _page(server, "/metrics")
            assert "read-only" in _page(server, "/ready")
            kept = set(load.kept)
            assert kept <= set(subjects(server, "alice"))
            assert _remount(blobs, "rw")
            until(lambda: any(name.startswith("large") for name in load.kept - kept), "mail is taken again, without a restart", 60)
        assert load.codes <= {451, 452}, load.codes
        assert "event='mail-taken-again'" in server.log()
        found = subjects(server, "alice")
        assert load.kept <= set(found)
        assert len(found) == len(set(found))
        server.stop()


def _remount(folder: Path, how: str) -> bool:
    return subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=False, capture_output=True).returncode == 0

"""Odd surroundings: no place for temporary files, no language, another host name, no IPv6. The server starts, takes, delivers and serves.

Source: reliability.md F-65.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.crash.faults import own_mounts
from tests.doors.server import Ekiden, Settings
from tests.peers.network import inside
from tests.peers.process import run, until

from ekiden.testing.peers import ScriptedHost

POSIX = {"LC_ALL": "POSIX", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Nothing but ASCII, and no help from Python."""
PROJECT = Path(__file__).resolve().parents[2]
TEMPORARY = ("/tmp", "/var/tmp")


class Odd(Ekiden):
    """An Ekiden in odd surroundings."""

    surroundings: dict[str, str] = {}  # of the one server of a test
    before: list[str] = []

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in super()._environment().items() if not name.startswith(("LC_", "LANG", "TMP", "TEMP"))}
        return {**kept, **self.surroundings}

    def _inside(self) -> list[str]:
        return [*super()._inside(), *self.before]


@contextmanager
def _without_ipv6() -> Iterator[str]:
    """The path of a network namespace with loopback and without a trace of IPv6."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "1000"], start_new_session=True)
    network = f"/proc/{holder.pid}/ns/net"
    try:
        until(lambda: Path(network).readlink() != Path("/proc/self/ns/net").readlink(), "the namespace is made")
        run(["nsenter", f"--net={network}", "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up"])
        assert "::1" not in subprocess.run(["nsenter", f"--net={network}", "ip", "addr"], capture_output=True, text=True, check=True).stdout
        yield network
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()


@contextmanager
def _no_place_for_temporary_files(certificate: tuple[Path, Path, Path], how: str) -> Iterator[tuple[Path, tuple[Path, Path, Path]]]:
    """A folder for a server, and its certificate, where /tmp and /var/tmp are full, or nobody may write there.

    A thread that is started within would keep this one from coming back: hosts of a test are started before.
    """
    with own_mounts():
        run(["mount", "-t", "tmpfs", "-o", "size=60M,mode=0700", "tmpfs", "/mnt"])
        moved = [Path(shutil.copy(file, "/mnt")) for file in certificate]
        run(["mkdir", "/mnt/project"])
        run(["mount", "--bind", str(PROJECT), "/mnt/project"])
        for folder in TEMPORARY:
            within = PROJECT.is_relative_to(folder)  # then the project itself would be gone
            kind = "size=16k,nr_inodes=4" if how == "full" and not within else "size=64k,nr_inodes=12"
            run(["mount", "-t", "tmpfs", "-o", kind, "tmpfs", folder])
            if within:
                PROJECT.mkdir(parents=True)
                run(["mount", "--bind", "/mnt/project", str(PROJECT)])
            if how != "full":
                run(["mount", "-o", "remount,ro", "tmpfs", folder])
        if how == "full":
            for folder in TEMPORARY:
                Path(folder, "ballast").touch()
                subprocess.run(["dd", "if=/dev/zero", f"of={folder}/ballast", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
        for folder in TEMPORARY:
            with pytest.raises(OSError, match="No space left" if how == "full" else "Read-only"):
                Path(folder, "x").write_bytes(b"x" * 8192)
        yield Path("/mnt/ekiden"), (moved[0], moved[1], moved[2])


def _serves(server: Ekiden, host: ScriptedHost) -> None:
    """In by SMTP, out by the queue, read by IMAP and POP3; small and large; and the command line speaks."""
    with server.smtp("mx") as client:
        client.sendmail("x@two.test", ["alice@one.test"], "Subject: klein\r\n\r\nGrüße\r\n".encode())
        client.sendmail("x@two.test", ["alice@one.test"], b"Subject: gross\r\n\r\n" + b"some text of a message\r\n" * 40_000)
    with server.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", [f"bob@[{host.ip}]"], b"Subject: out\r\n\r\nhello\r\n")
    until(lambda: len(host.messages) == 1, "it is delivered to another server")
    found = server.wait_inbox("alice", 2)
    assert [len(message) > 900_000 for message in found] == [False, True]
    assert "Grüße".encode() in found[0]
    with server.pop3("alice") as pop:
        assert pop.stat()[0] == 2
    assert server.command("queue", "list", "--json").strip() == "[]"
    shown = server.command("explain", "5.1.1", "--lang", "ja")
    assert shown.strip()
    server.stop()


def _settings(host: ScriptedHost, network: str | None = None) -> Settings:
    more = {"limits": ['free_space = "0"', "free_percent = 0"]}  # what there is in /mnt is enough
    return Settings(doors=("mx", "submissions", "imaps", "pop3s"), outbound_port=host.port, network=network, more=more)


@pytest.mark.peer("netns", "mounts")
@pytest.mark.timeout(120)
def test_everything_odd_at_once(certificate: tuple[Path, Path, Path]) -> None:
    with ExitStack() as odd:
        network = odd.enter_context(_without_ipv6())
        odd.enter_context(inside(network))
        host = odd.enter_context(ScriptedHost())
        folder, moved = odd.enter_context(_no_place_for_temporary_files(certificate, "full"))

        class Here(Odd):
            surroundings = {**POSIX, "TMPDIR": "/nonexistent"}
            before = ["unshare", "--uts"]

        server = Here(folder, moved, _settings(host, network))
        run(["nsenter", f"--uts=/proc/{server.pid}/ns/uts", "hostname", "a-new-name"])
        _serves(server, host)
        assert [line for line in host.heard if line.startswith("EHLO") and line != "EHLO mx.one.test"] == []


@pytest.mark.nightly
@pytest.mark.peer("mounts")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_without_a_place_for_temporary_files(certificate: tuple[Path, Path, Path], how: str) -> None:
    with ScriptedHost() as host, _no_place_for_temporary_files(certificate, how) as (folder, moved):
        _serves(Odd(folder, moved, _settings(host)), host)


@pytest.mark.nightly
@pytest.mark.timeout(120)
def test_in_the_posix_locale(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    class Here(Odd):
        surroundings = POSIX

    with ScriptedHost() as host:
        _serves(Here(tmp_path / "ekiden", certificate, _settings(host)), host)


@pytest.mark.nightly
@pytest.mark.peer("netns")
@pytest.mark.timeout(120)
def test_without_ipv6(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    with _without_ipv6() as network, inside(network), ScriptedHost() as host:
        _serves(Ekiden(tmp_path / "ekiden", certificate, _settings(host, network)), host)


@pytest.mark.nightly
@pytest.mark.peer("root")
@pytest.mark.timeout(120)
def test_the_host_gets_another_name_while_we_serve(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    class Here(Odd):
        before = ["unshare", "--uts"]

    with ScriptedHost() as host:
        server = Here(tmp_path / "ekiden", certificate, _settings(host))
        run(["nsenter", f"--uts=/proc/{server.pid}/ns/uts", "hostname", "a-new-name"])
        with server.smtp("mx") as client:
            assert client.ehlo()[1].startswith(b"mx.one.test")
        _serves(server, host)
        assert all(line.startswith("EHLO mx.one.test") for line in host.heard if line.startswith("EHLO"))


def test_temporary_files_are_where_they_were_once_more() -> None:
    """The mounts of these tests have ended with them."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 100_000)

"""Faults of the system made for one server: a file system of its own, system calls that fail or are slow, a limit on file sizes.

Everything ends with the test: mounts lie in a mount namespace of the test's own, a tracer lets its process go.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
from tests.doors.server import BAD_SIGNS, Ekiden
from tests.peers.catalogue import strace
from tests.peers.process import until

_CLONE_NEWNS = 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def own_mounts() -> Iterator[None]:
    """This thread, and what it starts, in a mount namespace that nobody else sees."""
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY)
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        yield
    finally:
        assert _libc.setns(before, _CLONE_NEWNS) == 0
        os.close(before)


@contextlib.contextmanager
def small_disk(folder: Path, options: str = "size=40M,nr_inodes=2000") -> Iterator[Path]:
    """A file system in memory at folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with own_mounts():
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},mode=0700", "tmpfs", str(folder)], check=True)
        yield folder


def processes(server: Ekiden) -> list[int]:
    """The server's process and all below it."""
    found = [server.pid]
    for pid in found:
        with contextlib.suppress(OSError):
            found += [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found


class Failing(Ekiden):
    """An Ekiden whose next start arms a failpoint; with several processes in the first door and in the delivery."""

    failpoint = ""

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), **({"EKIDEN_FAILPOINT": self.failpoint} if self.failpoint else {})}

    def arm(self, failpoint: str) -> None:
        """Start anew with the failpoint; the start itself knocks at each door once."""
        self.kill()
        self.failpoint = failpoint
        self.start()

    def again(self) -> None:
        """Start without it, as after a power cut."""
        self.kill()
        self.failpoint = ""
        self.start()

    def wait_until_dead(self) -> None:
        """AssertionError if it has not killed itself: then the point was not reached."""
        self._daemon.process.wait(30)
        assert self._daemon.process.returncode == -signal.SIGKILL

    def serving(self, count: int) -> None:
        """Wait until so many processes have said since the start that they serve; sockets answer before that."""
        until(lambda: self.log().count("event='serving'") >= count, f"{count} processes serve", 20)

    def standing(self) -> int | None:
        """The process that stands at a failpoint."""
        for pid in processes(self):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                    return pid
        return None

    def die(self, who: str, standing: int) -> None:
        """kill -9 of "worker" (the one at the failpoint), "supervisor" (then the worker goes on, as an orphan) or "all"; and back again.

        A killed worker is replaced by its supervisor; the others are started at once by whoever has started them, here this test.
        """
        count = self.log().count("event='serving'")
        if who == "worker":
            os.kill(standing, signal.SIGKILL)
            self.serving(count + 1)
        else:
            self.strike(who, standing)
            self.serving(count)

    def said_nothing_bad(self) -> None:
        """In none of its lives a traceback, or a session that broke by itself."""
        for file in sorted(self.folder.glob("ekiden-*.log")):
            text = file.read_text("utf-8", "replace")
            found = [sign for sign in BAD_SIGNS if sign in text]
            assert found == [], f"{file.name}: {found}\n" + text[max(0, text.index(found[0]) - 1_000) :][:5_000]

    def strike(self, who: str, standing: int | None = None) -> None:
        """kill -9 of the supervisor alone or of all, and a start at once; back when somebody serves and nobody of before is left."""
        former, self.failpoint = self._daemon, ""
        if who == "all":
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(self.pid, signal.SIGKILL)
            if standing is not None:
                os.kill(standing, signal.SIGCONT)
        self.start()
        self.serving(1)
        former.stop(signal.SIGKILL)


@dataclass
class Tracer:
    """strace at work on a server. log: what it has written."""

    process: subprocess.Popen[bytes]
    file: Path

    @property
    def log(self) -> str:
        return self.file.read_text("utf-8", "replace")


@contextlib.contextmanager
def tampered(server: Ekiden, out: Path, *rules: str) -> Iterator[Tracer]:
    """Let system calls of a server fail or wait: rules as in strace's -e inject=RULE. All is as before at the end."""
    names = ",".join(rule.partition(":")[0] for rule in rules)
    words = [str(strace()), "-f", "-y", "-o", str(out), "-e", f"trace={names}"]
    for rule in rules:
        words += ["-e", f"inject={rule}"]
    there = processes(server)
    for pid in there:
        words += ["-p", str(pid)]
    out.touch()
    heard = out.with_suffix(".heard")
    with heard.open("wb") as listener:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=listener, stderr=listener, start_new_session=True)
    wanted = len(there)
    try:
        until(lambda: heard.read_bytes().count(b" attached") >= wanted, "strace has attached", 20)
        yield Tracer(process, out)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def send(server: Ekiden, to: str, subject: str, size: int = 100) -> tuple[int, bytes]:
    """One message by SMTP; the code and text that decided: that of the final dot, or the first refusal. 0: the connection broke."""
    try:
        client = smtplib.SMTP("127.0.0.1", server.ports["mx"], timeout=60)
    except (OSError, smtplib.SMTPException):
        return 0, b""
    try:
        client.ehlo("client.two.test")
        for answer in (client.mail("x@two.test"), client.rcpt(to)):
            if answer[0] != 250:
                return answer
        return client.data(f"Subject: {subject}\r\n\r\n".encode() + b"some text of a message\r\n" * (size // 24))
    except smtplib.SMTPDataError as refused:
        return refused.smtp_code, refused.smtp_error if isinstance(refused.smtp_error, bytes) else refused.smtp_error.encode()
    except (OSError, smtplib.SMTPException):
        return 0, b""
    finally:
        with contextlib.suppress(OSError, smtplib.SMTPException):  # whatever a server that ends says to QUIT
            client.quit()
        client.close()


def by_address(server: Ekiden) -> dict[str, list[bytes]]:
    """The messages of alice and bob by the address that they were for; "alice Sent" for that mailbox."""
    found: dict[str, list[bytes]] = {"alice@one.test": server.inbox("alice"), "bob@one.test": [], "bob+tag@one.test": []}
    for message in server.inbox("bob"):
        tagged = b"\r\nDelivered-To: bob+tag@one.test\r\n" in message
        found["bob+tag@one.test" if tagged else "bob@one.test"].append(message)
    found["alice Sent"] = server.inbox("alice", "Sent")
    return found


def queued(database: Path) -> dict[str, list[bytes]]:
    """Copies in the queue of a server that has ended, by recipient, read without any code of the server; every row has its file."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        # columns of STRICT tables
        rows: list[tuple[str, bytes | None, str]] = connection.execute(  # type: ignore[assignment]
            "SELECT delivery.recipient, message.content, message.blob_id FROM delivery"
            " JOIN envelope ON envelope.id = delivery.envelope_id JOIN message ON message.id = envelope.message_id"
            " WHERE delivery.status IN ('due', 'held')"
        ).fetchall()
        blobs = {str(name) for (name,) in connection.execute("SELECT blob_id FROM message WHERE blob_id IS NOT NULL").fetchall()}
    finally:
        connection.close()
    folder = database.parent / "blobs"
    assert {name for name in blobs if not (folder / name[:2] / name).is_file()} == set(), "rows that name no file"
    found: dict[str, list[bytes]] = {}
    for recipient, content, blob in rows:
        data = content if content is not None else (folder / blob[:2] / blob).read_bytes()
        found.setdefault(recipient, []).append(data)
    return found


def subjects(server: Ekiden, name: str) -> list[str]:
    """The subjects of INBOX."""
    return [message[message.index(b"Subject: ") + 9 :].split(b"\r\n")[0].decode() for message in server.inbox(name)]

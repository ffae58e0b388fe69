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

from tests.doors.server import Ekiden
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
        with smtplib.SMTP("127.0.0.1", server.ports["mx"], timeout=60) as client:
            client.ehlo("client.two.test")
            for answer in (client.mail("x@two.test"), client.rcpt(to)):
                if answer[0] != 250:
                    return answer
            return client.data(f"Subject: {subject}\r\n\r\n".encode() + b"some text of a message\r\n" * (size // 24))
    except smtplib.SMTPDataError as refused:
        return refused.smtp_code, refused.smtp_error if isinstance(refused.smtp_error, bytes) else refused.smtp_error.encode()
    except (OSError, smtplib.SMTPException):
        return 0, b""


def subjects(server: Ekiden, name: str) -> list[str]:
    """The subjects of INBOX."""
    return [message[message.index(b"Subject: ") + 9 :].split(b"\r\n")[0].decode() for message in server.inbox(name)]

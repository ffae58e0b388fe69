"""Messages that break whatever works on them, in a real server: what raises, hangs, or takes the process with it.

The faults are made in the server's own processes, by a module that Python imports at their start.
Source: reliability.md F-54, F-55.
"""

from __future__ import annotations

import json
import signal
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.peers.process import until

from ekiden.base.texts import languages, text
from ekiden.testing.peers import ScriptedHost

_FAULTS = '''"""What a message to a local part of that name does to the process that sends it."""
import ctypes, os, re, signal
from ekiden.services.attempt import Attempts

attempt = Attempts.attempt

async def evil(self, batch, sendable, reuse=None):
    for delivery in batch.deliveries:
        match delivery.recipient.path.local:
            case "raise":
                raise RuntimeError("what nobody thought of")
            case "hang":
                re.match(r"(a+)+$", "a" * 64 + "!")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                ctypes.string_at(8)
    return await attempt(self, batch, sendable, reuse)

Attempts.attempt = evil
'''


class Faulty(Ekiden):
    """An Ekiden with those faults in it."""

    def _environment(self) -> dict[str, str]:
        faults = self.folder / "faults"
        faults.mkdir(exist_ok=True)
        (faults / "sitecustomize.py").write_text(_FAULTS)
        return {**super()._environment(), "PYTHONPATH": str(faults)}

    def copies(self) -> dict[str, dict[str, str]]:
        """What `ekiden queue list` shows, by the local part of the recipient."""
        listed = json.loads(self.command("queue", "list", "--json"))
        return {str(each["recipient"]).partition("@")[0]: {str(key): str(value) for key, value in each.items()} for each in listed}


@contextmanager
def _faulty(folder: Path, certificate: tuple[Path, Path, Path], host: ScriptedHost, processes: int, policies: str = "") -> Iterator[Faulty]:
    more = {
        "": [f"processes = {processes}", *([f"policies = ['{policies}']"] if policies else [])],
        "queue": ["retry = ['1s']", "jitter_percent = 0"],
        "timeouts": ["hang = 2"],
    }
    server = Faulty(folder, certificate, Settings(doors=("mx", "submissions", "imaps"), outbound_port=host.port, more=more))
    try:
        yield server
    finally:
        if server._daemon.process.poll() is None:
            server.kill()


def _submit(server: Ekiden, host: ScriptedHost, *names: str) -> None:
    with server.smtp("submissions", "alice") as client:
        for name in names:
            client.sendmail("alice@one.test", [f"{name}@[{host.ip}]"], f"Subject: {name}\r\n\r\nhello\r\n".encode())


def _delivered(host: ScriptedHost) -> set[str]:
    return {recipient.partition("@")[0] for letter in list(host.messages) for recipient in letter.recipients}


def _told(server: Ekiden, subject: str) -> list[bytes]:
    """What the postmaster, who is the first account, has been told."""
    read = [message_from_bytes(message, policy=policy.default) for message in server.inbox("alice")]
    return [message.get_payload(decode=True) for message in read if text(subject) in str(message["subject"])]  # type: ignore[misc]  # one part


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_raises_is_set_aside_with_its_reason_and_a_person_can_release_or_drop_it(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    with ScriptedHost() as host, _faulty(tmp_path / "ekiden", certificate, host, 1) as server:
        _submit(server, host, "raise", "bob", "carol")
        until(lambda: _delivered(host) == {"bob", "carol"}, "the others flow")
        until(lambda: server.copies().get("raise", {}).get("status") == "held", "it is held")
        shown = server.copies()["raise"]
        assert "RuntimeError: what nobody thought of (3 times)" in shown["reply"]
        trace = server.command("message", "trace", shown["id"])
        assert "what nobody thought of" in trace
        (told,) = _told(server, "report.set-aside-subject")
        assert shown["id"].encode() in told
        server.command("queue", "release", shown["id"])
        until(lambda: len(_told(server, "report.set-aside-subject")) == 2, "released, it has three tries again, and is held again")
        server.command("queue", "drop", shown["id"])
        assert server.copies() == {}
        server._daemon.stop(signal.SIGTERM, 25)  # its log does show tracebacks


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", [
    "segfault", pytest.param("hang", marks=pytest.mark.nightly), pytest.param("kill", marks=pytest.mark.nightly),
])
def test_what_ends_the_process_that_sends_it_is_set_aside_after_three_deaths(
    tmp_path: Path, certificate: tuple[Path, Path, Path], fault: str
) -> None:
    with ScriptedHost() as host, _faulty(tmp_path / "ekiden", certificate, host, 2) as server:
        _submit(server, host, "bob", fault, "carol")
        until(lambda: server.copies().get(fault, {}).get("status") == "held", "it is held", 60)
        _submit(server, host, "dave")
        until(lambda: _delivered(host) == {"bob", "carol", "dave"}, "the others flow", 30)
        log = server.log()
        assert log.count("event='worker-failed'") == 3, log
        assert "died 3 times" in server.copies()[fault]["reply"]
        (told,) = _told(server, "report.set-aside-subject")
        assert b"[127." in told
        assert list(server.copies()) == [fault]
        server._daemon.stop(signal.SIGTERM, 25)


_POLICY = """import re

from ekiden.policy.stage import MessageContext, message
from ekiden.policy.verdict import Verdict


@message
async def evil(ctx: MessageContext) -> Verdict | None:
    if ctx.headers.first(b"subject") == b" hang":
        re.match(r"(a+)+$", "a" * 64 + "!")
    return None
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_message_on_which_a_policy_hangs_is_put_off_after_three_deaths(
    tmp_path: Path, certificate: tuple[Path, Path, Path], processes: int
) -> None:
    (tmp_path / "policy.py").write_text(_POLICY)
    with ScriptedHost() as host, _faulty(tmp_path / "ekiden", certificate, host, processes, f"{tmp_path}/policy.py:evil") as server:
        answers: list[int] = []
        while len(answers) < 10 and answers[-1:] != [451]:
            answers.append(_say(server, "hang"))
            if processes == 1 and answers[-1] == 0:
                assert server._daemon.process.wait(30) == -signal.SIGALRM
                server.start()
        # A door hears of the third death from who comes after the dead; until then each of the others may be asked once more.
        assert answers in [[*[0] * deaths, 451] for deaths in range(3, 3 + processes)]
        assert _say(server, "another") == 250
        assert server.log().count("event='judging-put-off'") == 1
        until(lambda: len(_told(server, "report.put-off-subject")) == 1, "the postmaster is told")
        server.stop() if processes == 1 else server._daemon.stop(signal.SIGTERM, 25)
        (tmp_path / "policy.py").write_text(_POLICY.replace(' == b" hang"', " is None"))
        server.start()
        assert _say(server, "hang") == 250, "with another policy it is judged again"
        server.stop()


def _say(server: Ekiden, subject: str) -> int:
    """One message, always the same for a subject, by SMTP; the last code, 0 where the connection broke."""
    try:
        with smtplib.SMTP("127.0.0.1", server.ports["mx"], timeout=30) as client:
            client.sendmail("x@two.test", ["bob@one.test"], f"Subject: {subject}\r\nMessage-ID: <{subject}@two.test>\r\n\r\nx\r\n".encode())
            return 250
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code if refused.smtp_code > 0 else 0
    except (OSError, smtplib.SMTPException):
        return 0


def test_the_postmaster_is_told_in_each_language() -> None:
    assert len({text("report.set-aside-subject", lang) for lang in languages()}) == len(languages()) == 2

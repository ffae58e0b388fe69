"""The clock of a real server is set while it runs and while it is stopped: mail that waits neither expires nor freezes.

libfaketime tells the server's processes another time of day; what they count intervals with runs on.
Source: reliability.md §1.3 (C7), F-60, F-61.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.peers.catalogue import faketime
from tests.peers.process import until

from ekiden.testing.peers import ScriptedHost

_NIGHTLY = pytest.mark.nightly


class Elsewhen(Ekiden):
    """An Ekiden whose time of day a test sets: set_clock() for the processes of now, too."""

    def set_clock(self, days: int) -> None:
        """Ahead of the true time by so many days."""
        new = self._time.with_suffix(".new")
        new.write_text(f"{days:+d}d\n")
        new.replace(self._time)

    @property
    def _time(self) -> Path:
        return self.folder / "time"

    def _environment(self) -> dict[str, str]:
        if not self._time.exists():
            self.set_clock(0)
        return {
            **super()._environment(),
            "LD_PRELOAD": str(faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._time),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # the older name
        }

    def trace(self) -> str:
        """The journey of the one message, as the operator reads it."""
        return self.command("message", "trace", "waits@one.test")


def _waiting(folder: Path, certificate: tuple[Path, Path, Path], host: ScriptedHost) -> Elsewhen:
    """A server with one message that its host has put off at least twice."""
    more = {"queue": ["retry = ['1s']", "jitter_percent = 0"], "outbound": ["private_addresses = true"]}
    settings = Settings(doors=("mx", "submissions", "imaps"), accounts=("alice",), outbound_port=host.port, more=more)
    server = Elsewhen(folder / "ekiden", certificate, settings)
    with server.smtp("submissions", "alice") as client:
        client.sendmail("alice@one.test", [f"x@[{host.ip}]"], b"Message-ID: <waits@one.test>\r\nSubject: x\r\n\r\nhello\r\n")
    _is_tried_twice(host)
    return server


def _is_tried_twice(host: ScriptedHost) -> None:
    before = host.connections
    until(lambda: host.connections >= before + 2, "it is tried twice more", 90)


def _arrives(server: Elsewhen, host: ScriptedHost) -> None:
    """Its host takes it now; nobody was told that it had failed or was late."""
    host.says = {}
    until(lambda: len(host.messages) == 1, "it is handed over", 15)
    until(lambda: server.command("queue", "list").count("@[") == 0, "the queue is empty", 15)
    assert server.inbox("alice") == [], "a report"
    server.stop()


@pytest.mark.peer("faketime")
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("days", [365, pytest.param(-365, marks=_NIGHTLY)])
def test_what_waits_is_tried_on_after_the_clock_was_set_while_the_server_was_stopped(
    tmp_path: Path, certificate: tuple[Path, Path, Path], days: int
) -> None:
    with ScriptedHost(says={"RCPT": "451 4.3.0 later"}) as host:
        server = _waiting(tmp_path, certificate, host)
        server.stop()
        server.set_clock(days)
        server.start()
        _is_tried_twice(host)
        _arrives(server, host)


@pytest.mark.peer("faketime")
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("days", [pytest.param(365, marks=_NIGHTLY), -365])
def test_what_waits_is_tried_on_when_the_clock_is_set_under_a_running_server(
    tmp_path: Path, certificate: tuple[Path, Path, Path], days: int
) -> None:
    with ScriptedHost(says={"RCPT": "451 4.3.0 later"}) as host:
        server = _waiting(tmp_path, certificate, host)
        server.set_clock(days)
        _is_tried_twice(host)
        _arrives(server, host)

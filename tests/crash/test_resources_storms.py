"""Storms of connections: clients that reset, that say nothing, that are too many; the others hardly notice.

Source: reliability.md §3.4, F-51; §5.6; rows SI-27, SI-31.
"""

from __future__ import annotations

import smtplib
import subprocess
import time
from pathlib import Path

import pytest
from tests.crash.faults import send, subjects
from tests.crash.limited import ResetStorm, SynFlood, one_message, percentile, processor_share, silent
from tests.doors.server import Ekiden, Settings
from tests.peers.network import entered, inside, two_hosts
from tests.peers.process import until


def _settings(*limits: str, smtp: str = "") -> Settings:
    more = {"limits": ["connections_per_address = 100000", *limits], "timeouts.smtp": [smtp] if smtp else []}
    return Settings(doors=("mx", "imaps"), more={name: lines for name, lines in more.items() if lines})


@pytest.mark.parametrize(("clients", "seconds"), [(600, 3.0), pytest.param(5000, 30.0, marks=pytest.mark.nightly)])
def test_beside_silent_clients_and_resets_a_message_takes_less_than_a_second(
    tmp_path: Path, certificate: tuple[Path, Path, Path], clients: int, seconds: float
) -> None:
    server = Ekiden(tmp_path / "ekiden", certificate, _settings(f"connections = {clients + 1000}"))
    port = server.ports["mx"]
    with silent(port) as quiet:
        for here in range(200, clients + 1, 200):  # more at once than the backlog holds, and the system forgets some of them
            quiet.come(200)
            assert quiet.listen(60, lambda heard, here=here: heard["220"] == here) == {"220": here}  # type: ignore[misc]  # binds here
        took: list[float] = []
        with ResetStorm(port) as storm:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                took.append(one_message(port, "alice@one.test", f"m{len(took)}")[0])
        assert storm.resets > 100 * seconds
        assert len(took) > 20
        assert percentile(took, 0.99) < 1.0
        assert quiet.connected == clients
        until(lambda: processor_share(server.pid, 0.5) < 0.1, "after the storm there is calm")
    assert sorted(subjects(server, "alice")) == sorted(f"m{number}" for number in range(len(took)))
    server.stop()


@pytest.mark.peer("netns")
def test_handshakes_that_never_end_keep_nobody_away(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    with two_hosts() as (here, there):
        settings = Settings(
            doors=("mx",), host=here.address, network=here.network, more={"limits": ["connections_per_address = 100000"]}
        )
        server = Ekiden(tmp_path / "ekiden", certificate, settings)
        port = server.ports["mx"]
        took: list[float] = []
        with inside(there.network), SynFlood("10.77.0", here.address, port) as flood:
            until(lambda: flood.sent > 5000, "more handshakes are open than wait anywhere")
            for number in range(30):
                took.append(one_message(port, "alice@one.test", f"m{number}", host=here.address)[0])
            assert flood.sent > 6000
            shown = subprocess.run([*entered(here.network), "cat", "/proc/net/netstat"], capture_output=True, text=True, check=True).stdout
        assert percentile(took, 0.99) < 1.0
        names, values = (line.split() for line in shown.split("\n")[:2])
        counted = dict(zip(names[1:], map(int, values[1:]), strict=True))
        assert counted["TCPReqQFullDoCookies"] + counted["TCPReqQFullDrop"] > 0, "the flood has arrived"
        server.stop()


def test_near_the_limit_silent_clients_have_less_time_and_it_ends_by_itself(
    tmp_path: Path, certificate: tuple[Path, Path, Path]
) -> None:
    limits = ("connections = 100", "strained_hard_errors = 2")
    server = Ekiden(tmp_path / "ekiden", certificate, _settings(*limits, smtp='strained_command = "1s"'))
    port = server.ports["mx"]
    with silent(port) as quiet:
        quiet.come(89)
        assert quiet.listen(20, lambda heard: heard["220"] == 89) == {"220": 89}
        assert "event='strain-begins'" not in server.log()
        with server.smtp("mx") as client:
            until(lambda: "event='strain-begins'" in server.log(), "strain begins")
            quiet.listen(20, lambda heard: quiet.connected == 0)
            assert quiet.connected == 0, "who had waited before has less time too"
            until(lambda: "event='strain-ends'" in server.log(), "strain ends")
            assert client.noop()[0] in (250, 421)
    assert send(server, "alice@one.test", "after")[0] == 250
    server.stop()


def test_in_strain_a_new_client_may_make_few_errors(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    server = Ekiden(tmp_path / "ekiden", certificate, _settings("connections = 100", "strained_hard_errors = 2"))
    with silent(server.ports["mx"]) as quiet:
        quiet.come(91)
        assert quiet.listen(20, lambda heard: heard["220"] == 91) == {"220": 91}
        with server.smtp("mx") as client:
            client.ehlo("client.two.test")
            assert client.docmd("NONSENSE")[0] == 500
            assert client.docmd("NONSENSE")[0] in (421, 500)
            with pytest.raises(smtplib.SMTPServerDisconnected):
                [client.docmd("NOOP") for _ in range(2)]  # a 421 may still be read
    until(lambda: "event='strain-ends'" in server.log(), "strain ends")
    server.stop()


def test_too_many_are_turned_away_with_421_and_cost_little(tmp_path: Path, certificate: tuple[Path, Path, Path]) -> None:
    server = Ekiden(tmp_path / "ekiden", certificate, _settings("connections = 50", "strained_percent = 0"))
    with silent(server.ports["mx"]) as quiet:
        quiet.come(150)
        assert quiet.listen(20, lambda heard: not heard[""]) == {"220": 50, "421": 100}
        assert quiet.broken == 0
        assert processor_share(server.pid, 1.0) < 0.05
    until(lambda: send(server, "alice@one.test", "x")[0] == 250, "there is room again")
    server.stop()

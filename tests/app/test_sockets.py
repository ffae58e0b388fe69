"""Listening sockets: had or named, shared out, kept while configurations change, handed over by systemd."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.peers.process import free_port

from ekiden.app.config import Config, load
from ekiden.app.sockets import Holder, open_all, stop_listening, take_inherited
from ekiden.base.errors import ConfigError
from ekiden.net.binding import endpoint_of


def _config(folder: Path, *lines: str) -> Config:
    (folder / "e.toml").write_text('hostname = "mx.test"\n[listeners]\n' + "\n".join(lines) + "\n")
    return load(folder / "e.toml", {})


def _ports(holder: Holder) -> list[int]:
    return [endpoint_of(sock).port for sock in holder.all()]


def test_every_address_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "e.toml").write_text(
            f'hostname = "mx.test"\n[listeners]\nmx = ["127.0.0.1:{port}", "127.0.0.1:{free_port()}", "192.0.2.1:25"]\n'
        )
        with pytest.raises(ConfigError) as caught:
            open_all(load(tmp_path / "e.toml", {}), 1)
    assert [str(port) in caught.value.problems[0], "192.0.2.1:25" in caught.value.problems[1]] == [True, True]


def test_each_process_has_a_socket_of_every_address_and_every_socket_is_somebodys(tmp_path: Path) -> None:
    holder = open_all(_config(tmp_path, 'mx = ["127.0.0.1:0"]'), 3, reuse_port=True)
    assert len(set(_ports(holder))) == 1
    for count in (1, 2, 3, 5):
        shares = [holder.share(number, count)["mx"] for number in range(count)]
        assert all(shares)
        assert {sock.fileno() for share in shares for sock in share} == {sock.fileno() for sock in holder.all()}
    holder.close_except()


def test_an_address_that_is_still_wanted_keeps_its_socket(tmp_path: Path) -> None:
    one, two, three = free_port(), free_port(), free_port()
    first = open_all(_config(tmp_path, f'mx = ["127.0.0.1:{one}", "127.0.0.1:{two}"]'), 1)
    second = open_all(_config(tmp_path, f'mx = ["127.0.0.1:{two}", "127.0.0.1:{three}"]'), 1, held=first)
    first.close_except(second)
    assert _ports(second) == [two, three]
    for port in (two, three):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one), timeout=5)
    second.close_except()


def test_what_cannot_be_had_leaves_what_is_held_as_it_was(tmp_path: Path) -> None:
    mine, free = free_port(), free_port()
    first = open_all(_config(tmp_path, f'mx = ["127.0.0.1:{mine}"]'), 1)
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        open_all(_config(tmp_path, f'mx = ["127.0.0.1:{mine}", "127.0.0.1:{free}", "192.0.2.1:25"]'), 1, held=first)
    socket.create_connection(("127.0.0.1", mine), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free), timeout=5)
    first.close_except()


def test_sockets_that_do_not_listen_refuse_until_somebody_listens_again(tmp_path: Path) -> None:
    port = free_port()
    holder = open_all(_config(tmp_path, f'mx = ["127.0.0.1:{port}"]'), 1, reuse_port=True)
    stop_listening(holder.share(0, 1))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    for sock in holder.all():
        sock.listen()
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    holder.close_except()


_TAKE = (
    "import os, json; from ekiden.app.sockets import take_inherited; os.environ['LISTEN_PID'] = str(os.getpid());"
    "holder = take_inherited(os.environ); assert 'LISTEN_FDS' not in os.environ;"
    "print(json.dumps({door: [s.getsockname()[1] for s in group] for door, group in holder.inherited.items()}))"
)


def _take(names: str, sockets: list[socket.socket]) -> subprocess.CompletedProcess[str]:
    """Take the sockets in a process of its own, where they begin at descriptor 3 as systemd has it."""
    numbers = [sock.fileno() for sock in sockets]
    moved = "".join(f"os.dup2({number}, {100 + place});" for place, number in enumerate(numbers))
    placed = "".join(f"os.dup2({100 + place}, {3 + place});" for place in range(len(numbers)))
    return subprocess.run(
        [sys.executable, "-c", f"import os; {moved}{placed}\n{_TAKE}"],
        pass_fds=numbers,
        env={**os.environ, "LISTEN_FDS": str(len(numbers)), "LISTEN_FDNAMES": names},
        capture_output=True, text=True, timeout=60, check=False,
    )


def test_sockets_of_systemd_are_known_by_the_names_of_doors() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [sock.getsockname()[1] for sock in sockets]
    done = _take("mx:imaps:mx", sockets)
    assert done.stdout == f'{{"mx": [{ports[0]}, {ports[2]}], "imaps": [{ports[1]}]}}\n', done.stderr
    refused = _take("mx:door:mx", sockets)
    assert "LISTEN_FDNAMES: door is no door; they are mx, submission" in refused.stderr
    for sock in sockets:
        sock.close()


def test_variables_for_another_process_are_not_for_us() -> None:
    environ = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "mx:imaps"}
    assert take_inherited(environ) == Holder()
    assert environ == {}

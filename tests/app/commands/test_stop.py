"""ekiden stop: it returns when the server has ended."""

from __future__ import annotations

import socket

import pytest
from tests.app.calls import Calls
from tests.app.serving import serving


@pytest.mark.parametrize("processes", [1, 2])
def test_when_it_returns_the_server_has_ended(ekiden: Calls, processes: int) -> None:
    with serving(ekiden.folder, f"processes = {processes}") as server:
        assert server.process is not None
        file = ekiden.folder / "ekiden.toml"
        file.write_text(file.read_text("utf-8") + "nonsense = true\n", "utf-8")  # what was broken meanwhile keeps nobody from ending it
        assert ekiden.out("stop") == f"the server (process {server.process.pid}) has ended\n"
        assert server.process.poll() == 0, server.log()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
        assert "no server runs on" in ekiden.fails("stop")
        assert "動いているサーバーはありません" in ekiden.fails("stop", "--lang", "ja")


def test_who_stays_is_named(ekiden: Calls) -> None:
    with serving(ekiden.folder) as server:
        assert server.process is not None
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            assert client.recv(3) == b"220"
            client.sendall(b"EHLO x\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<alice@local.test>\r\nDATA\r\n")
            heard = b""
            while b"354" not in heard:
                heard += client.recv(4096)
            said = ekiden.fails("stop", "--wait", "0.3")
        assert said.startswith(f"ekiden: the server (process {server.process.pid}) has not ended within 0.3 seconds")
        assert server.process.wait(30) == 0, server.log()

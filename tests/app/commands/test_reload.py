"""ekiden reload: what came of it, from the server itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.app.calls import Calls
from tests.app.serving import Serving, serving
from tests.peers.process import until


def _rewrite(server: Serving, old: str, new: str) -> None:
    file = server.folder / "ekiden.toml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


def test_where_nobody_serves_that_is_said(ekiden: Calls) -> None:
    (ekiden.folder / "data").mkdir(mode=0o700)
    assert ekiden.fails("reload") == "ekiden: no server runs on /data\n"
    assert "動いているサーバーはありません" in ekiden.fails("reload", "--lang", "ja")
    (ekiden.folder / "data" / "server.lock").write_text(f"{os.getpid()}\n")  # left by a server that was killed
    assert "no server runs" in ekiden.fails("reload")


@pytest.mark.parametrize("processes", [1, 2])
def test_what_came_of_a_reload_is_told(ekiden: Calls, processes: int) -> None:
    (ekiden.folder / "broken.py").write_text("1 / 0\n")
    with serving(ekiden.folder, f"processes = {processes}") as server:
        _rewrite(server, "[limits]\n", "[limits]\nrecipients = 177\n")
        assert ekiden.out("reload") == "the new configuration is in force:\n  limits.recipients: 1000 → 177\n"
        assert ekiden.out("reload") == "the configuration was read again; no setting has changed\n"
        _rewrite(server, "recipients = 177", "recipients = -1")
        line = (ekiden.folder / "ekiden.toml").read_text().split("\n").index("recipients = -1") + 1
        assert f"ekiden.toml:{line}: limits.recipients" in ekiden.fails("reload")
        assert server.log().count("event='reload") == 2 if processes == 1 else True  # the server was not even asked
        _rewrite(server, "recipients = -1", "recipients = 178")
        _rewrite(server, "policies = []", 'policies = ["broken.py:judge"]')
        said = ekiden.fails("reload", "--lang", "ja")
        assert said.startswith("ekiden: サーバーは前の設定のまま動いています:\n")
        assert "/broken.py: ZeroDivisionError: division by zero" in said
        _rewrite(server, 'policies = ["broken.py:judge"]', 'policies = []\nuser = "nobody"')
        told = json.loads(ekiden.out("reload", "--json"))
        assert told["changed"] == [["limits.recipients", "177", "178"]]
        assert told["needs_restart"] == ["user"]
        assert "only a new start changes these: user" in ekiden.out("reload")
        assert server.stop() == 0, server.log()


def test_a_server_that_does_not_hear_is_no_server_that_is_signalled(ekiden: Calls) -> None:
    with serving(ekiden.folder) as server:
        until(lambda: (ekiden.folder / "data" / "run" / "reload.json").exists(), "it hears of reloads")
        (ekiden.folder / "data" / "run" / "reload.json").unlink()
        assert "has not finished within 0.3 seconds" in ekiden.fails("reload", "--wait", "0.3")
        assert "event='reload" not in server.log()
        assert server.stop() == 0, server.log()


def test_the_unit_for_systemd_reloads_with_it() -> None:
    unit = (Path(__file__).parents[3] / "packaging" / "systemd" / "ekiden.service").read_text("utf-8")
    assert "ExecReload=/opt/ekiden/bin/ekiden reload --config /etc/ekiden/ekiden.toml\n" in unit

"""ekiden bench, as an operator calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.app.calls import Calls
from tests.app.serving import Serving, serving
from tests.peers.process import free_port


def _bench(server: Serving, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ekiden", "--config", str(server.folder / "ekiden.toml"), "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, stdin=subprocess.DEVNULL)


def test_the_server_of_the_configuration_is_loaded_and_the_report_has_it_all(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        done = _bench(server, "--to", "alice@local.test", "--messages", "200", "--sessions", "4", "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert (report["accepted"], report["refused"], report["lost"]) == (200, 0, 0)
        assert report["replies"]["354"] == 200
        assert report["ms"]["dot"]["p50"] <= report["ms"]["dot"]["p99.9"] <= report["ms"]["dot"]["max"]
        assert report["find"] == f"HEADER Ekiden-Bench {report['run']}"
        for lang, words in (("en", "50 messages accepted"), ("ja", "50 通が受理されました")):
            done = _bench(server, "--to", "alice@local.test", "--messages", "50", "--lang", lang)
            assert done.returncode == 0, done.stderr
            assert words in done.stdout
            assert "p99.9" in done.stdout
        done = _bench(server, "--to", "nobody@local.test", "--messages", "10", "--sessions", "1", "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)["accepted"] == 0


def test_a_server_of_others_is_refused_unless_somebody_says_that_it_is_ours(ekiden: Calls) -> None:
    said = ekiden.fails("bench", "--to", "a@one.test", "--server", "192.0.2.1:25", status=2)
    assert "192.0.2.1:25" in said
    assert "--yes-this-server-is-mine" in said


def test_a_door_that_is_shut_and_a_server_that_is_not_there_are_named(ekiden: Calls) -> None:
    assert "submission" in ekiden.fails("bench", "--to", "a@one.test", "--door", "submission", status=2)
    port = free_port()
    result = ekiden.run("bench", "--to", "a@one.test", "--server", f"127.0.0.1:{port}", "--sessions", "30")
    assert result.exit_code == 1
    assert "refused" in result.stderr


@pytest.mark.parametrize("words", [
    ["--user", "alice"], ["--size", "much"], ["--seconds", "soon"], ["--server", "a b"], ["--from", "@"], ["--messages", "0"],
])
def test_what_cannot_be_meant_is_said(ekiden: Calls, words: list[str]) -> None:
    ekiden.fails("bench", "--to", "a@one.test", *(["--server", "127.0.0.1:9"] if "--server" not in words else []), *words, status=2)

"""The development mode, from outside: one message takes the whole way, and production refuses its data."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.peers.process import free_port

DOORS = ("mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s")
_CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("EKIDEN_")}


def ekiden(*words: str, settings: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**_CLEAN, "PYTHONWARNINGS": "default", **(settings or {})}
    command = [sys.executable, "-m", "ekiden", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)


@pytest.fixture
def ports() -> dict[str, str]:
    """A free port for every door, as environment variables, so that other tests may run beside this one."""
    chosen = {f"EKIDEN_LISTENERS__{door.upper()}": f"127.0.0.1:{free_port()}" for door in DOORS}
    chosen["EKIDEN_OUTBOUND__PORT"] = chosen["EKIDEN_LISTENERS__MX"].rpartition(":")[2]
    return chosen


def test_one_message_takes_the_whole_way_and_arrives_as_it_was_written(tmp_path: Path, ports: dict[str, str]) -> None:
    data = tmp_path / "dev-data"
    done = ekiden("dev", "--once", "--data", str(data), settings=ports)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bob's copy is, byte for byte, what alice wrote." in done.stdout
    steps = ("AUTH PLAIN", "waits in the queue", "DNS was asked", "took responsibility", "INBOX of bob", "for the first time")
    assert [step for step in steps if step not in done.stdout] == []
    assert "Traceback" not in done.stderr
    began = time.monotonic()
    again = ekiden("dev", "--once", "--data", str(data), "--lang", "ja", settings=ports)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "メッセージ" in again.stdout
    assert time.monotonic() - began < 10
    refused = ekiden("serve", "--config", str(data / "ekiden.toml"), settings=ports)
    assert refused.returncode == 1
    assert "development mode" in refused.stderr

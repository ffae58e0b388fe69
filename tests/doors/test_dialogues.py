"""Scripted SMTP conversations of chasquid's author, played against our three SMTP doors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.server import Ekiden, Settings
from tests.suites.data import conformance

_DIALOGUES = conformance("smtp-dialogs")
FILES = sorted(_DIALOGUES.glob("*.cmy")) if _DIALOGUES is not None else []

# What we decided against, with the reason. The other cases of the same script are in tests/smtp.
OTHERWISE: dict[str, str] = {}


@pytest.fixture(scope="module")
def testserver(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    settings = Settings(domain="testserver", accounts=(), more={"limits": ["message_size = 1048576"]})
    running = Ekiden(tmp_path_factory.mktemp("testserver"), certificate, settings)
    running.command("account", "add", "user@testserver", "--password-stdin", input="secretpassword\n")
    yield running
    running.stop()


@pytest.mark.conformance("smtp-dialogs", 12)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_dialogue(testserver: Ekiden, file: Path) -> None:
    if file.stem in OTHERWISE:
        pytest.skip(OTHERWISE[file.stem])
    runner = file.parent.parent / "runners" / "cmy_play.py"
    ports = [
        f"--{option}={testserver.ports[door]}"
        for option, door in (("smtp", "mx"), ("submission", "submission"), ("smtps", "submissions"))
    ]
    done = subprocess.run([sys.executable, runner, *ports, file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = file.with_name(file.name + ".verify")
    if wanted.exists():
        with testserver.imap("user") as client:
            client.select("INBOX", readonly=True)
            _, found = client.uid("FETCH", "*", "(BODY.PEEK[])")
        assert isinstance(found[0], tuple)
        stored = found[0][1].replace(b"\r\n", b"\n").decode()
        assert stored.endswith(wanted.read_text().split("\n\n", 1)[1]), stored

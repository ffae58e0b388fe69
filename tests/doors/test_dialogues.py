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

_NO_BRACKETS = "writes RCPT TO: user@testserver; RFC 5321 §4.1.1.3 puts the path in angle brackets, and we hold to it (501)"
# What we decided against, with the reason. test_dialogue_with_brackets plays those that are about something else.
OTHERWISE = {
    "bad_data": _NO_BRACKETS + "; it also wants a header line without a colon refused, where for us the body begins there",
    "bad_data_dot": _NO_BRACKETS,
    "bad_data_dot_on_message_too_big": _NO_BRACKETS,
    "data_dot_stuffing": _NO_BRACKETS,
    "message_too_big": _NO_BRACKETS,
}


@pytest.fixture(scope="module")
def testserver(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    settings = Settings(domain="testserver", accounts=("user",), password="secretpassword", more={"limits": ["message_size = 1048576"]})
    running = Ekiden(tmp_path_factory.mktemp("testserver"), certificate, settings)
    yield running
    running.stop()


@pytest.mark.conformance("smtp-dialogs", 12)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_dialogue(testserver: Ekiden, file: Path) -> None:
    if file.stem in OTHERWISE:
        pytest.skip(OTHERWISE[file.stem])
    _play(testserver, file)


@pytest.mark.parametrize("file", [file for file in FILES if OTHERWISE.get(file.stem) == _NO_BRACKETS], ids=lambda file: file.stem)
def test_dialogue_with_brackets(testserver: Ekiden, file: Path, tmp_path: Path) -> None:
    """The same conversations with the brackets that we ask for; they are about dots, line ends and sizes."""
    script = tmp_path / file.name
    script.write_text(file.read_text().replace("RCPT TO: user@testserver", "RCPT TO:<user@testserver>"))
    _play(testserver, script)
    wanted = file.with_name(file.name + ".verify")
    if wanted.exists():
        with testserver.imap("user") as client:
            client.select("INBOX", readonly=True)
            _, found = client.uid("FETCH", "*", "(BODY.PEEK[])")
        assert isinstance(found[0], tuple)
        stored = found[0][1].replace(b"\r\n", b"\n").decode()
        assert stored.rstrip().endswith(wanted.read_text().rstrip()), stored


def _play(testserver: Ekiden, script: Path) -> None:
    assert _DIALOGUES is not None
    ports = [
        f"--{option}={testserver.ports[door]}" for option, door in (("smtp", "mx"), ("submission", "submission"), ("smtps", "submissions"))
    ]
    runner = _DIALOGUES.parent / "runners" / "cmy_play.py"
    done = subprocess.run([sys.executable, runner, *ports, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

"""IMAP as Dovecot's authors test it, script by script, against our door.

Scripts that need what we do not announce are not applicable and skipped. Each script that we answer otherwise on purpose is named
with the reason; if it passes after all, the test fails.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from tests.servers.imap.doors import open_doors
from tests.suites.data import conformance

_FOLDER = conformance("imaptest")
_PLAYER = conformance("runners")
_SCRIPTS = sorted(path.name for path in (_FOLDER / "tests").iterdir() if not path.suffix) if _FOLDER is not None else []
_LINE = re.compile(r"(FAIL|skip) (\S+) (.*)")

OTHERWISE = {
    "id": "thirty pairs of 1,024 bytes before login: a stranger may send 8 KiB in one command, not 31 KiB",
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What the player said of each script that did not pass: ("FAIL" or "skip", why)."""
    assert _FOLDER is not None
    assert _PLAYER is not None
    with open_doors(tmp_path_factory.mktemp("imaptest"), [("player", "secret"), ("user2", "secret")]) as doors:
        done = subprocess.run(
            [
                *(sys.executable, str(_PLAYER / "imaptest_play.py"), "--port", str(doors.clear)),
                *("--user", "player", "--password", "secret", str(_FOLDER / "tests")),
            ],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert " passed, " in done.stdout, done.stdout + done.stderr
    return {found[2]: (found[1], found[3]) for found in map(_LINE.fullmatch, done.stdout.split("\n")) if found is not None}


@pytest.mark.conformance("imaptest", 47)
@pytest.mark.parametrize("script", _SCRIPTS)
def test_script(verdicts: dict[str, tuple[str, str]], script: str) -> None:
    verdict, why = verdicts.get(script, ("pass", ""))
    if verdict == "skip":
        pytest.skip(f"not applicable: {why}")
    if script in OTHERWISE:
        assert verdict == "FAIL", f"{script} passes; take it from the list"
        pytest.skip(OTHERWISE[script])
    assert verdict == "pass", why

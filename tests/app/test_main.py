"""The program as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.app.calls import Calls

from ekiden import __version__
from ekiden.__main__ import cli

COMMANDS = ["account", "alias", "check", "config", "dev", "domain", "explain", "limits", "message", "queue", "rfc", "send", "serve"]


def test_every_command_is_found_by_lying_in_the_folder(ekiden: Calls) -> None:
    listed = ekiden.out("--help")
    assert [name for name in COMMANDS if f"\n  {name} " not in listed] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_what_it_is_for(ekiden: Calls, name: str) -> None:
    assert "Usage: ekiden" in ekiden.out(name, "--help")


def test_an_unknown_command_is_told_with_the_nearest(ekiden: Calls) -> None:
    assert ekiden.fails("acount", status=2) == "ekiden: there is no command acount; did you mean account?\n"
    assert "accountというコマンド" not in ekiden.fails("--lang", "ja", "zzzzz", status=2)


def test_the_version_is_told(ekiden: Calls) -> None:
    assert ekiden.out("--version") == f"ekiden {__version__}\n"


def test_a_small_command_imports_neither_sockets_of_ours_nor_the_store() -> None:
    code = (
        "import sys; from ekiden.__main__ import cli\n"
        "cli(['explain', '550'], standalone_mode=False)\n"
        "heavy = {'ekiden.net.connection', 'ekiden.store.database', 'apsw', 'rich', 'uvloop', 'cryptography'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_the_group_is_a_click_command() -> None:
    assert cli.name == "cli"

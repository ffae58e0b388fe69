"""What all commands share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.app.calls import Calls

from ekiden.app.commandline import cell_text, plain, print_table, printable, progress


def test_without_a_configuration_the_command_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from click.testing import CliRunner

    from ekiden.__main__ import cli

    result = CliRunner(env={"EKIDEN_HOSTNAME": None, "EKIDEN_CONFIG": None}).invoke(cli, ["account", "list"])
    assert result.exit_code == 2
    assert "no configuration was found" in result.stderr


def test_a_wrong_configuration_ends_a_command_with_all_its_problems(ekiden: Calls) -> None:
    ekiden.file.write_text("hostnam = 1\n")
    told = ekiden.fails("account", "list")
    assert "/ekiden.toml:1: hostnam: no such key" in told
    assert "hostname: must be set" in told


def test_a_missing_store_is_told_and_not_made(ekiden: Calls) -> None:
    assert "there is no store" in ekiden.fails("account", "list")
    assert not (ekiden.folder / "data").exists()


def test_the_store_is_made_for_its_owner_alone(peopled: Calls) -> None:
    assert (peopled.folder / "data").stat().st_mode & 0o777 == 0o700
    assert (peopled.folder / "data" / "ekiden.db").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for others")
def test_root_acts_as_the_owner_of_the_folder(ekiden: Calls) -> None:
    import subprocess
    import sys

    data = ekiden.folder / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 65534, 65534)
    for folder in (ekiden.folder, *ekiden.folder.parents):
        if folder.name.startswith(("pytest-", "popen-", "test_")):  # what pytest makes is for its own user alone
            folder.chmod(folder.stat().st_mode | 0o055)
    words = ["--config", str(ekiden.file), "account", "add", "a@one.test", "--password-stdin"]
    done = subprocess.run([sys.executable, "-m", "ekiden", *words], input="x\n", text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert {file.stat().st_uid for file in data.iterdir()} == {65534}


@pytest.mark.parametrize("where", ["before", "after"])
def test_options_stand_before_or_after_the_command(peopled: Calls, where: str) -> None:
    words = ("--json", "--lang", "ja", "account", "list") if where == "before" else ("account", "list", "--json", "--lang", "ja")
    assert peopled.out(*words).startswith("[")


def test_the_language_comes_from_the_configuration(ekiden: Calls) -> None:
    ekiden.file.write_text(ekiden.file.read_text() + 'language = "ja"\n')
    assert "ストア" in ekiden.fails("account", "list")
    assert "there is no store" in ekiden.fails("account", "list", "--lang", "en")


def test_a_password_is_never_taken_from_nowhere(ekiden: Calls) -> None:
    assert "--password-stdin" in ekiden.fails("account", "add", "a@one.test", status=2)


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb\x9bc\r") == "a?[31mb?c?"
    assert printable("日本語\n") == "日本語\n"


def test_cells_are_text() -> None:
    assert (cell_text(None), cell_text(["a", 1]), cell_text(3)) == ("", "a, 1", "3")


def test_plain_tables_line_up_with_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["名前", "b"], [["x", "1"], ["長い名前", "2\n3"]])
    assert capsys.readouterr().out == "名前      b\nx         1\n長い名前  2 3\n"


def test_pairs_line_up() -> None:
    assert plain({"a": 1, "long": "x"}) == "a     1\nlong  x"


def test_no_bar_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 3) as move:
        move(3)
    assert capsys.readouterr().err == ""

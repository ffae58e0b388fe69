"""Calling the command line in this process, on a configuration of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ekiden.__main__ import cli

SETTINGS = 'hostname = "mail.one.test"\ndomains = ["one.test"]\ndata_dir = "data"\n'


class Calls:
    """`ekiden --config FILE …`, with what it prints."""

    def __init__(self, folder: Path, settings: str = SETTINGS) -> None:
        self.folder = folder
        self.file = folder / "ekiden.toml"
        self.file.write_text(settings, "utf-8")

    def run(self, *words: str, input: str | bytes | None = None) -> Result:
        """The whole result; an exception that is no exit is raised here."""
        runner = CliRunner(env={"EKIDEN_LANGUAGE": None, "EKIDEN_HOSTNAME": None, "EKIDEN_CONFIG": None})
        result = runner.invoke(cli, ["--config", str(self.file), *words], input=input, prog_name="ekiden")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def out(self, *words: str, input: str | None = None) -> str:
        """What it printed; it must end well."""
        result = self.run(*words, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        """What it printed with --json."""
        return json.loads(self.out(*words, "--json"))

    def fails(self, *words: str, status: int = 1, input: str | None = None) -> str:
        """What it said on standard error, without the folder's name; it must end with that status and print nothing else."""
        result = self.run(*words, input=input)
        assert result.exit_code == status, result.output
        assert result.stdout == ""
        return result.stderr.replace(str(self.folder), "")

"""The program `ekiden`: one file of app/commands a command, imported only when it is called."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from typing import cast

import click

from ekiden import __version__
from ekiden.app import commands
from ekiden.app.commandline import Cli, Misuse
from ekiden.app.helptext import in_language
from ekiden.base.settings import nearest
from ekiden.base.texts import languages, text


class Commands(click.Group):
    """The commands that lie in app/commands; a module NAME.py declares COMMAND."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every file of the folder, by name."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"{commands.__name__}.{cmd_name}").COMMAND
        if not isinstance(command, click.Command):
            raise TypeError(f"app/commands/{cmd_name}.py declares no COMMAND")
        return in_language(command, f"ekiden {cmd_name}", _language(ctx))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown name is told with the nearest ones."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            near = nearest(args[0], known, count=2) or known
            raise Misuse(text("cli.unknown-command", _language(ctx), name=args[0], nearest=", ".join(near)))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The page of the program itself, in the language of whoever asks."""
        told = in_language(self, "ekiden", _language(ctx))
        click.Group.format_help(cast(click.Group, told), ctx, formatter)  # a copy of this very group


def _language(context: click.Context) -> str:
    """--lang, or EKIDEN_LANGUAGE, or English; a configuration is not read for a page of help."""
    named = context.params.get("lang") or os.environ.get("EKIDEN_LANGUAGE")
    return str(named) if named in languages() else languages()[0]


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--config", "config_file", type=click.Path(path_type=Path), envvar="EKIDEN_CONFIG")
@click.option("--lang", type=click.Choice(languages()), is_eager=True)
@click.option("--json", "wants_json", is_flag=True)
@click.version_option(__version__, prog_name="ekiden", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, config_file: Path | None, lang: str | None, wants_json: bool) -> None:
    """Ekiden, a mail server that explains every step of every message."""
    context.obj = Cli(config_file, lang, wants_json)


def main() -> None:
    """Entry point of the program."""
    cli(prog_name="ekiden")


if __name__ == "__main__":
    main()

"""What --help prints, in the language of whoever asks: the catalogue's "help.ekiden …" and "help-option.…"."""

from __future__ import annotations

import copy
import re

import click

from ekiden.base.texts import text

_FIRST_SENTENCE = re.compile(r"[^\n]*?[.。](?=\s|$|[^ -~])|[^\n]+")


def in_language(command: click.Command, path: str, lang: str) -> click.Command:
    """A copy of a command with its help and that of its options and subcommands. path: "ekiden account add"."""
    told = copy.copy(command)
    told.help = text(f"help.{path}", lang)
    first = _FIRST_SENTENCE.match(told.help)
    told.short_help = first[0] if first is not None else told.help
    told.params = [_parameter(each, lang) for each in command.params]
    told.params.append(help_option(lang))
    if isinstance(told, click.Group) and isinstance(command, click.Group):
        told.commands = {name: in_language(inner, f"{path} {name}", lang) for name, inner in command.commands.items()}
    return told


def help_option(lang: str) -> click.Option:
    """-h and --help."""
    words = text("help-option.help", lang)
    return click.Option(["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, callback=_show, help=words)


def option_name(option: click.Option) -> str:
    """The key of an option below "help-option": its long name."""
    return next((name for name in option.opts if name.startswith("--")), option.opts[0]).lstrip("-")


def _parameter(parameter: click.Parameter, lang: str) -> click.Parameter:
    if not isinstance(parameter, click.Option):
        return parameter
    told = copy.copy(parameter)
    told.help = text(f"help-option.{option_name(parameter)}", lang)
    return told


def _show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(context.get_help(), color=context.color)
        context.exit()

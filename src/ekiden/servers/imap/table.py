"""The commands that there are: each file in commands/ declares its own.

Source: house.md §12.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ekiden.base.features import discover
from ekiden.imap.grammar import Command
from ekiden.servers.imap.session import ImapSession


@cache
def command_table() -> Mapping[bytes, Command[ImapSession]]:
    """Every command by its name. Raises ConfigError if two files claim one name."""
    found: tuple[Command[ImapSession], ...] = discover("ekiden.servers.imap.commands", Command, key=_name)
    return {command.name: command for command in found}


def _name(command: Command[ImapSession]) -> str:
    return command.name.decode("ascii")

"""The table of commands."""

from __future__ import annotations

from ekiden.servers.imap.table import command_table

_REQUIRED = {
    "CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "AUTHENTICATE", "LOGIN", "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE",
    "UNSUBSCRIBE", "LIST", "LSUB", "STATUS", "APPEND", "CHECK", "CLOSE", "EXPUNGE", "SEARCH", "FETCH", "STORE", "COPY", "UID FETCH",
    "UID STORE", "UID COPY", "UID SEARCH", "UID EXPUNGE", "MOVE", "UID MOVE", "IDLE", "ID", "NAMESPACE", "UNSELECT",
}  # fmt: skip


def test_every_command_of_the_standard_is_there() -> None:
    assert {name.decode() for name in command_table()} >= _REQUIRED


def test_only_append_streams() -> None:
    assert [command.name for command in command_table().values() if command.streams] == [b"APPEND"]


def test_names_are_their_own_keys() -> None:
    assert all(name == command.name and name == name.upper() for name, command in command_table().items())

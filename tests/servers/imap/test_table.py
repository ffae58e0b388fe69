"""The table of commands."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.imap.grammar import Refusal
from ekiden.imap.tokens import Incomplete, Reader
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


_WORDS = (
    b' | | |INBOX|(|)|"a b"|{1}\r\n|{1+}\r\n|1:*|*|FLAGS|+FLAGS.SILENT|\\Seen|BODY[|]|HEADER.FIELDS|<0.1>|ALL|NOT|OR|UID|NIL|'
    b'" 1-Feb-1994 00:00:00 +0000"|1-Feb-1994|CHARSET UTF-8|\xff|\0|%|&AOk-|&'.split(b"|")
)


@given(st.lists(st.one_of(st.sampled_from(_WORDS), st.binary(max_size=3)), max_size=15))
@settings(max_examples=400, deadline=None)
def test_no_arguments_make_a_command_raise_anything_else(words: list[bytes]) -> None:
    for command in command_table().values():
        try:
            command.read(Reader(b"".join(words), [b"x"]))
        except (BadValue, Refusal, Incomplete):
            continue

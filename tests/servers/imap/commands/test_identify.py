"""ID."""

from __future__ import annotations

import pytest
from tests.servers.imap.doors import Doors
from tests.servers.imap.talking import Talk


@pytest.mark.parametrize("fields", ["NIL", "()", '("name" "x")', '("name" NIL "version" "1")', '("a" {3+}\r\nx"y)'])
def test_who_is_who(doors: Doors, fields: str) -> None:
    with Talk(doors.clear) as talk:
        assert talk.ask(f"ID {fields}").of("ID") == [[[b"name", b"Ekiden"]]]


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "x",
        '("name")',
        '("a" "b" "a" "c")',
        '("' + "n" * 31 + '" "x")',
        '("a" "' + "v" * 1025 + '")',
        "(" + " ".join(f'"a{n}" "b"' for n in range(31)) + ")",
    ],
)
def test_too_much_is_bad(doors: Doors, fields: str) -> None:  # IM-24
    with Talk(doors.clear) as talk:
        assert talk.ask(f"ID {fields}").status == "BAD"

"""CREATE, DELETE, RENAME."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.servers.imap.talking import Talk

from ekiden.imap.mutf7 import encode_mutf7

Connect = Callable[..., Talk]


def _names(talk: Talk, pattern: str = "*") -> set[object]:
    return {values[2] for values in talk.ask(f'LIST "" {pattern}').of("LIST")}


def test_folders_are_made_renamed_and_deleted(connect: Connect) -> None:
    talk = connect()
    assert talk.ask("CREATE a/b/").status == "OK"
    assert {b"a", b"a/b"} <= _names(talk)
    assert talk.ask("CREATE a/b").code == "ALREADYEXISTS"
    assert talk.ask("RENAME a c").status == "OK"
    assert _names(talk, "c*") == {b"c", b"c/b"}
    assert talk.ask("DELETE c/b").status == "OK"
    assert talk.ask("DELETE c/b").code == "NONEXISTENT"
    assert _names(talk, "c*") == {b"c"}


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/x", "/etc/x", "a/../../b", "a//b", ".", "..", "&AC4ALg-/&AC4ALg-/x", "~u", "&AAE-", "x" * 10_000,
        "/".join(["a"] * 200), "inbox", '"a%b"', '"a*b"', '""', "&AGE-", "&AGEA", "&2AA-",
    ],
)  # fmt: skip
def test_names_that_no_folder_may_have(connect: Connect, name: str) -> None:  # IM-11, IM-12
    talk = connect()
    assert talk.ask(f"CREATE {name}").status == "NO"
    assert talk.ask(f"RENAME Sent {name}").status == "NO"
    assert talk.ask("NOOP").status == "OK"


def test_one_name_in_two_forms_is_one_folder(connect: Connect) -> None:  # IM-13
    talk = connect()
    assert talk.ask(b"CREATE " + encode_mutf7("caf\u00e9")).status == "OK"
    assert talk.ask(b"CREATE " + encode_mutf7("cafe\u0301")).code == "ALREADYEXISTS"
    assert talk.ask(b"CREATE " + encode_mutf7("INB\u039fX")).status == "OK"
    assert talk.ask(b"STATUS inbox (MESSAGES)").of("STATUS")[0][0] == b"INBOX"


def test_inbox_can_be_renamed_but_stays(connect: Connect) -> None:  # IM-14
    talk = connect()
    talk.append(b"\r\nx")
    assert talk.ask("DELETE inBox").status == "NO"
    assert talk.ask("RENAME INBOX old").status == "OK"
    assert ("EXISTS", 0) in talk.ask("SELECT INBOX").numbers
    assert ("EXISTS", 1) in talk.ask("SELECT old").numbers


def test_a_folder_does_not_go_into_itself(connect: Connect) -> None:  # IM-14
    talk = connect()
    talk.ask("CREATE a")
    assert talk.ask("RENAME a a/b").status == "NO"
    assert talk.ask("RENAME nothing b").code == "NONEXISTENT"
    assert talk.ask("RENAME a Sent").code == "ALREADYEXISTS"


def test_deleting_the_selected_folder_leaves_none_selected(connect: Connect) -> None:
    talk = connect()
    talk.ask("CREATE a")
    talk.ask("SELECT a")
    assert talk.ask("DELETE a").status == "OK"
    assert talk.ask("FETCH 1 UID").status == "BAD"
    assert talk.ask("SELECT INBOX").status == "OK"


def test_a_folder_that_another_session_deletes_ends_the_connection(connect: Connect) -> None:
    talk, other = connect(), connect()
    talk.ask("CREATE a")
    talk.ask("SELECT a")
    other.ask("DELETE a")
    assert talk.ask("NOOP").status == "GONE"

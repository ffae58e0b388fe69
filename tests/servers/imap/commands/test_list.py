"""LIST and LSUB."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def _names(talk: Talk, command: str) -> list[object]:
    word = command.split(" ", 1)[0]
    return [values[2] for values in talk.ask(command).of(word)]


def test_the_folders_of_a_new_account_with_their_uses(connect: Connect) -> None:  # RFC 6154
    listed = {bytes(values[2]): values[0] for values in connect().ask('LIST "" *').of("LIST")}  # type: ignore[arg-type]
    assert listed[b"INBOX"] == [b"\\HasNoChildren"]
    assert listed[b"Sent"] == [b"\\HasNoChildren", b"\\Sent"]
    assert {b"Drafts", b"Trash", b"Junk", b"Archive"} <= set(listed)


def test_patterns_and_references(connect: Connect) -> None:
    talk = connect()
    talk.ask("CREATE a/b/c")
    assert _names(talk, 'LIST "" a*') == [b"a", b"a/b", b"a/b/c"]
    assert _names(talk, 'LIST "" a/%') == [b"a/b"]
    assert _names(talk, "LIST a/ %") == [b"a/b"]
    assert _names(talk, 'LIST "" inbox') == [b"INBOX"]
    assert _names(talk, 'LIST "" "&AGE-"') == []
    assert talk.ask('LIST "" ""').of("LIST") == [[[b"\\Noselect"], b"/", b""]]


def test_children_are_told(connect: Connect) -> None:  # RFC 3348
    talk = connect()
    talk.ask("CREATE a/b")
    assert talk.ask('LIST "" a').of("LIST")[0][0] == [b"\\HasChildren"]
    assert talk.ask('LIST "" a/b').of("LIST")[0][0] == [b"\\HasNoChildren"]


def test_a_deleted_parent_is_listed_but_cannot_be_selected(connect: Connect) -> None:
    talk = connect()
    talk.ask("CREATE a/b")
    assert talk.ask("DELETE a").status == "OK"
    assert talk.ask('LIST "" a').of("LIST")[0][0] == [b"\\HasChildren", b"\\Noselect"]
    assert talk.ask("SELECT a").status == "NO"


def test_subscribed_names(connect: Connect) -> None:
    talk = connect()
    before = _names(talk, 'LSUB "" *')
    for name in ("a/b", "c"):
        talk.ask(f"CREATE {name}")
        talk.ask(f"SUBSCRIBE {name}")
    assert _names(talk, 'LSUB "" *') == sorted([*before, b"a/b", b"c"])  # type: ignore[type-var]
    assert [values[:3] for values in talk.ask('LSUB "" a%').of("LSUB")] == [[[b"\\Noselect"], b"/", b"a"]]  # RFC 3501 §6.3.9
    assert _names(talk, "LSUB a/ %") == [b"a/b"]


def test_a_wild_pattern_over_many_names_is_quick(connect: Connect) -> None:  # IM-10
    talk = connect()
    for number in range(30):
        talk.ask(f"CREATE x{number}/y")
    start = time.monotonic()
    assert _names(talk, 'LIST "" "' + "%*" * 500 + 'z"') == []
    assert time.monotonic() - start < 1

"""Which moves are lessons."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message, in_one

from ekiden.base.ids import EnvelopeId
from ekiden.services import teaching
from ekiden.store import accounts, lessons, mailboxes, messages
from ekiden.store.database import Tx
from ekiden.store.entries import FlagMode
from ekiden.store.lessons import Side
from ekiden.store.mailboxes import Mailbox


def _folders(tx: Tx, *more: tuple[str, str | None]) -> dict[str, Mailbox]:
    account = accounts.create_account(tx, "alice", ["alice@one.test"], "", NOW).id
    for name, use in (("Work", None), ("Work/Junk", None), ("Junk/old", None), ("Trash/old", None), *more):
        mailboxes.create(tx, account, name, now=NOW, special_use=use)
    return {each.name: each for each in mailboxes.of_account(tx, account)}


@pytest.mark.parametrize(("source", "target", "side"), [
    ("INBOX", "Junk", Side.SPAM),
    ("Archive", "Junk/old", Side.SPAM),
    ("Trash", "Junk", Side.SPAM),
    ("Junk", "INBOX", Side.HAM),
    ("Junk/old", "Work", Side.HAM),
    ("Junk", "Trash", None),
    ("Junk", "Trash/old", None),
    ("Junk", "Junk/old", None),
    ("Junk", "Junk", None),
    ("INBOX", "Trash", None),
    ("INBOX", "Work", None),
    ("Trash", "INBOX", None),
    ("INBOX", "Work/Junk", None),       # a name below is a name like any other
    ("INBOX", "Spam", Side.SPAM),       # by its special use
    ("INBOX", "Spam/2026", Side.SPAM),
    ("Spam/2026", "Spam", None),
    ("Spam/2026", "INBOX", Side.HAM),
    ("Spam", "Bin/x", None),
])
def test_moves(tmp_path: Path, source: str, target: str, side: Side | None) -> None:
    def work(tx: Tx) -> None:
        special = [("Spam", "\\Junk"), ("Spam/2026", None), ("Bin", "\\Trash"), ("Bin/x", None)]
        if "Spam" not in source + target:
            special = []
        found = _folders(tx, *special)
        if special:  # the folders of a new account have that use already; a reader may have given it to another one instead
            mailboxes.remove(tx, found.pop("Junk").id)
            mailboxes.remove(tx, found.pop("Trash").id)
        messages.insert(tx, a_message(1))
        messages.deposit_all(tx, [messages.Copy(found[target].id, EnvelopeId(1), NOW, 10, "")])
        assert teaching.transferred(tx, found[source], found[target], [(1, 1)]) is (side is not None)
        assert [each.side for each in lessons.waiting(tx, 9)] == ([side] if side is not None else [])

    in_one(tmp_path, work)


def test_what_a_client_puts_into_junk_itself_is_unwanted(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        found = _folders(tx)
        assert not teaching.appended(tx, found["INBOX"], [EnvelopeId(1)])
        assert teaching.appended(tx, found["Junk"], [EnvelopeId(2), EnvelopeId(3)])
        assert [(each.message, each.side) for each in lessons.waiting(tx, 9)] == [(2, Side.SPAM), (3, Side.SPAM)]

    in_one(tmp_path, work)


@pytest.mark.parametrize(("mode", "keywords", "taught"), [
    (FlagMode.ADD, ("$Junk",), True),
    (FlagMode.REPLACE, ("$JUNK",), True),
    (FlagMode.REMOVE, ("$Junk",), False),
    (FlagMode.ADD, ("$Label1",), False),
])
def test_flags(tmp_path: Path, mode: FlagMode, keywords: tuple[str, ...], taught: bool) -> None:
    def work(tx: Tx) -> None:
        inbox = _folders(tx)["INBOX"]
        messages.insert(tx, a_message(1))
        messages.deposit(tx, inbox.id, EnvelopeId(1), internal_date=NOW, size=1, flags=["$Junk"])
        assert teaching.flagged(tx, inbox, [(1, 1)], mode, keywords) is taught
        assert len(lessons.waiting(tx, 9)) == taught

    in_one(tmp_path, work)

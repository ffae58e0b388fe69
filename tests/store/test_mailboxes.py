"""Names of mailboxes, their numbers, subscriptions."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.stores import NOW, in_one

from ekiden.base.ids import AccountId, MailboxId
from ekiden.store import accounts, mailboxes
from ekiden.store.database import Conflict, Tx


def _account(tx: Tx) -> AccountId:
    return accounts.create_account(tx, "alice", [], "", NOW).id


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("inbox", "INBOX"),
        ("InBox/x", "INBOX/x"),
        ("inboxes", "inboxes"),
        ("e\u0301", "\u00e9"),
        ("INBΟX", "INBΟX"),  # a Greek letter
    ],
)
def test_what_is_compared(name: str, key: str) -> None:
    assert mailboxes.name_key(name) == key


def test_composed_and_decomposed_names_are_the_same(tmp_path: Path) -> None:
    account = in_one(tmp_path, _account)
    in_one(tmp_path, lambda tx: mailboxes.create(tx, account, "\u00e9", now=NOW))
    with pytest.raises(Conflict):
        in_one(tmp_path, lambda tx: mailboxes.create(tx, account, "e\u0301", now=NOW))


def test_uid_validity_is_never_given_twice(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        account = _account(tx)
        seen = {each.uid_validity for each in mailboxes.of_account(tx, account)}
        for _ in range(3):
            made = mailboxes.create(tx, account, "x", now=NOW)
            found = mailboxes.by_id(tx, made)
            assert found is not None
            assert found.uid_validity not in seen
            seen.add(found.uid_validity)
            mailboxes.remove(tx, made)

    in_one(tmp_path, work)


def test_a_folder_is_found_by_special_use_then_by_name_and_made_if_missing(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        account = _account(tx)
        junk = mailboxes.named(tx, account, "Junk")
        assert junk is not None
        mailboxes.rename(tx, junk.id, "Spam")
        assert mailboxes.inbox_or(tx, account, MailboxId(1), "Junk", NOW) == (junk.id, "Spam")
        assert mailboxes.inbox_or(tx, account, MailboxId(1), "", NOW) == (1, "INBOX")
        made, name = mailboxes.inbox_or(tx, account, MailboxId(1), "Lists", NOW)
        assert name == "Lists"
        assert mailboxes.inbox_or(tx, account, MailboxId(1), "Lists", NOW)[0] == made

    in_one(tmp_path, work)


def test_subscriptions_outlive_the_folder(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        account = _account(tx)
        made = mailboxes.create(tx, account, "x", now=NOW)
        mailboxes.subscribe(tx, account, "x")
        mailboxes.subscribe(tx, account, "x")
        mailboxes.remove(tx, made)
        assert "x" in mailboxes.subscriptions(tx, account)
        mailboxes.unsubscribe(tx, account, "x")
        assert "x" not in mailboxes.subscriptions(tx, account)

    in_one(tmp_path, work)

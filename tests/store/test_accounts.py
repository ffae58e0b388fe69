"""Accounts, addresses, aliases and domains."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.stores import NOW, in_one

from ekiden.base.errors import BadValue
from ekiden.store import accounts, mailboxes
from ekiden.store.accounts import Alias, Target
from ekiden.store.database import Conflict, Tx


def _alice(tx: Tx) -> accounts.Account:
    return accounts.create_account(tx, "Alice", ["Alice@Example.test", "a.l@example.test"], "stored", NOW)


def test_a_new_account_has_its_folders_and_subscriptions(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        alice = _alice(tx)
        found = {each.name: each.special_use for each in mailboxes.of_account(tx, alice.id)}
        assert found == {
            "INBOX": None,
            "Archive": "\\Archive",
            "Drafts": "\\Drafts",
            "Junk": "\\Junk",
            "Sent": "\\Sent",
            "Trash": "\\Trash",
        }
        assert set(mailboxes.subscriptions(tx, alice.id)) == set(found)

    in_one(tmp_path, work)


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.test", "A.L@EXAMPLE.test"])
def test_a_login_name_is_the_account_or_any_address_in_any_case(tmp_path: Path, name: str) -> None:
    def work(tx: Tx) -> None:
        _alice(tx)
        found = accounts.credentials_of(tx, name)
        assert found is not None
        assert (found.name, found.password_hash, found.disabled) == ("alice", "stored", False)
        assert found.addresses == ("alice@example.test", "a.l@example.test")

    in_one(tmp_path, work)


@pytest.mark.parametrize("name", ["", "bob", "alice@elsewhere.test", "al ice", "\x00"])
def test_a_name_that_nobody_has(tmp_path: Path, name: str) -> None:
    def work(tx: Tx) -> None:
        _alice(tx)
        assert accounts.credentials_of(tx, name) is None

    in_one(tmp_path, work)


def test_names_and_addresses_are_taken_once(tmp_path: Path) -> None:
    in_one(tmp_path, _alice)
    with pytest.raises(Conflict):
        in_one(tmp_path, lambda tx: accounts.create_account(tx, "ALICE", [], "", NOW))
    with pytest.raises(Conflict):
        in_one(tmp_path, lambda tx: accounts.create_account(tx, "bob", ["alice@EXAMPLE.test"], "", NOW))
    assert in_one(tmp_path, lambda tx: [each.name for each in accounts.list_accounts(tx)]) == ["alice"]


def test_an_address_is_found_without_regard_to_ascii_case_only(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        alice = accounts.create_account(tx, "mike", ["mike@example.test"], "", NOW)
        found = accounts.find_address(tx, "MIKE", "example.test")
        assert isinstance(found, Target)
        assert found.account == alice.id
        assert accounts.find_address(tx, "mi\u212ae", "example.test") is None  # row RL-12: a Kelvin sign

    in_one(tmp_path, work)


def test_aliases_stand_for_several_and_are_removed(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        _alice(tx)
        accounts.add_alias(tx, "team@example.test", ["alice@example.test", "x@out.test"])
        assert accounts.find_address(tx, "team", "example.test") == Alias(("alice@example.test", "x@out.test"))
        assert accounts.list_aliases(tx) == [("team@example.test", "alice@example.test"), ("team@example.test", "x@out.test")]
        assert accounts.remove_alias(tx, "TEAM@example.test", "x@out.test") == 1
        assert accounts.remove_alias(tx, "team@example.test") == 1
        assert accounts.find_address(tx, "team", "example.test") is None
        with pytest.raises(BadValue):
            accounts.add_alias(tx, "alice@example.test", ["x@out.test"])

    in_one(tmp_path, work)


def test_postmaster_is_an_alias_somewhere_or_the_oldest_account(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert accounts.find_postmaster(tx) is None
        alice = _alice(tx)
        found = accounts.find_postmaster(tx)
        assert isinstance(found, Target)
        assert found.account == alice.id
        accounts.add_alias(tx, "postmaster@example.test", ["x@out.test"])
        assert accounts.find_postmaster(tx) == Alias(("x@out.test",))

    in_one(tmp_path, work)


def test_a_domain_and_its_catch_all(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert not accounts.domain_exists(tx, "example.test")
        accounts.add_domain(tx, "example.test", NOW)
        assert accounts.domain_exists(tx, "example.test")
        assert accounts.find_catch_all(tx, "example.test") is None
        accounts.set_catch_all(tx, "example.test", "alice@example.test", NOW)
        assert accounts.find_catch_all(tx, "example.test") == Alias(("alice@example.test",))
        assert accounts.remove_domain(tx, "example.test")

    in_one(tmp_path, work)


def test_an_account_goes_with_all_it_has(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        alice = _alice(tx)
        accounts.set_password(tx, alice.id, "other")
        accounts.set_disabled(tx, alice.id, True)
        found = accounts.credentials_of(tx, "alice")
        assert found is not None
        assert (found.password_hash, found.disabled) == ("other", True)
        accounts.remove_account(tx, alice.id)
        assert accounts.account_named(tx, "alice") is None
        assert mailboxes.of_account(tx, alice.id) == []
        assert accounts.find_address(tx, "alice", "example.test") is None

    in_one(tmp_path, work)


def test_an_account_over_its_quota_is_told(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        accounts.create_account(tx, "carol", ["carol@example.test"], "", NOW, quota_bytes=0)
        found = accounts.find_address(tx, "carol", "example.test")
        assert isinstance(found, Target)
        assert found.over_quota

    in_one(tmp_path, work)

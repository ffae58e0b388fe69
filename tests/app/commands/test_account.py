"""ekiden account."""

from __future__ import annotations

import pytest
from tests.app.calls import Calls

from ekiden.sasl.passwords import Passwords
from ekiden.store import accounts
from ekiden.store.database import open_database


def stored_password(ekiden: Calls, name: str) -> str | None:
    import asyncio

    database = open_database(f"sqlite://{ekiden.folder}/data/ekiden.db")
    found = asyncio.run(database.read(lambda tx: accounts.credentials_of(tx, name)))
    database.close()
    return found.password_hash if found is not None else None


def test_an_account_is_added_and_listed(peopled: Calls) -> None:
    assert peopled.json("account", "list") == [
        {"name": "alice@one.test", "addresses": ["alice@one.test"], "quota_bytes": None, "disabled": False}
    ]
    assert "alice@one.test" in peopled.out("account", "list")
    assert Passwords().verify(stored_password(peopled, "alice@one.test"), b"secret")


def test_a_name_may_differ_from_the_addresses(ekiden: Calls) -> None:
    words = ("account", "add", "bob", "--address", "bob@one.test", "--address", "robert@one.test", "--quota", "2GB", "--password-stdin")
    assert ekiden.out(*words, input="x\n") == "bob can sign in now and has mail at bob@one.test, robert@one.test\n"
    assert ekiden.json("account", "list")[0]["quota_bytes"] == 2_000_000_000


@pytest.mark.parametrize(("words", "told"), [
    (("bob",), "needs an address"),
    (("bob@two.test",), "two.test is no domain of this server; `ekiden domain add two.test`"),
    (("bob@one.test", "--quota", "much"), "expected a size"),
    (("bob", "--address", "bob@[192.0.2.1]"), "needs a domain"),
])
def test_what_cannot_be_an_account_is_refused(ekiden: Calls, words: tuple[str, ...], told: str) -> None:
    assert told in ekiden.fails("account", "add", *words, "--password-stdin", status=2, input="x\n")


def test_an_empty_password_is_refused(ekiden: Calls) -> None:
    assert "empty password" in ekiden.fails("account", "add", "bob@one.test", "--password-stdin", status=2, input="\n")


def test_a_taken_name_is_told(peopled: Calls) -> None:
    assert "is taken" in peopled.fails("account", "add", "alice@one.test", "--password-stdin", input="x\n")


def test_a_password_is_changed(peopled: Calls) -> None:
    peopled.out("account", "passwd", "alice@one.test", "--password-stdin", input="new one\n")
    assert Passwords().verify(stored_password(peopled, "alice@one.test"), b"new one")


def test_an_account_is_disabled_and_enabled(peopled: Calls) -> None:
    peopled.out("account", "disable", "alice@one.test")
    assert peopled.json("account", "list")[0]["disabled"] is True
    peopled.out("account", "enable", "alice@one.test")
    assert peopled.json("account", "list")[0]["disabled"] is False


def test_an_account_is_removed_after_a_question(peopled: Calls) -> None:
    refused = peopled.run("account", "remove", "alice@one.test", input="n\n")
    assert refused.exit_code == 1
    assert len(peopled.json("account", "list")) == 1
    peopled.out("account", "remove", "alice@one.test", "--yes")
    assert peopled.json("account", "list") == []
    assert peopled.out("account", "list").startswith("no accounts yet")


@pytest.mark.parametrize("action", ["passwd", "remove", "disable", "enable"])
def test_an_unknown_account_is_told_with_the_nearest(peopled: Calls, action: str) -> None:
    assert "did you mean alice@one.test?" in peopled.fails("account", action, "alic@one.test", status=2)

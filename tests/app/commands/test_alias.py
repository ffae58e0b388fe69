"""ekiden alias."""

from __future__ import annotations

from tests.app.calls import Calls


def test_an_alias_is_added_listed_and_removed(peopled: Calls) -> None:
    peopled.out("alias", "add", "info@one.test", "alice@one.test", "bob@elsewhere.test")
    assert peopled.json("alias", "list") == [
        {"address": "info@one.test", "target": "alice@one.test"},
        {"address": "info@one.test", "target": "bob@elsewhere.test"},
    ]
    peopled.out("alias", "remove", "info@one.test", "alice@one.test")
    assert [one["target"] for one in peopled.json("alias", "list")] == ["bob@elsewhere.test"]
    peopled.out("alias", "remove", "info@one.test")
    assert peopled.out("alias", "list") == "no aliases yet\n"


def test_an_alias_of_a_foreign_domain_is_refused(peopled: Calls) -> None:
    assert "is no domain of this server" in peopled.fails("alias", "add", "a@two.test", "alice@one.test", status=2)


def test_the_address_of_an_account_is_no_alias(peopled: Calls) -> None:
    assert "an account has this address" in peopled.fails("alias", "add", "alice@one.test", "bob@one.test")


def test_the_same_alias_twice_is_one(peopled: Calls) -> None:
    for _ in range(2):
        peopled.out("alias", "add", "info@one.test", "alice@one.test")
    assert len(peopled.json("alias", "list")) == 1


def test_an_unknown_alias_is_told_with_the_nearest(peopled: Calls) -> None:
    peopled.out("alias", "add", "info@one.test", "alice@one.test")
    assert "did you mean info@one.test?" in peopled.fails("alias", "remove", "inf@one.test", status=2)

"""ekiden domain."""

from __future__ import annotations

from tests.app.calls import Calls


def test_a_domain_is_added_listed_and_removed(peopled: Calls) -> None:
    peopled.out("domain", "add", "Two.TEST")
    assert [(one["name"], one["from"]) for one in peopled.json("domain", "list")] == [("one.test", "configuration"), ("two.test", "added")]
    peopled.out("domain", "remove", "two.test")
    assert len(peopled.json("domain", "list")) == 1


def test_a_domain_of_another_script_is_kept_in_a_labels(peopled: Calls) -> None:
    peopled.out("domain", "add", "例え.test")
    assert peopled.json("domain", "list")[1]["name"] == "xn--r8jz45g.test"


def test_what_is_wrong_with_a_domain_is_told(peopled: Calls) -> None:
    assert "expected a domain" in peopled.fails("domain", "add", "a b", status=2)
    assert "is in the configuration" in peopled.fails("domain", "add", "one.test")
    assert "is in the configuration" in peopled.fails("domain", "remove", "one.test")
    assert "is no domain of this server" in peopled.fails("domain", "remove", "two.test", status=2)
    peopled.out("domain", "add", "two.test")
    assert "already" in peopled.fails("domain", "add", "two.test")


def test_mail_for_unknown_addresses_has_a_target(peopled: Calls) -> None:
    peopled.out("domain", "catch-all", "one.test", "alice@one.test")
    assert peopled.json("domain", "list")[0]["catch-all"] == "alice@one.test"
    assert "is refused" in peopled.out("domain", "catch-all", "one.test")
    assert "is no domain of this server" in peopled.fails("domain", "catch-all", "two.test", "alice@one.test", status=2)


def test_records_are_lines_of_a_zone_file(ekiden: Calls) -> None:
    assert "\none.test.                IN  MX    10 mail.one.test.\n" in ekiden.out("domain", "records", "one.test")
    assert ekiden.json("domain", "records", "one.test")[0] == {
        "name": "one.test.", "type": "MX", "value": "10 mail.one.test.", "why": "Mail for the domain comes to this server", "note": False,
    }

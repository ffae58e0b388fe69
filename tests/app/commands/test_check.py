"""ekiden check."""

from __future__ import annotations

from tests.app.calls import Calls


def test_what_lies_in_the_drop_in_folders_is_listed(ekiden: Calls) -> None:
    told = ekiden.json("check")
    found = {(one["kind"], one["name"]) for one in told["found"]}
    assert {("smtp-extension", "size"), ("sasl-mechanism", "plain"), ("store-engine", "sqlite"), ("command", "check")} <= found
    assert {one["error"] for one in told["found"]} == {""}
    assert next(one for one in told["found"] if one["name"] == "size")["rfcs"] == "RFC 1870"


def test_versions_are_told(ekiden: Calls) -> None:
    assert ekiden.out("check").startswith("ekiden")
    assert set(ekiden.json("check")["versions"]) == {"ekiden", "python", "sqlite", "tls", "system"}

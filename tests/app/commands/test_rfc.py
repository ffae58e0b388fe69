"""ekiden rfc."""

from __future__ import annotations

import pytest
from tests.app.calls import Calls

from ekiden.app.commands.rfc import citations, table


@pytest.mark.parametrize("number", ["5321", "RFC 5321", "rfc5321"])
def test_places_in_the_source_are_found(ekiden: Calls, number: str) -> None:
    told = ekiden.json("rfc", number)
    assert told["title"] == "Simple Mail Transfer Protocol"
    assert any(place["file"].startswith("src/ekiden/smtp/") for place in told["places"])
    assert any(place["file"].startswith("tests/") for place in told["places"])


def test_a_section_narrows_the_places(ekiden: Calls) -> None:
    places = ekiden.json("rfc", "5321", "--section", "4.5")["places"]
    assert places
    assert all(place["section"].startswith("4.5") for place in places)
    assert ekiden.out("rfc", "5321", "--section", "4.5").startswith("RFC 5321  Simple Mail Transfer Protocol")


def test_an_unknown_number_is_told(ekiden: Calls) -> None:
    assert "nothing here follows an" in ekiden.fails("rfc", str(99_998), status=2)
    assert "nothing here follows an RFC x" in ekiden.fails("rfc", "x", status=2)


def test_all_rfcs_are_listed(ekiden: Calls) -> None:
    assert {one["rfc"] for one in ekiden.json("rfc")} == set(table())


def test_sections_are_read_with_the_number() -> None:
    assert "4.2" in {one.section for one in citations("5321")}

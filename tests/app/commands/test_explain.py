"""ekiden explain."""

from __future__ import annotations

import pytest
from tests.app.calls import Calls


@pytest.mark.parametrize("words", [("550", "5.1.1"), ("550 5.1.1 No such mailbox here",), ("5.1.1",), ("RCPT",), ("starttls",)])
def test_words_and_reply_lines_are_explained(ekiden: Calls, words: tuple[str, ...]) -> None:
    told = ekiden.out("explain", *words)
    assert "written in  RFC " in told
    assert "who acts" in told


def test_it_explains_in_japanese(ekiden: Calls) -> None:
    assert "意味" in ekiden.out("explain", "550", "--lang", "ja")


def test_programs_get_json(ekiden: Calls) -> None:
    assert [one["rfc"] for one in ekiden.json("explain", "550", "5.1.1")] == ["RFC 5321 §4.2.3", "RFC 3463 §3.2"]


def test_an_unknown_word_is_told_with_the_nearest(ekiden: Calls) -> None:
    assert ekiden.fails("explain", "RCTP", status=2) == "ekiden: nothing is known about RCTP; did you mean RCPT, ORCPT?\n"


def test_everything_is_listed_on_demand(ekiden: Calls) -> None:
    assert len(ekiden.json("explain", "--list")) > 150
    assert "--list" in ekiden.fails("explain", status=2)

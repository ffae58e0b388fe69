"""What codes and commands mean."""

from __future__ import annotations

import re

import pytest

from ekiden.base.texts import has_text, languages
from ekiden.services.explain import UnknownWord, explain, facts


def test_every_fact_has_its_sentences_and_its_section() -> None:
    for fact in facts():
        assert has_text(f"explain.{fact.kind}.{fact.word}")
        assert has_text(f"explain.who.{fact.who}")
        assert re.fullmatch(r"RFC [0-9]+( §[0-9.]+)?", fact.rfc)


def test_no_fact_stands_twice() -> None:
    assert len({(fact.kind, fact.word) for fact in facts()}) == len(facts())


@pytest.mark.parametrize("code", [  # RFC 5321 §4.2.3
    211, 214, 220, 221, 250, 251, 252, 354, 421, 450, 451, 452, 455, 500, 501, 502, 503, 504, 550, 551, 552, 553, 554, 555,
])
def test_all_replies_of_smtp_are_explained_in_each_language(code: int) -> None:
    for lang in languages():
        assert explain(str(code), lang)[0].word == str(code)


@pytest.mark.parametrize(("subject", "last"), [(1, 8), (2, 4), (3, 5), (4, 7), (5, 5), (6, 5), (7, 7)])  # RFC 3463 §3.2 to §3.8
def test_all_enhanced_codes_are_explained(subject: int, last: int) -> None:
    for detail in range(last + 1):
        assert explain(f"5.{subject}.{detail}")[0].kind == "enhanced status code"


def test_a_word_of_several_protocols_is_explained_for_each() -> None:
    assert [one.kind for one in explain("starttls")] == ["SMTP command", "IMAP command"]


@pytest.mark.parametrize("line", ["550 5.1.1 no such user", "550-5.1.1 no such user", "550 5.1.1"])
def test_a_whole_reply_line_is_explained_code_by_code(line: str) -> None:
    assert [one.word for one in explain(line)] == ["550", "5.1.1"]


def test_who_must_act_follows_the_class() -> None:
    assert explain("2.1.5")[0].who == "Nobody: this is good news."
    assert explain("4.4.2")[0].who.startswith("Nobody at once")
    assert explain("5.4.2")[0].who == "The postmaster of the sending server."


@pytest.mark.parametrize(("word", "near"), [("RCTP", "RCPT"), ("5.1.11", "5.1.1"), ("STARTLS", "STARTTLS"), ("599", "550")])
def test_an_unknown_word_comes_with_near_ones(word: str, near: str) -> None:
    with pytest.raises(UnknownWord) as caught:
        explain(word)
    assert near in caught.value.near


@pytest.mark.parametrize("word", ["", " ", "x\ny", "٣٣٣", "5.1.1\n6", "9" * 1000, "{kind}"])
def test_nonsense_is_only_unknown(word: str) -> None:
    with pytest.raises(UnknownWord):
        explain(word)

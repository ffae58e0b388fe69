"""The message catalogue."""

from __future__ import annotations

import string

import pytest

from ekiden.base.texts import MissingText, catalogue, has_text, languages, text


def _placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def test_english_and_japanese_are_there() -> None:
    assert languages() == ("en", "ja")


def test_each_language_has_every_sentence() -> None:
    missing = {lang: sorted(set(catalogue("en")) ^ set(catalogue(lang))) for lang in languages()}
    assert missing == {lang: [] for lang in languages()}


def test_placeholders_are_the_same_in_each_language() -> None:
    wrong = [key for key, template in catalogue("en").items() for lang in languages()
             if _placeholders(catalogue(lang).get(key, template)) != _placeholders(template)]
    assert wrong == []


def test_placeholders_are_plain_names() -> None:
    odd = [key for lang in languages() for key, template in catalogue(lang).items()
           if not all(name.isidentifier() for name in _placeholders(template))]
    assert odd == []


def test_no_sentence_is_empty() -> None:
    assert [key for lang in languages() for key, sentence in catalogue(lang).items() if not sentence.strip()] == []


def test_fields_are_filled_in() -> None:
    assert text("config.unreadable", error="gone") == "cannot be read (gone)"
    assert "gone" in text("config.unreadable", lang="ja", error="gone")


def test_braces_in_a_field_are_only_text() -> None:
    assert text("config.unreadable", error="{0.__class__}") == "cannot be read ({0.__class__})"


def test_an_unknown_language_falls_back_to_english() -> None:
    assert text("config.missing", lang="xx") == text("config.missing")


def test_a_missing_field_and_a_missing_key_are_errors() -> None:
    with pytest.raises(MissingText):
        text("config.unreadable")
    with pytest.raises(MissingText):
        text("config.nothing-like-this")
    assert not has_text("config.nothing-like-this")
    assert has_text("config.missing")

"""Published messages of others as mail that is wanted: half of them is taught beside made-up mail, the other half is not taken for spam."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.mail.letters import letters
from tests.suites.data import conformance

from ekiden.mail.bayes import NEVER, Seen, judge
from ekiden.mail.words import words_of

_FOLDER = conformance("mime")
pytestmark = pytest.mark.conformance("mime", 157)


def _messages() -> list[bytes]:
    if _FOLDER is None:
        return []
    files: list[Path] = sorted(file for ending in ("msg", "eml") for file in _FOLDER.rglob(f"*.{ending}"))
    return list(dict.fromkeys(file.read_bytes() for file in files))


def test_mail_of_strangers_is_not_taken_for_spam() -> None:
    found = _messages()
    assert len(found) > 100
    made = [each for language in ("en", "ja") for each in letters(100, 1, language)]
    spam = Counter(word for each in made if each.is_spam for word in words_of(each.raw))
    wanted = [each.raw for each in made if not each.is_spam] + found[::2]
    ham = Counter(word for raw in wanted for word in words_of(raw))
    counts = {word: Seen(spam[word], ham[word]) for word in spam.keys() | ham.keys()}
    total = Seen(200, len(wanted))

    def probability(raw: bytes) -> float:
        opinion = judge(words_of(raw), counts, total, {}, NEVER)
        assert opinion is not None
        return opinion.probability

    asked = found[1::2]
    assert sum(probability(raw) >= 0.8 for raw in asked) <= len(asked) / 100
    assert sum(probability(each.raw) >= 0.8 for each in letters(50, 2, "en") if each.is_spam) >= 47, "and spam still is"

"""What a reply code, an enhanced status code, a command or an extension means, who must act, and where it is written.

The facts are in base/texts/explain.tsv, the sentences in the catalogue under "explain.…".
Source: RFC 5321 §4.2, RFC 3463, and the RFCs that each entry names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ekiden.base.settings import nearest
from ekiden.base.texts import text

_ENHANCED = re.compile(r"([245])\.([0-9]{1,3}\.[0-9]{1,3})")
_CODE = re.compile(r"[0-9]{3}")


@dataclass(frozen=True, slots=True)
class Fact:
    """One word that can be explained. kind: "reply", "enhanced", "smtp", "extension", "imap" or "pop3".

    word: as it is written, upper case; of an enhanced code subject and detail only ("1.1"). who: a key below explain.who.
    """

    kind: str
    word: str
    who: str
    rfc: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A Fact in sentences of one language."""

    word: str
    kind: str
    means: str
    who: str
    rfc: str


class UnknownWord(LookupError):
    """Nothing is known about a word. near: the most similar words that are known, best first."""

    def __init__(self, word: str, near: list[str]) -> None:
        super().__init__(word)
        self.word = word
        self.near = near


@cache
def facts() -> tuple[Fact, ...]:
    """All that can be explained, in the order of the table."""
    table = files("ekiden.base").joinpath("texts", "explain.tsv").read_text("utf-8")
    rows = (line.split("\t") for line in table.split("\n") if line and not line.startswith("#"))
    return tuple(Fact(kind, word, who, rfc) for kind, word, who, rfc in rows)


def explain(words: str, lang: str = "en") -> list[Explanation]:
    """Explain a word ("550", "5.1.1", "RCPT"), or each code at the start of a whole reply line ("550 5.1.1 no such user").

    Raises UnknownWord.
    """
    given = [word for word in re.split(r"[ \t\r\n-]+", words) if word] if _CODE.match(words) else [words.strip(" \t\r\n")]
    found: list[Explanation] = []
    for position, word in enumerate(given):
        if position and not _ENHANCED.fullmatch(word):
            break  # the text of a reply, not a code any more
        found += _explain_one(word, lang)
    return found


def _explain_one(word: str, lang: str) -> list[Explanation]:
    enhanced = _ENHANCED.fullmatch(word)
    if enhanced is not None:
        for fact in facts():
            if fact.kind == "enhanced" and fact.word == enhanced[2]:
                return [_enhanced(word, enhanced[1], fact, lang)]
    upper = word.upper()
    found = [_plain(fact, lang) for fact in facts() if fact.kind != "enhanced" and fact.word == upper]
    if not found:
        known = _known(word)
        raise UnknownWord(word, nearest(word, known, count=3) or [each for each in known if each[0] == word[:1]])
    return found


def _plain(fact: Fact, lang: str) -> Explanation:
    means = text(f"explain.{fact.kind}.{fact.word}", lang)
    return Explanation(fact.word, text(f"explain.kind.{fact.kind}", lang), means, text(f"explain.who.{fact.who}", lang), fact.rfc)


def _enhanced(word: str, outcome: str, fact: Fact, lang: str) -> Explanation:
    means = text(f"explain.enhanced.{fact.word}", lang) + ("" if lang == "ja" else " ") + text(f"explain.class.{outcome}", lang)
    who = text(f"explain.who.{fact.who}", lang)
    if outcome == "2":
        who = text("explain.who.nobody", lang)
    elif outcome == "4":
        who = text("explain.temporary", lang, who=who)
    return Explanation(word, text("explain.kind.enhanced", lang), means, who, fact.rfc)


def _known(word: str) -> list[str]:
    """The words that somebody can have meant: codes for what looks like a code, else names."""
    if _ENHANCED.match(word) or "." in word:
        outcome = word[0] if word[:1] in ("2", "4", "5") else "5"
        return [f"{outcome}.{fact.word}" for fact in facts() if fact.kind == "enhanced"]
    digits = word[:1].isascii() and word[:1].isdigit()
    return [fact.word for fact in facts() if fact.kind != "enhanced" and fact.word[0].isdigit() == digits]

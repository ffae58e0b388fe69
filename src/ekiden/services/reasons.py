"""Why a check came to its result, in the reader's language.

The checks give their reasons in English, as Authentication-Results carries them; a journey keeps that text. It is recognised by the
sentences of the catalogue under "reason", of which the English ones are the patterns. What is not recognised stays as it is. Linear or
nearly so: a reason is at most a few hundred characters, and no pattern has more than two parts of any characters.
"""

from __future__ import annotations

import re
from functools import cache

from ekiden.base.texts import ENGLISH, catalogue, text

_PREFIX = "reason."
_PLACE = re.compile(r"\{([a-z]+)\}")
_PARTS = {
    "number": "[0-9]+", "most": "[0-9]+", "tag": "[a-z]+", "ip": "[0-9a-f.:]+", "type": "[A-Z]+", "part": "seal|message signature",
    "claim": "cv=[a-z]+", "word": "[a-z]+",
    "policy": "[a-z]+=[a-z]+", "author": "[^ ,]+", "name": "[^ ]+", "field": "ARC-[A-Za-z-]+", "range": "1 to [0-9]+",
    "quoted": "'.*'|\".*\"",
}  # fmt: skip
_ANY = ".+"  # rest, way, because
_TOLD = ("because", "part")  # what is a reason again
_DEEP = 4


def reason_in(because: str, lang: str, deep: int = _DEEP) -> str:
    """A reason in that language; itself where it is no sentence of ours."""
    if lang == ENGLISH or not because or not deep:
        return because
    for key, pattern in _patterns():
        found = pattern.fullmatch(because)
        if found is not None:
            fields = {name: reason_in(value, lang, deep - 1) if name in _TOLD else value for name, value in found.groupdict().items()}
            return text(key, lang, **fields)
    return because


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((key, _pattern(sentence)) for key, sentence in catalogue(ENGLISH).items() if key.startswith(_PREFIX))


def _pattern(sentence: str) -> re.Pattern[str]:
    pieces = _PLACE.split(sentence)  # text and names of places by turns
    return re.compile("".join(f"(?P<{each}>{_PARTS.get(each, _ANY)})" if at % 2 else re.escape(each) for at, each in enumerate(pieces)))

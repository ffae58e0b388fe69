"""The message catalogue: every sentence that a person reads, in each language of the house.

The sentences lie in texts/<language>/*.toml beside this module; all files of a language are merged. A key is the way
through the tables, joined with dots: "journey.connected". A sentence has placeholders as in str.format: {name}.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

ENGLISH = "en"


class MissingText(LookupError):
    """A key that no table has, or a placeholder for which no field was given: a mistake of the house."""


@cache
def languages() -> tuple[str, ...]:
    """The languages that have tables, English first."""
    folders = sorted(entry.name for entry in files("ekiden.base").joinpath("texts").iterdir() if entry.is_dir())
    return (ENGLISH, *(name for name in folders if len(name) == 2 and name != ENGLISH))


def text(key: str, /, lang: str = ENGLISH, **fields: object) -> str:
    """The sentence of a key with its placeholders filled; English where the language lacks it. Raises MissingText."""
    template = catalogue(lang).get(key) or catalogue(ENGLISH).get(key)
    if template is None:
        raise MissingText(key)
    try:
        return template.format_map(fields)
    except (KeyError, IndexError) as error:
        raise MissingText(f"{key}: {error}") from None


def has_text(key: str) -> bool:
    """Whether the catalogue knows the key."""
    return key in catalogue(ENGLISH)


@cache
def catalogue(lang: str) -> Mapping[str, str]:
    """Every sentence of one language by its key; empty for a language without tables. Raises MissingText for a key set twice."""
    if lang not in languages():
        return {}
    found: dict[str, str] = {}
    for entry in sorted(files("ekiden.base").joinpath("texts", lang).iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".toml"):
            continue
        for key, sentence in _flat(tomllib.loads(entry.read_text("utf-8")), ""):
            if key in found:
                raise MissingText(f"{key} stands twice in texts/{lang}")
            found[key] = sentence
    return found


def _flat(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)

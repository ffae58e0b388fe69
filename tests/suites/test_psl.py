"""The Public Suffix List as it is published: the vectors that go with it, and other readers of it.

The list is that of the Debian package, and that of the PyPI package; neither is part of the project.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
from publicsuffixlist import PublicSuffixList
from tests.peers import catalogue, opendmarc
from tests.suites.data import conformance

from ekiden.dns.names import to_ascii
from ekiden.mailauth.public_suffix import SuffixList

_FOLDER = conformance("psl")


def _vectors() -> list[tuple[str, str | None]]:
    """(name, registrable domain); "null" stands for no name, and for no domain."""
    if _FOLDER is None:
        return []
    lines = (_FOLDER / "tests.txt").read_text("utf-8").split("\n")
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("//")]
    return [("" if name == "null" else name, None if domain == "null" else domain) for name, domain in pairs]


def _debian_file() -> Path:
    return catalogue.tree("publicsuffix").root / "usr/share/publicsuffix/public_suffix_list.dat"


@cache
def _text(name: str) -> str:
    if name == "debian":
        return _debian_file().read_text("utf-8")
    return files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text("utf-8")


@cache
def _list(name: str) -> SuffixList:
    return SuffixList.parse(_text(name))


@pytest.mark.conformance("psl", 58)
@pytest.mark.parametrize(("name", "domain"), _vectors())
def test_the_published_vectors(name: str, domain: str | None) -> None:
    assert _list("pypi").registrable(name) == domain


@pytest.mark.peer("publicsuffix")
def test_the_published_vectors_with_the_list_of_debian() -> None:
    assert len(_list("debian")) > 9_000
    assert [(name, _list("debian").registrable(name)) for name, _ in _vectors()] == _vectors()


def _names() -> list[str]:
    """Each rule of the list, with nothing, one label and two labels before it, and where it is a wildcard with one for that."""
    chance = random.Random(20)
    found = []
    for line in _text("pypi").split("\n"):
        rule = line.strip().removeprefix("!").replace("*", "wild")
        if rule and not rule.startswith("//"):
            found += [rule, f"one.{rule}", f"two.one.{rule}", rule.partition(".")[2] or rule]
    return chance.sample(found, 6_000)


def test_another_reader_of_the_list_finds_the_same_domains() -> None:
    """All kinds of rules of the whole list, U-labels and A-labels; publicsuffixlist is the other one.

    It takes the name that a wildcard hangs on for a suffix too. The algorithm of the list does not: "*.one.two" matches names
    of three labels. Those names are left out.
    """
    other = PublicSuffixList(_text("pypi").split("\n"))
    wild = {line.strip().removeprefix("*.") for line in _text("pypi").split("\n") if line.startswith("*.")}
    names = [name for name in _names() if name not in wild]
    assert len(names) > 5_500
    assert sum(not name.isascii() for name in names) > 50
    different = []
    for name in names:
        ours = _list("pypi").registrable(name)
        if ours != other.privatesuffix(name):
            different.append((name, ours))
        spelled = to_ascii(name)
        if _list("pypi").registrable(spelled) != other.privatesuffix(spelled):
            different.append((spelled, ours))
    assert different == []


@pytest.mark.peer("publicsuffix", "libopendmarc")
def test_libopendmarc_finds_the_same_organisations() -> None:
    """RFC 7489 §3.2, with the list of Debian; names in ASCII, which is what it reads.

    It knows no wildcards, no suffix with a label of one character and no name that is not on the list: there the published
    vectors are against it, and such names are left out.
    """
    rules = {line.strip() for line in _text("debian").split("\n")}
    wild = {rule.removeprefix("*.") for rule in rules if rule.startswith("*.")}

    def is_within_its_reach(name: str) -> bool:
        labels = name.split(".")
        suffixes = {".".join(labels[at:]) for at in range(len(labels))}
        return "xn--" not in name and not suffixes & wild and labels[-1] in rules and all(len(label) > 1 for label in labels)

    names = [name.lower() for name, domain in _vectors() if domain is not None] + _names()
    names = [name for name in names if name.isascii() and is_within_its_reach(name) and _list("debian").registrable(name)]
    assert len(names) > 3_000
    theirs = opendmarc.organisations(names, _debian_file())
    assert [(name, their) for name, their in zip(names, theirs, strict=True) if _list("debian").registrable(name) != their] == []

"""The Public Suffix List: where names begin that anybody may register.

This is only the reading of a list; which file it is, is the operator's to say. All of its rules count, those of registries
and those that companies have added. Pure; a question costs a few set lookups, whatever the length of the name.
Source: RFC 7489 §3.2, and the format and the algorithm that the list's own documentation gives.
"""

from __future__ import annotations

from collections.abc import Iterable

from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii

_MOST_LABELS = 127


class SuffixList:
    """The rules of one list.

    exact: suffixes. wild: what follows "*." in rules such as "*.ck". spared: names that "!" takes out of a wildcard.
    patterns: the rare rules with "*" further inside, as labels from the right. All in A-labels.
    """

    __slots__ = ("_deepest", "_exact", "_patterns", "_spared", "_wild")

    def __init__(self, exact: Iterable[str], wild: Iterable[str], spared: Iterable[str], patterns: Iterable[str] = ()) -> None:
        self._exact = frozenset(exact)
        self._wild = frozenset(wild)
        self._spared = frozenset(spared)
        self._patterns = tuple(tuple(reversed(pattern.split("."))) for pattern in patterns)
        deepest = max((rule.count(".") + 1 for rules in (self._exact, self._spared) for rule in rules), default=1)
        below = max((rule.count(".") + 2 for rule in self._wild), default=1)
        self._deepest = max(deepest, below, *map(len, self._patterns), 1)

    def __len__(self) -> int:
        return len(self._exact) + len(self._wild) + len(self._spared) + len(self._patterns)

    @classmethod
    def parse(cls, text: str) -> SuffixList:
        """The rules in a text: one a line up to the first white space; "//" begins a comment. What is no rule is passed over."""
        exact: list[str] = []
        wild: list[str] = []
        spared: list[str] = []
        patterns: list[str] = []
        for line in text.split("\n"):
            words = line.split(None, 1)
            if not words or words[0].startswith("//"):
                continue
            rule = words[0].lower().removeprefix(".")
            into = spared if rule.startswith("!") else wild if rule.startswith("*.") else exact
            rule = rule.removeprefix("!").removeprefix("*.")
            if rule == "*":
                continue  # what holds for every name without a rule
            if "*" in rule:
                patterns.append(rule if into is exact else f"*.{rule}")
            elif (name := _ascii(rule)) is not None:
                into.append(name)
        return cls(exact, wild, spared, patterns)

    def registrable(self, domain: str) -> str | None:
        """The name that was registered: the public suffix and one label more. None if the domain is a suffix, or no name.

        domain: A-labels or U-labels, any case. The answer is in the form that was asked in, in lower case.
        """
        asked = domain.lower().removesuffix(".")
        labels = asked.split(".")
        name = _ascii(asked)
        if name is None or name.count(".") != len(labels) - 1:
            return None
        wanted = self._suffix_labels(name.split(".")) + 1
        return ".".join(labels[-wanted:]) if wanted <= len(labels) else None

    def _suffix_labels(self, labels: list[str]) -> int:
        """How many labels the public suffix of a name has; the rule of the most labels counts, an exception before all."""
        deepest = min(self._deepest, len(labels))
        suffixes = [".".join(labels[-count:]) for count in range(deepest, 0, -1)]
        for suffix in suffixes:
            if suffix in self._spared:
                return suffix.count(".")
        found = max((len(pattern) for pattern in self._patterns if _fits(pattern, labels)), default=1)
        for suffix in suffixes:
            count = suffix.count(".") + 1
            if count <= found:
                break
            if suffix in self._exact or suffix.partition(".")[2] in self._wild:
                return count
        return found


def _fits(pattern: tuple[str, ...], labels: list[str]) -> bool:
    return len(pattern) <= len(labels) and all(
        want in ("*", have) for want, have in zip(pattern, reversed(labels), strict=False)
    )


def _ascii(name: str) -> str | None:
    """A name in A-labels; one that is no host name as it is, if it is ASCII and all its labels are there; else None."""
    try:
        return to_ascii(name)
    except BadValue:
        labels = name.split(".")
        return name if name.isascii() and all(labels) and len(labels) <= _MOST_LABELS and len(name) <= 253 else None

"""A DMARC policy record: what a domain asks of those who receive mail in its name.

Exact about what makes a text such a record (its version, at the very front) and tolerant about the rest: a tag that is
unknown or badly written counts as absent, and is named among the problems. Pure; never raises, for any bytes; the time
is linear in the length. pct, of the older RFC, is read too, for those who go by it.
Source: RFC 9989 §4.7, RFC 9989 §4.8, RFC 9989 §4.10.1, RFC 7489 §6.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")


class Policy(Enum):
    """What shall become of mail that fails."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def milder(self) -> Policy:
        """One step down, as a domain that is only testing asks for (RFC 9989 §4.7)."""
        return _MILDER[self]


_MILDER = {Policy.REJECT: Policy.QUARANTINE, Policy.QUARANTINE: Policy.NONE, Policy.NONE: Policy.NONE}


class Psd(Enum):
    """Whether strangers register names below this domain."""

    YES = "y"
    NO = "n"
    UNKNOWN = "u"


class Trouble(Enum):
    """What is wrong with one tag of a record; for whoever checks his own."""

    UNKNOWN = "unknown"  # no tag of the registry: ignored
    REMOVED = "removed"  # pct, rf, ri: of RFC 7489 only
    BAD_VALUE = "bad-value"  # ignored, as if absent
    TWICE = "twice"  # the first one counts
    NO_TAG = "no-tag"  # what stands between two semicolons is no tag
    MISSING = "missing"  # p, which every record should have


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that the owner of a record would want to know. tag: as written, at most 40 characters."""

    trouble: Trouble
    tag: str


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """One record, with the defaults filled in.

    p, sp, np: None where absent or not valid. adkim, aspf: strict alignment is asked for. testing: t=y.
    rua, ruf: valid URIs in order, at most 20 of each, sizes cut off. fo: letters of "01ds". pct: 0 … 100 (RFC 7489 §6.3).
    is_damaged: p is missing, or p, sp or np are there and not valid. text: as published, at most 1,000 characters of it.
    """

    text: str
    p: Policy | None = None
    sp: Policy | None = None
    np: Policy | None = None
    adkim: bool = False
    aspf: bool = False
    testing: bool = False
    psd: Psd = Psd.UNKNOWN
    pct: int = 100
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()
    fo: str = "0"
    is_damaged: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether DMARC applies by this record at all; one that is damaged and asks for no report does nothing."""
        return not self.is_damaged or bool(self.rua)

    def asks(self, *, below: bool, exists: bool = True) -> tuple[Policy, str]:
        """The policy, and the tag that gives it, for mail of this domain or of one below it (RFC 9989 §4.10.1).

        exists: the author domain is there in the DNS; it matters only below, and only where has_np.
        """
        if self.is_damaged or self.p is None:
            return Policy.NONE, "p"
        if below and not exists and self.np is not None:
            return self.np, "np"
        if below and self.sp is not None:
            return self.sp, "sp"
        return self.p, "p"


_VERSION = re.compile(rb"[vV][ \t]*+=[ \t]*+DMARC1[ \t]*+(?:;|\Z)")
_TAG = re.compile(rb"[ \t\r\n]*+([A-Za-z]++)[ \t\r\n]*+=[ \t\r\n]*+([ -:<-~]++)[ \t\r\n]*+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+:(?:[A-Za-z0-9\-._~:/?#\[\]@$&'()*+;=]|%[0-9A-Fa-f]{2})++")
_MAILTO = re.compile(r"(?:[A-Za-z0-9\-._~/$&'*+=]|%[0-9A-Fa-f]{2})++@[A-Za-z0-9\-.]++(?:\?.*)?", re.DOTALL)
_SIZE = re.compile(r"![0-9]++[kmgtKMGT]?")
_BLANK = b" \t\r\n"
_READ = 16 << 10
_MOST_TAGS = 100
_MOST_URIS = 20
_CACHED_LENGTH = 1024
_POLICIES = {policy.value: policy for policy in Policy}
_PSD = {psd.value: psd for psd in Psd}
_OLD_TAGS = frozenset(["pct", "rf", "ri"])
_TAGS = frozenset(["v", "p", "sp", "np", "adkim", "aspf", "t", "psd", "rua", "ruf", "fo", *_OLD_TAGS])


def is_dmarc_record(raw: bytes) -> bool:
    """Whether a TXT record is one of DMARC: the version is the first thing in it, in upper case, and nothing is before it."""
    return _VERSION.match(raw) is not None


def parse_record(raw: bytes) -> DmarcRecord | None:
    """The record, or None where this is no record of DMARC at all. raw: all strings of a TXT record joined; 16 KiB are read."""
    return _cached(raw) if len(raw) <= _CACHED_LENGTH else _parse(raw[:_READ])


def _parse(raw: bytes) -> DmarcRecord | None:
    if (version := _VERSION.match(raw)) is None:
        return None
    values, problems = _tags(raw[version.end() :])
    chosen = _Chosen(values, problems)
    p, sp, np = (chosen.of(tag, _POLICIES) for tag in ("p", "sp", "np"))
    # RFC 9989 §4.10.1: a policy that cannot be read is not replaced by a guess, neither for the domain nor below it.
    damaged = p is None or any(tag in values and policy is None for tag, policy in (("sp", sp), ("np", np)))
    if "p" not in values:
        problems.append(Problem(Trouble.MISSING, "p"))
    return DmarcRecord(
        text=raw[:1000].decode("ascii", "replace"),
        p=p,
        sp=sp,
        np=np,
        adkim=chosen.of("adkim", _RELAXED_OR_STRICT) or False,
        aspf=chosen.of("aspf", _RELAXED_OR_STRICT) or False,
        testing=chosen.of("t", _YES_OR_NO) or False,
        psd=chosen.of("psd", _PSD) or Psd.UNKNOWN,
        pct=chosen.percentage(),
        rua=chosen.uris("rua"),
        ruf=chosen.uris("ruf"),
        fo=chosen.failure_options(),
        is_damaged=damaged,
        problems=tuple(problems),
    )


_cached = lru_cache(maxsize=1024)(_parse)
_RELAXED_OR_STRICT = {"r": False, "s": True}
_YES_OR_NO = {"n": False, "y": True}


def _tags(raw: bytes) -> tuple[dict[str, str], list[Problem]]:
    """Tags by name in lower case, the first of each name; at most 100 are read. And what was wrong."""
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for piece in raw.split(b";", _MOST_TAGS)[:_MOST_TAGS]:
        if not piece.strip(_BLANK):
            continue
        name, equals, _ = piece.partition(b"=")
        shown = name.strip(_BLANK)[:40].decode("ascii", "replace")
        tag = shown.lower()
        if not equals:
            problems.append(Problem(Trouble.NO_TAG, shown))
        elif tag not in _TAGS:
            problems.append(Problem(Trouble.UNKNOWN, shown))
        elif tag in values or tag == "v":
            problems.append(Problem(Trouble.TWICE, shown))
        else:
            if tag in _OLD_TAGS:
                problems.append(Problem(Trouble.REMOVED, shown))
            found = _TAG.fullmatch(piece)
            # A value of no character that is allowed stays "", which no tag takes.
            values[tag] = found[2].decode("ascii").rstrip(" ") if found else ""
    return values, problems


@dataclass(slots=True)
class _Chosen:
    """Values of tags, each read by what its tag allows; what it does not allow is noted and counts as absent."""

    values: dict[str, str]
    problems: list[Problem]

    def of(self, tag: str, choices: dict[str, T]) -> T | None:
        value = self.values.get(tag)
        if value is None:
            return None
        chosen = choices.get(value.lower())
        if chosen is None:
            self._bad(tag)
        return chosen

    def percentage(self) -> int:
        value = self.values.get("pct", "100")
        if value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= 100:
            return int(value)
        self._bad("pct")
        return 100

    def uris(self, tag: str) -> tuple[str, ...]:
        if tag not in self.values:
            return ()
        found: list[str] = []
        for written in self.values[tag].split(","):
            uri = _uri(written.strip(" \t"))
            if uri is None:
                if Problem(Trouble.BAD_VALUE, tag) not in self.problems:
                    self._bad(tag)
            elif uri not in found and len(found) < _MOST_URIS:
                found.append(uri)
        return tuple(found)

    def failure_options(self) -> str:
        value = self.values.get("fo", "0").lower()
        options = [option.strip(" \t") for option in value.split(":")]
        if all(option in ("0", "1", "d", "s") for option in options) and not ("0" in options and "1" in options):
            return "".join(dict.fromkeys(options))
        self._bad("fo")
        return "0"

    def _bad(self, tag: str) -> None:
        self.problems.append(Problem(Trouble.BAD_VALUE, tag))


def _uri(written: str) -> str | None:
    """A URI without the size that RFC 7489 §6.2 let stand behind it; None if it is none, or a mailto: that leads nowhere."""
    uri, bang, size = written.partition("!")
    if (bang and not _SIZE.fullmatch("!" + size)) or not _URI.fullmatch(uri):
        return None
    scheme, _, rest = uri.partition(":")
    if scheme.lower() == "mailto" and not _MAILTO.fullmatch(rest):
        return None
    return uri

"""Sizes, durations and rates as people write them: "25MB", "4h", "500B/s".

A size with kB, MB, GB counts in thousands, one with KiB, MiB, GiB in 1,024s; a duration counts in whole seconds.
parse(text(x)) == x for each of the three.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated, TypeAlias

from ekiden.base.errors import BadValue


class Unit(Enum):
    """What a number counts; the value is its name in the catalogue and on reference pages."""

    SIZE = "size"
    DURATION = "duration"
    RATE = "rate"


Bytes: TypeAlias = Annotated[int, Unit.SIZE]
"""A number of octets."""
Seconds: TypeAlias = Annotated[int, Unit.DURATION]
"""A length of time in whole seconds."""
BytesPerSecond: TypeAlias = Annotated[int, Unit.RATE]
"""A rate of transfer."""

_SIZES = {
    "B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4,
}
_SIZE = re.compile(r"([0-9]{1,15}) ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_TIMES = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_TIME = re.compile(r"(?:([0-9]{1,9})w)?(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")
_NUMBER = re.compile(r"[0-9]{1,15}")


def parse_size(text: str) -> int:
    """Octets from "50MB", "64 KiB", "512B" or "512". Raises BadValue."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise BadValue("size", text)
    return int(found[1]) * _SIZES[found[2] or "B"]


def size_text(size: int) -> str:
    """The shortest exact form: 50000000 is "50MB", 65536 is "64KiB"."""
    forms = [f"{size // factor}{unit}" for unit, factor in _SIZES.items() if size and size % factor == 0 and unit != "KB"]
    return min(forms, key=len, default="0B")


def parse_duration(text: str) -> int:
    """Seconds from "90s", "1h30m", "5d" or a bare number of seconds. Raises BadValue."""
    if _NUMBER.fullmatch(text):
        return int(text)
    found = _TIME.fullmatch(text.replace(" ", ""))
    if found is None or not text.strip(" "):
        raise BadValue("duration", text)
    return sum(int(number) * factor for number, factor in zip(found.groups(), _TIMES.values(), strict=True) if number)


def duration_text(seconds: int) -> str:
    """One number with the largest unit that divides: 300 is "5m", 5400 is "90m"."""
    for unit, factor in _TIMES.items():
        if seconds and seconds % factor == 0 and unit != "w":
            return f"{seconds // factor}{unit}"
    return "0s"


def parse_rate(text: str) -> int:
    """Octets a second from "500B/s", "10MB/s" or a bare number. Raises BadValue."""
    try:
        return parse_size(text.removesuffix("/s"))
    except BadValue:
        raise BadValue("rate", text) from None


def rate_text(rate: int) -> str:
    """As size_text, with "/s"."""
    return size_text(rate) + "/s"

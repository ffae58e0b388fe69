"""On which line each key of a TOML document stands, so that a complaint about a value can say where it is.

The text must have been read by tomllib before: this scan trusts its grammar and only keeps count.
Source: TOML 1.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Place = tuple[str | int, ...]
"""The way to a value: keys of tables and positions in arrays, as ("listeners", "mx", 0)."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n\r]*")


def find_lines(text: str) -> dict[Place, int]:
    """The line, from 1, of each key, table header and array element of a valid document."""
    scan = _Scan(text)
    table: Place = ()
    while True:
        scan.skip(_BLANK)
        if scan.at >= len(text):
            return scan.lines
        if text[scan.at] == "[":
            table = scan.header()
        else:
            scan.pair(table)


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Place, int] = {}
        self._arrays: dict[Place, int] = {}
        self._line, self._counted = 1, 0

    def skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise ValueError(f"no TOML at offset {self.at}")  # tomllib has accepted the text, so this is our own mistake
        self.at = found.end()
        return found[0]

    def mark(self, place: Place) -> None:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = max(self._counted, self.at)
        self.lines.setdefault(place, self._line)

    def header(self) -> Place:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        keys = self._keys()
        self.at += 2 if many else 1
        place = self._resolve((), keys[:-1])
        if many:
            name = (*place, keys[-1])
            self._arrays[name] = self._arrays.get(name, -1) + 1
        place = self._resolve(place, keys[-1:])
        self.mark(place)
        return place

    def pair(self, table: Place) -> None:
        start = self.at
        keys = self._keys()
        end, self.at = self.at, start
        for length in range(1, len(keys) + 1):
            self.mark(table + tuple(keys[:length]))
        self.at = end + 1
        self._value(table + tuple(keys))

    def _resolve(self, place: Place, keys: Sequence[str]) -> Place:
        """A header below an array of tables speaks of the array's last table."""
        for key in keys:
            place = (*place, key)
            if place in self._arrays:
                place = (*place, self._arrays[place])
        return place

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self.skip(_SPACE)
            if self.text[self.at] in "\"'":
                keys.append(self.skip(_STRING)[1:-1])
            else:
                keys.append(self.skip(_BARE))
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _value(self, place: Place) -> None:
        self.skip(_SPACE)
        first = self.text[self.at]
        if first == "[":
            self._array(place)
        elif first == "{":
            self._inline_table(place)
        elif first in "\"'":
            self.skip(_STRING)
        else:
            self.skip(_SCALAR)

    def _array(self, place: Place) -> None:
        self.at += 1
        for position in range(len(self.text)):
            self.skip(_BLANK)
            if self.text[self.at] == "]":
                break
            self.mark((*place, position))
            self._value((*place, position))
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, place: Place) -> None:
        self.at += 1
        while True:
            self.skip(_SPACE)
            if self.text[self.at] == "}":
                break
            self.pair(place)
            self.skip(_SPACE)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

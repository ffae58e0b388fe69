"""The macros of SPF: "%{ir}.%{v}._spf.%{d2}" taken apart once, put together for each client.

Pure. What a peer said (local part, HELO) goes into a text once and is never read for macros again. The cost of an expansion is
bounded by the length of its result, not by what the record asks for.
Source: RFC 7208 §7 and §12.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue

NAME_MAX = 253
"""Characters of a name that is asked for; labels on the left are dropped until it fits (RFC 7208 §7.3)."""
EXPLANATION_MAX = 500
"""Characters of an explanation that are kept: one that is longer is cut (RFC 7208 §6.2 lets us)."""

_VALUE_MAX = 320  # a mailbox is at most 64 + 1 + 255; a HELO that is longer is cut
_PARTS_MAX = 999  # more parts than any value has
_TOKEN = re.compile(
    r"([!-$&-~]+)|%(?:\{([slodiphcrtv])([0-9]*)(r?)([.\-+,/_=]*)\}|([%_-]))",
    re.IGNORECASE | re.ASCII,
)
_SPACES = re.compile(r" +")
_PLAIN_OF = {"%": "%", "_": " ", "-": "%20"}
_TOP_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_RESERVED = re.compile(rb"[^A-Za-z0-9\-._~]")  # RFC 3986 §2.3
_UNPRINTABLE = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Macro:
    """One "%{…}". letter: lower case. parts: how many on the right are kept, 0 for all. delimiters: a class of characters, or ""."""

    letter: str
    parts: int
    is_reversed: bool
    delimiters: str
    is_escaped: bool


Piece: TypeAlias = str | Macro


@dataclass(frozen=True, slots=True)
class MacroText:
    """A text with its macros. plain: the name itself where there are none, else None. needs_name: has %{p}, so it asks the DNS."""

    pieces: tuple[Piece, ...]
    plain: str | None
    needs_name: bool


@dataclass(slots=True)
class MacroValues:
    """What the letters stand for in one check.

    local, sender_domain: of the sender as SPF sees it. domain: whose record it is now. name: of %{p}, once it is known.
    receiver: our host name. now: for %{t}. personal: a value was asked for that other messages from this address for this domain
    need not have: of %{s}, %{l}, %{h}, %{t}.
    """

    ip: IPv4Address | IPv6Address
    local: str
    sender_domain: str
    helo: str
    receiver: str
    now: Millis
    domain: str = ""
    name: str = "unknown"
    personal: bool = False

    def value(self, letter: str) -> str:
        """The value of one letter, before it is split."""
        if letter in "slht":
            self.personal = True
        match letter:
            case "s":
                return f"{self.local}@{self.sender_domain}"
            case "l":
                return self.local
            case "o":
                return self.sender_domain
            case "d":
                return self.domain
            case "i":
                if self.ip.version == 4:
                    return str(self.ip)
                return ".".join(f"{int(self.ip):032X}")
            case "p":
                return self.name
            case "v":
                return "in-addr" if self.ip.version == 4 else "ip6"
            case "h":
                return self.helo
            case "c":
                return str(self.ip)
            case "r":
                return self.receiver
            case _:  # "t"; the grammar has no other letter
                return str(self.now // 1000)


def parse_macro_string(text: str) -> MacroText:
    """A macro-string of a record: visible ASCII, and no letter that is only for explanations. Raises BadValue."""
    return _macro_text(_pieces(text, is_explanation=False)[0])


def parse_domain_spec(text: str) -> MacroText:
    """A domain-spec: a macro-string that ends in a macro or in a top label that is no number. Raises BadValue."""
    pieces, literal = _pieces(text, is_explanation=False)
    if literal is not None:
        _check_end(literal)
    return _macro_text(pieces)


def parse_explanation(text: str) -> MacroText:
    """An explain-string: as a macro-string, with spaces, and with the letters c, r and t. Raises BadValue."""
    return _macro_text(_pieces(text, is_explanation=True)[0])


def expand_name(spec: MacroText, values: MacroValues) -> str:
    """The name that a domain-spec stands for: at most 253 characters, no dot at the end; "" if no label fits.

    It is not checked further: whoever asks for it finds out whether a question can carry it (RFC 7208 §4.8).
    """
    if spec.plain is not None:
        return spec.plain
    found: list[str] = []
    length = 0
    for piece in reversed(spec.pieces):  # what is left of the last 253 characters is dropped anyway
        found.append(piece if isinstance(piece, str) else _expanded(piece, values))
        length += len(found[-1])
        if length > NAME_MAX + 2:
            break
    return _fitting("".join(reversed(found)))


def expand_explanation(spec: MacroText, values: MacroValues) -> str:
    """The text of an explanation: printable ASCII, at most 500 characters. It is what a third party says."""
    found: list[str] = []
    length = 0
    for piece in spec.pieces:
        found.append(piece if isinstance(piece, str) else _expanded(piece, values))
        length += len(found[-1])
        if length >= EXPLANATION_MAX:
            break
    return _UNPRINTABLE.sub("?", "".join(found)[:EXPLANATION_MAX])


def _pieces(text: str, *, is_explanation: bool) -> tuple[list[Piece], str | None]:
    """The pieces, and the literal at the end: None if a macro-expand is there, "" if there is nothing at all."""
    found: list[Piece] = []
    literal: str | None = ""
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None and is_explanation:
            token = _SPACES.match(text, at)
            if token is not None:
                found.append(token[0])
                at = token.end()
                continue
        if token is None:
            raise BadValue("macro", text[at : at + 20])
        literal, letter, digits, reverse, delimiters, escape = token.groups()
        if literal is not None:
            found.append(literal)
        elif escape is not None:
            found.append(_PLAIN_OF[escape])
        else:
            found.append(_macro(letter, digits, bool(reverse), delimiters, is_explanation))
        at = token.end()
    return found, literal


def _macro(letter: str, digits: str, is_reversed: bool, delimiters: str, is_explanation: bool) -> Macro:
    lower = letter.lower()
    if lower in "crt" and not is_explanation:
        raise BadValue("macro", letter, "only in the text of exp")  # RFC 7208 §7.2
    significant = digits.lstrip("0")
    if digits and not significant:
        raise BadValue("macro", letter + digits, "no parts")  # RFC 7208 §7.3: nonzero
    parts = int(significant or "0") if len(significant) <= 3 else _PARTS_MAX
    return Macro(lower, parts, is_reversed, delimiters, letter != lower)


def _check_end(literal: str) -> None:
    """RFC 7208 §12, domain-end: "." toplabel, maybe with a dot behind it."""
    dot, label = literal.removesuffix(".").rpartition(".")[1:]
    if not dot or label.isdigit() or not _TOP_LABEL.fullmatch(label):
        raise BadValue("domain-spec", literal[-80:], "no top label")


def _macro_text(pieces: list[Piece]) -> MacroText:
    macros = [piece for piece in pieces if isinstance(piece, Macro)]
    plain = None if macros else _fitting("".join(piece for piece in pieces if isinstance(piece, str)))
    return MacroText(tuple(pieces), plain, any(macro.letter == "p" for macro in macros))


def _expanded(macro: Macro, values: MacroValues) -> str:
    value = values.value(macro.letter)[:_VALUE_MAX]
    if macro.parts or macro.is_reversed or macro.delimiters:
        parts = _split(value, macro.delimiters)
        if macro.is_reversed:
            parts.reverse()
        value = ".".join(parts[-macro.parts :])
    return _escaped(value) if macro.is_escaped else value


def _split(value: str, delimiters: str) -> list[str]:
    if not delimiters:
        return value.split(".")
    first, *others = frozenset(delimiters)
    for other in others:
        value = value.replace(other, first)
    return value.split(first)


def _escaped(value: str) -> str:
    raw = value.encode("utf-8", "surrogatepass")
    return _RESERVED.sub(lambda found: b"%%%02X" % (found[0][0],), raw).decode("ascii")


def _fitting(name: str) -> str:
    """Labels dropped on the left until the name fits (RFC 7208 §7.3), and the dot at its end."""
    name = name.removesuffix(".")
    if len(name) <= NAME_MAX:
        return name
    return name[-NAME_MAX - 1 :].partition(".")[2]

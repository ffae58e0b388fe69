"""SPF records as terms: what a domain says about who may send for it.

Pure. A record is right as a whole or not at all, so a Flaw names the first thing that is wrong; records that many messages ask for
are kept parsed. Letters are compared as ASCII, upper and lower case alike.
Source: RFC 7208 §4.5, §4.6, §5, §6 and §12.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from ekiden.base.errors import BadValue
from ekiden.mailauth.results import Result
from ekiden.mailauth.spf_macro import MacroText, parse_domain_spec, parse_macro_string

RECORD_MAX = 16_384
"""Bytes of a record that is read: forty times what RFC 7208 §3.4 advises. What is longer is an error."""

_KEPT_MAX = 2_048
_SHOWN_MAX = 80
_DIRECTIVE = re.compile(r"([+\-?~]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:([:/])(.*))?", re.IGNORECASE | re.ASCII)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9\-_.]*)=(.*)")
_DUAL_CIDR = re.compile(r"(?:/(0|[1-9][0-9]{0,2}))?(?://(0|[1-9][0-9]{0,2}))?")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_CIDR_AT_END = re.compile(r"/[0-9]{1,3}\Z")
_IP6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_QUALIFIERS = {"": Result.PASS, "+": Result.PASS, "-": Result.FAIL, "?": Result.NEUTRAL, "~": Result.SOFTFAIL}
_ALL_4 = (1 << 32) - 1
_ALL_6 = (1 << 128) - 1


class Kind(Enum):
    """The mechanisms (RFC 7208 §5)."""

    ALL = "all"
    INCLUDE = "include"
    A = "a"
    MX = "mx"
    PTR = "ptr"
    IP4 = "ip4"
    IP6 = "ip6"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One directive.

    qualifier: the result if it matches. text: as the record has it, at most 80 characters. target: None where the domain of the
    record is meant. mask_4, mask_6: of "a" and "mx". version: 4 for ip4, 6 for ip6, else 0; then network is the address with its
    mask (of that version) applied.
    """

    kind: Kind
    qualifier: Result
    text: str
    target: MacroText | None = None
    mask_4: int = _ALL_4
    mask_6: int = _ALL_6
    version: int = 0
    network: int = 0


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record without an error. redirect is None too where an "all" makes it mean nothing (RFC 7208 §6.1)."""

    mechanisms: tuple[Mechanism, ...]
    redirect: MacroText | None = None
    redirect_text: str = ""
    explanation: MacroText | None = None


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a record cannot be used. because: printable ASCII."""

    because: str


def is_spf(raw: bytes) -> bool:
    """Whether a TXT record begins as an SPF record does: "v=spf1", then a space or its end (RFC 7208 §4.5)."""
    return raw[:6].lower() == b"v=spf1" and (len(raw) == 6 or raw[6] == 0x20)


def parse_record(raw: bytes) -> SpfRecord | Flaw:
    """What a record says. raw: something that is_spf(). The last few hundred are kept."""
    return _kept(raw) if len(raw) <= _KEPT_MAX else _parse(raw)


def _parse(raw: bytes) -> SpfRecord | Flaw:
    if len(raw) > RECORD_MAX:
        return Flaw(f"a record of {len(raw)} bytes")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        return Flaw(f"byte {raw[error.start]:#04x} at {error.start} is not ASCII")
    try:
        return _record(text[6:])
    except BadValue as error:
        return Flaw(f"{error.what} {_shown(str(error.raw))!a}" + (f": {error.because}" if error.because else ""))


_kept = lru_cache(maxsize=512)(_parse)


def _record(text: str) -> SpfRecord:
    mechanisms: list[Mechanism] = []
    known: dict[str, tuple[MacroText, str]] = {}
    for term in text.split(" "):
        if not term:
            continue
        modifier = _MODIFIER.fullmatch(term)
        if modifier is None:
            mechanisms.append(_mechanism(term))
            continue
        name, value = modifier[1].lower(), modifier[2]
        try:
            if name not in ("redirect", "exp"):
                parse_macro_string(value)
                continue
            target = parse_domain_spec(value)
        except BadValue as error:
            raise BadValue("modifier", term, _why(error)) from error
        if name in known:
            raise BadValue("modifier", term, "the second one")  # RFC 7208 §6
        known[name] = (target, _shown(term))
    has_all = any(mechanism.kind is Kind.ALL for mechanism in mechanisms)
    redirect, redirect_text = (None, "") if has_all else known.get("redirect", (None, ""))
    return SpfRecord(tuple(mechanisms), redirect, redirect_text, known.get("exp", (None, ""))[0])


def _mechanism(term: str) -> Mechanism:
    directive = _DIRECTIVE.fullmatch(term)
    if directive is None:
        raise BadValue("mechanism", term, "unknown")
    sign, name, mark, rest = directive.groups()
    kind = Kind(name.lower())
    try:
        return _with_argument(kind, _QUALIFIERS[sign], _shown(term), mark, rest)
    except BadValue as error:
        raise BadValue("mechanism", term, _why(error)) from error


def _with_argument(kind: Kind, qualifier: Result, text: str, mark: str | None, rest: str | None) -> Mechanism:
    """mark: ":", "/" or None, what follows the name; rest: what follows the mark."""
    argument = "" if rest is None else rest
    if kind is Kind.ALL:
        if mark is not None:
            raise BadValue("all", argument, "takes nothing")
        return Mechanism(kind, qualifier, text)
    if kind in (Kind.IP4, Kind.IP6):
        if mark != ":":
            raise BadValue("network", argument, "missing")
        return _network(kind, qualifier, text, argument)
    if kind in (Kind.A, Kind.MX):
        return _host(kind, qualifier, text, mark, argument)
    if mark == ":":
        return Mechanism(kind, qualifier, text, parse_domain_spec(argument))
    if mark == "/" or kind is not Kind.PTR:
        raise BadValue("domain-spec", argument, "missing")
    return Mechanism(kind, qualifier, text)


def _host(kind: Kind, qualifier: Result, text: str, mark: str | None, argument: str) -> Mechanism:
    """ "a" or "mx": [ ":" domain-spec ] [ dual-cidr-length ]"""
    target = None
    lengths = ""
    if mark == "/":
        lengths = "/" + argument
    elif mark == ":":
        name = argument
        for _ in range(2):  # the lengths are taken off from the right, since a domain-spec may hold slashes
            found = _CIDR_AT_END.search(name)
            if found is None:
                break
            start = found.start() - (name[found.start() - 1 : found.start()] == "/")
            name, lengths = name[:start], name[start:] + lengths
            if not lengths.startswith("//"):
                break
        target = parse_domain_spec(name)
    dual = _DUAL_CIDR.fullmatch(lengths)
    if dual is None:
        raise BadValue("prefix length", lengths)
    return Mechanism(kind, qualifier, text, target, _mask(dual[1], 32), _mask(dual[2], 128))


def _network(kind: Kind, qualifier: Result, text: str, argument: str) -> Mechanism:
    address, slash, length = argument.partition("/")
    if slash and not _LENGTH.fullmatch(length):
        raise BadValue("prefix length", length)
    try:
        if kind is Kind.IP4:
            mask = _mask(length or None, 32)
            return Mechanism(kind, qualifier, text, version=4, mask_4=mask, network=int(IPv4Address(address)) & mask)
        if not _IP6.fullmatch(address):  # so no zone can hide behind "%"
            raise BadValue("address", address)
        mask = _mask(length or None, 128)
        return Mechanism(kind, qualifier, text, version=6, mask_6=mask, network=int(IPv6Address(address)) & mask)
    except BadValue:
        raise
    except ValueError as error:
        raise BadValue("address", address) from error


def _mask(length: str | None, bits: int) -> int:
    prefix = bits if length is None else int(length)
    if prefix > bits:
        raise BadValue("prefix length", str(prefix), f"at most {bits}")
    return (1 << bits) - (1 << (bits - prefix))


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def _why(error: BadValue) -> str:
    said = f"{error.what} {_shown(str(error.raw))!a}"
    return f"{said}, {error.because}" if error.because else said

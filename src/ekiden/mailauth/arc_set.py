"""The ARC sets of a header, and whether they can be a chain at all: what is told without any key.

Pure, never raises. Bounded: at most 50 sets and 512 KiB; each field is read once. A chain whose structure is wrong is failed here,
so that it costs no lookup (row AX-30).
Source: RFC 8617 §4.1, RFC 8617 §4.2, RFC 8617 §5.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ekiden.base.errors import BadValue
from ekiden.mail.headers import Headers
from ekiden.mail.parameters import strip_comments
from ekiden.mailauth.auth_results import AuthResults, parse_auth_results
from ekiden.mailauth.dkim_signature import Signature, signature_of
from ekiden.mailauth.dkim_tags import parse_tags, parts_of

MOST_SETS = 50
"""RFC 8617 §4.2.1."""
CHAIN_BYTES = 512 << 10
"""All fields of a chain together: each seal is made over all that came before it."""

RESULTS, MESSAGE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
_NAMES = {RESULTS: "ARC-Authentication-Results", MESSAGE: "ARC-Message-Signature", SEAL: "ARC-Seal"}
_INSTANCE = re.compile("[0-9]{1,2}")
_OF_RESULTS = re.compile(rb"[ \t\r\n]*+i[ \t\r\n]*+=[ \t\r\n]*+([0-9]{1,2})[ \t\r\n]*+;")
_ANY_INSTANCE = re.compile(rb"(?:\A|[ \t\r\n;])i[ \t]*+=[ \t]*+([0-9]{1,2})(?![0-9])")
_FEW_BYTES = 4 << 10
_STAND_IN = {True: "A" * 27 + "=", False: "A" * 43 + "="}  # bh= of SHA-1 and of SHA-256


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One link. at: where its three fields stand in Headers.fields: results, message signature, seal.

    claim: cv=, what the sealer found of the chain before. message: ARC-Message-Signature, None if that cannot be read. seal:
    ARC-Seal, of which names and body_hash mean nothing. results: what its sealer had found, as text from a peer.
    """

    instance: int
    at: tuple[int, int, int]
    claim: str
    message: Signature | None
    seal: Signature
    results: AuthResults


@dataclass(frozen=True, slots=True)
class Chain:
    """All sets of a header, oldest first.

    fault: why this cannot be a chain, in words of ours; then there are no sets. highest: the greatest instance that any field has, 0
    if there is none. failed_at: the greatest instance whose seal says cv=fail, else 0.
    """

    sets: tuple[ArcSet, ...] = ()
    fault: str = ""
    highest: int = 0
    failed_at: int = 0


class _Broken(Exception):
    """Why a chain is none."""


@dataclass(slots=True)
class _Field:
    name: bytes
    place: int
    value: bytes
    instance: int = 0
    tags: Mapping[str, str] | None = None


def has_sets(headers: Headers) -> bool:
    """Whether there is any field of a chain."""
    return any(headers.count(name) for name in _NAMES)


def read_chain(headers: Headers) -> Chain:
    """The chain of a message, as far as it is one."""
    found = [
        _Field(lower, place, value)
        for place, (name, value) in enumerate(headers.fields)
        if name[:3] in (b"ARC", b"arc", b"Arc") or name[:3].lower() == b"arc"
        if (lower := name.lower()) in _NAMES
    ]
    if not found:
        return Chain()
    if len(found) > 3 * MOST_SETS or sum(len(each.value) for each in found) > CHAIN_BYTES:
        return Chain(fault="more than 50 sets, or far too long", highest=max(map(_glimpse, found)))
    faults = [fault for each in found if (fault := _read(each))]
    highest = max(max(each.instance or _glimpse(each) for each in found), 0)
    seals = [each for each in found if each.name == SEAL and each.tags is not None]
    failed_at = max((each.instance for each in seals if each.tags is not None and each.tags.get("cv") == "fail"), default=0)
    try:
        if failed_at:
            raise _Broken(f"the seal of set {failed_at} says that the chain had failed")
        if faults:
            raise _Broken(faults[0])
        return Chain(_sets(found), "", highest)
    except _Broken as broken:
        return Chain((), str(broken), highest, failed_at)


def _glimpse(found: _Field) -> int:
    """The instance of a field that could not be read."""
    match = _ANY_INSTANCE.search(found.value[:_FEW_BYTES])
    return int(match[1]) if match and 0 < int(match[1]) <= MOST_SETS else 0


def _read(found: _Field) -> str:
    """Fill in instance and tags; gives what is wrong, or ""."""
    what = _NAMES[found.name]
    if found.name == RESULTS:
        match = _OF_RESULTS.match(found.value) or _OF_RESULTS.match(strip_comments(found.value[:_FEW_BYTES]))
        text = match[1].decode() if match else ""
    else:
        try:
            found.tags = parse_tags(found.value, what)
        except BadValue as error:
            return f"{what}: {error.because or 'no list of tags'}"
        text = found.tags.get("i", "")
    if not _INSTANCE.fullmatch(text) or not 1 <= int(text) <= MOST_SETS:
        return f"{what} has no instance of 1 to {MOST_SETS}"
    found.instance = int(text)
    return ""


def _sets(found: list[_Field]) -> tuple[ArcSet, ...]:
    """Complete sets from 1 to N (RFC 8617 §5.2, step 3). Raises _Broken."""
    by_key: dict[tuple[int, bytes], _Field] = {}
    for each in found:
        if (each.instance, each.name) in by_key:
            raise _Broken(f"{_NAMES[each.name]} of set {each.instance} comes twice")
        by_key[each.instance, each.name] = each
    count = max(each.instance for each in found)
    sets = []
    for instance in range(1, count + 1):
        missing = [_NAMES[name] for name in _NAMES if (instance, name) not in by_key]
        if missing:
            raise _Broken(f"set {instance} has no {missing[0]}")
        sets.append(_set(instance, *(by_key[instance, name] for name in (RESULTS, MESSAGE, SEAL))))
    return tuple(sets)


def _set(instance: int, results: _Field, message: _Field, seal: _Field) -> ArcSet:
    tags = seal.tags or {}
    claim, wanted = tags.get("cv", ""), "none" if instance == 1 else "pass"
    if claim != wanted:
        raise _Broken(f"the seal of set {instance} does not say cv={wanted}")
    if "h" in tags:  # RFC 8617 §4.1.3
        raise _Broken(f"the seal of set {instance} has h=")
    of_seal = {name: tags[name] for name in ("a", "b", "d", "s", "t") if name in tags}
    try:
        # A seal has the tags of a signature but for those about fields and body, so these stand in.
        signature = signature_of({**of_seal, "h": "from", "bh": _STAND_IN["sha1" in tags.get("a", "")]}, default_identity=True)
    except BadValue as error:
        raise _Broken(f"the seal of set {instance}: {error.because}") from None
    _, _, payload = results.value.partition(b";")
    return ArcSet(
        instance, (results.place, message.place, seal.place), claim, _message(message.tags or {}), signature, parse_auth_results(payload)
    )


def _message(tags: Mapping[str, str]) -> Signature | None:
    """RFC 8617 §4.1.2: v= means nothing, i= something else. Empty names in h= name no field."""
    # RFC 8617 §4.1.2 takes the meaning of no c= from DKIM, simple; what signs without one means relaxed, as for the seal,
    # and so do the published cases.
    own = {"c": "relaxed/relaxed", **{name: value for name, value in tags.items() if name != "v"}}
    if "h" in own:
        own["h"] = ":".join(part for part in parts_of(own["h"]) if part)
    try:
        return signature_of(own, default_identity=True)
    except BadValue:
        return None

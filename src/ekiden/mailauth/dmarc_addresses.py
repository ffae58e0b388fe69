"""Where the reports that a domain asks for may go.

A record can name any address of the world, so those outside of its own organisation are asked by the DNS whether they want such
reports; otherwise anybody could have a victim flooded (row AX-24). At most two addresses are used, and only mailto.
Source: RFC 9990 (verifying external destinations; it replaces RFC 7489 §7.1), RFC 7489 §6.2 (sizes), RFC 6068 §2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ekiden.base.errors import BadValue
from ekiden.dns.questions import Lookup, ask, is_askable
from ekiden.dns.records import Txt
from ekiden.mail.address import Domain, Path, parse_mailbox

USED_MOST = 2
"""Addresses that reports are sent to; RFC 7489 §6.2 wants two at least."""
READ_MOST = 20
CUT_AT = 1000
"""Characters of a record that are kept (dmarc_record); what follows is not there."""
_RECORDS_MOST = 10

_TAG = re.compile(r"(?:^|;)\s*rua\s*=([^;]*)", re.IGNORECASE | re.ASCII)
_VERSION = re.compile(r"\s*v\s*=\s*DMARC1\s*(?:;|$)", re.ASCII)
_MAILTO = re.compile(r"mailto:([!-!#-+\--;=?-~]{1,400}?)(?:\?[!-~]*)?(?:!([0-9]{1,12})([kmgt]?))?", re.IGNORECASE | re.ASCII)
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True, slots=True)
class Destination:
    """An address that wants reports. most_bytes: of one message; None: of any size."""

    path: Path
    most_bytes: int | None = None

    @property
    def host(self) -> str:
        """The domain of the address, in A-labels."""
        return self.path.host.ascii if isinstance(self.path.host, Domain) else ""


def destinations(record: str) -> tuple[Destination, ...]:
    """The first two addresses that a DMARC record names for aggregate reports, in its order; what is no mailto is passed over.

    record: its text, "v=DMARC1; …; rua=mailto:a@one.test!10m,mailto:b@two.test".
    """
    tag = _TAG.search(record)
    if tag is None:
        return ()
    written_ones = tag[1].split(",", READ_MOST)[:READ_MOST]
    if len(record) >= CUT_AT and tag.end() == len(record):
        written_ones.pop()  # perhaps half of an address
    found: list[Destination] = []
    for written in written_ones:
        one = _destination(written.strip(" \t"))
        if one is not None and one.path not in [each.path for each in found]:
            found.append(one)
        if len(found) == USED_MOST:
            break
    return tuple(found)


def verified(asked: Sequence[Destination], policy_domain: str, organisation: str) -> Lookup[tuple[Destination, ...]]:
    """Those of the addresses that are of the domain's own organisation, or that say in the DNS that they want its reports.

    A host that says so may name another address instead, but only one of its own. Raises NoAnswer where nobody could tell.
    """
    allowed: list[Destination] = []
    for each in asked:
        if _is_within(each.host, organisation) or _is_within(each.host, policy_domain):
            allowed.append(each)
            continue
        allowed.extend((yield from _outside(each, policy_domain)))
    return tuple(allowed[:USED_MOST])


def _outside(wanted: Destination, policy_domain: str) -> Lookup[tuple[Destination, ...]]:
    name = f"{policy_domain}._report._dmarc.{wanted.host}"
    if not is_askable(name):
        return ()
    answers = yield from ask(Txt, name)
    texts = [txt.value[:CUT_AT].decode("ascii", "replace") for txt in answers[:_RECORDS_MOST]]
    records = [text for text in texts if _VERSION.match(text)]
    if not records:
        return ()
    instead = [one for text in records for one in destinations(text) if one.host == wanted.host]
    return tuple(instead[:1]) or (wanted,)


def _is_within(host: str, domain: str) -> bool:
    return bool(domain) and (host == domain or host.endswith("." + domain))


def _destination(written: str) -> Destination | None:
    mailto = _MAILTO.fullmatch(written)
    if mailto is None:
        return None
    try:
        address = _PERCENT.sub(lambda found: chr(int(found[1], 16)), mailto[1])
        if _CONTROL.search(address):
            return None
        path = parse_mailbox(address)
    except BadValue:
        return None
    if not isinstance(path.host, Domain):
        return None
    most = int(mailto[2]) * _UNITS[mailto[3].lower()] if mailto[2] else None
    return Destination(path, most)

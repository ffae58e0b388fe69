"""Published lists of addresses: which of them are mailboxes of SMTP, and which a header may hold.

What we judge otherwise on purpose is named with the reason.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from tests.suites.data import conformance

from ekiden.base.errors import BadValue
from ekiden.mail.address import Path, parse_path
from ekiden.mail.fields import parse_addresses

_FOLDER = conformance("addresses")


def _isemail() -> list[tuple[str, str, str]]:
    """(id, address, category); control characters are written as U+2400 and more."""
    if _FOLDER is None:
        return []
    found = []
    for test in ET.parse(_FOLDER / "isemail-tests.xml").getroot().iter("test"):
        written = test.findtext("address") or ""
        address = "".join(chr(ord(each) - 0x2400) if 0x2400 <= ord(each) <= 0x2421 else each for each in written)
        found.append((test.get("id") or "", address, test.findtext("category") or ""))
    return found


def _flanker(name: str) -> list[str]:
    if _FOLDER is None:
        return []
    lines = (_FOLDER / f"flanker-mailbox_{name}.txt").read_text("utf-8").split("\n")
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _mailbox(address: str) -> Path | None:
    try:
        return parse_path(address.encode(), utf8=True, what="reverse") if address else None
    except BadValue:
        return None


_IN_SMTP = frozenset(["ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321"])
_IN_HEADER = frozenset(["ISEMAIL_CFWS", "ISEMAIL_DEPREC"])
_CONTROL = "a control character, even quoted, is in no address that we take (RFC 5322 §4 lets old headers have it)"
ISEMAIL_OTHERWISE = {"124": _CONTROL, "125": _CONTROL}


@pytest.mark.conformance("addresses", 107)
@pytest.mark.parametrize(("id", "address", "category"), _isemail(), ids=[f"isemail-{id}" for id, _, _ in _isemail()])
def test_isemail(id: str, address: str, category: str) -> None:
    assert (_mailbox(address) is not None) == (category in _IN_SMTP)
    found = parse_addresses(address.encode())
    if id in ISEMAIL_OTHERWISE:
        assert not found[0].domain
        pytest.skip(ISEMAIL_OTHERWISE[id])
    if category in _IN_SMTP | _IN_HEADER:
        assert [bool(each.domain) for each in found] == [True]


FLANKER_OTHERWISE = {
    "test@xn--example.com": "an A-label that IDNA 2008 does not know may be in the DNS all the same, as emoji domains are",
}


@pytest.mark.parametrize("line", _flanker("valid"))
def test_flanker_valid(line: str) -> None:
    found = parse_addresses(line.encode())
    assert [bool(each.domain) for each in found] == [True]


@pytest.mark.parametrize("line", _flanker("invalid"))
def test_flanker_invalid(line: str) -> None:
    if line in FLANKER_OTHERWISE:
        pytest.skip(FLANKER_OTHERWISE[line])
    assert _mailbox(line.strip()) is None

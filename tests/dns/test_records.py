"""Records in the words of a zone file."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from ekiden.dns.records import RECORDS, A, Aaaa, Cname, Mx, Ptr, Record, Tlsa, Txt


@pytest.mark.parametrize(("record", "text"), [
    (A(IPv4Address("192.0.2.1")), "192.0.2.1"),
    (Aaaa(IPv6Address("2001:db8::1")), "2001:db8::1"),
    (Mx(10, "mx.one.test"), "10 mx.one.test."),
    (Mx(0, ""), "0 ."),                                             # RFC 7505 §3
    (Txt((b"v=spf1 ", b"-all")), '"v=spf1 " "-all"'),
    (Txt((b'a"b\\c\r\n\xff',)), '"a\\034b\\092c\\013\\010\\255"'),   # nothing that a terminal would act on
    (Ptr("a.test"), "a.test."),
    (Cname("a.test"), "a.test."),
    (Tlsa(3, 1, 1, b"\x00\xff"), "3 1 1 00ff"),
])
def test_a_record_shows_itself_as_in_a_zone_file(record: Record, text: str) -> None:
    assert str(record) == text


def test_the_strings_of_a_text_are_joined_without_a_space() -> None:
    assert Txt((b"v=spf1 inc", b"lude:a.test")).value == b"v=spf1 include:a.test"  # RFC 7208 §3.3


def test_each_kind_has_its_own_mnemonic() -> None:
    assert len({kind.TYPE for kind in RECORDS}) == len(RECORDS)

"""Where reports may go (row AX-24)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.dns.questions import Broken, NoAnswer, Zone, answer_from, run_lookup
from ekiden.dns.records import Txt
from ekiden.mail.address import format_path
from ekiden.mailauth.dmarc_addresses import Destination, destinations, verified


def shown(found: tuple[Destination, ...]) -> list[tuple[str, int | None]]:
    return [(format_path(each.path), each.most_bytes) for each in found]


def read(uris: str) -> list[tuple[str, int | None]]:
    return shown(destinations(f"v=DMARC1; p=none; rua={uris}; ruf=mailto:never@one.test"))


@pytest.mark.parametrize(("uris", "found"), [
    ("mailto:a@one.test", [("a@one.test", None)]),
    ("MAILTO:a@One.Test", [("a@one.test", None)]),
    ("mailto:a@one.test!10m,mailto:b@two.test!50K", [("a@one.test", 10 << 20), ("b@two.test", 50 << 10)]),   # RFC 7489 §6.2
    (" mailto:a@one.test!7 , mailto:b@two.test!2g", [("a@one.test", 7), ("b@two.test", 2 << 30)]),
    ("mailto:b%21c@one.test", [("b!c@one.test", None)]),                                                   # RFC 7489 §6.2: encoded
    ('mailto:%22a%2Cb%22@one.test', [('"a,b"@one.test', None)]),
    ("mailto:a@one.test?subject=x", [("a@one.test", None)]),                                               # RFC 6068 §2: not ours to obey
    ("https://one.test/r,mailto:a@one.test", [("a@one.test", None)]),
    ("mailto:a@one.test,mailto:a@one.test,mailto:b@one.test", [("a@one.test", None), ("b@one.test", None)]),
])
def test_addresses_are_read_with_the_size_they_take(uris: str, found: list[tuple[str, int | None]]) -> None:
    assert read(uris) == found


@pytest.mark.parametrize("uris", [
    "", "mailto:", "mailto:a", "mailto:@one.test", "mailto:a@[192.0.2.1]", "a@one.test", "mailto:a@one.test!x", "mailto:a@one.test!10mm",
    "mailto:a b@one.test",
])
def test_what_is_no_address_is_passed_over(uris: str) -> None:
    assert read(uris) == []


@pytest.mark.parametrize("uri", [
    "file:///etc/passwd", "http://127.0.0.1/", "mailto:a%0d%0aRCPT%20TO:<v@victim.test>@one.test", "mailto:a@one.test\r\nBcc: v@v.test",
    "mailto:a@one.test%0d%0aBcc:v@victim.test", "mailto:a%00@one.test", "javascript:x", "mailto:a@one.test\u2028x",
])
def test_ax_24_other_schemes_and_line_ends_are_ignored(uri: str) -> None:
    assert read(uri) == []
    assert read(uri + ",mailto:good@one.test") == [("good@one.test", None)]


def test_ax_24_of_a_hundred_addresses_two_are_used() -> None:
    assert read(",".join(f"mailto:a{number}@one.test" for number in range(100))) == [("a0@one.test", None), ("a1@one.test", None)]
    assert read("x:y," * 100_000 + "mailto:a@one.test") == []


def test_an_address_that_may_have_been_cut_off_is_not_used() -> None:
    record = "v=DMARC1; fo=" + "1:" * 480 + "; rua=mailto:a@one.test,mailto:b@two.test"
    assert shown(destinations(record[:1000])) == [("a@one.test", None)]
    assert len(record[:1000]) == 1000


def test_a_record_without_addresses_asks_for_nothing() -> None:
    assert destinations("v=DMARC1; p=reject") == ()
    assert destinations("v=DMARC1; xrua=mailto:a@one.test") == ()


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    for each in destinations("v=DMARC1; rua=" + text):
        assert each.host
        assert "\r" not in format_path(each.path)
        assert "\n" not in format_path(each.path)


# ---- outside of the organisation ------------------------------------------------------------------------


def check(uris: str, zone: Zone, policy: str = "news.one.test", organisation: str = "one.test") -> list[tuple[str, int | None]]:
    lookup = verified(destinations(f"v=DMARC1; rua={uris}"), policy, organisation)
    return shown(run_lookup(lookup, lambda question: answer_from(zone, question)))


NAME = "news.one.test._report._dmarc.two.test"


def says(*texts: bytes) -> Zone:
    return {NAME: [Txt((text,)) for text in texts]}


def test_addresses_of_the_own_organisation_need_no_question() -> None:
    broken: Zone = {"": [Broken()]}
    assert check("mailto:a@one.test,mailto:b@other.one.test", broken) == [("a@one.test", None), ("b@other.one.test", None)]


@pytest.mark.parametrize("zone", [
    {}, says(b"v=spf1 -all"), says(b"V=dmarc1"), says(b"rua=mailto:a@two.test; v=DMARC1"),
    {"one.test._report._dmarc.two.test": [Txt((b"v=DMARC1",))]},
])
def test_ax_24_a_stranger_who_has_not_asked_for_reports_gets_none(zone: Zone) -> None:
    assert check("mailto:v@two.test", zone) == []


@pytest.mark.parametrize("zone", [
    says(b"v=DMARC1"), says(b"v=DMARC1;"), says(b"some text", b"v=DMARC1; p=none"), {"*._report._dmarc.two.test": [Txt((b"v=DMARC1",))]},
])
def test_a_stranger_who_has_gets_them(zone: Zone) -> None:
    assert check("mailto:a@two.test!10m", zone) == [("a@two.test", 10 << 20)]


def test_a_stranger_may_name_another_address_of_his_own_and_no_other() -> None:
    assert check("mailto:a@two.test", says(b"v=DMARC1; rua=mailto:b@two.test!1k")) == [("b@two.test", 1024)]
    assert check("mailto:a@two.test", says(b"v=DMARC1; rua=mailto:v@victim.test")) == [("a@two.test", None)]


def test_ax_24_a_name_that_ends_alike_is_a_stranger() -> None:
    assert check("mailto:a@notone.test", {}) == []


def test_a_name_that_is_too_long_cannot_be_asked_about() -> None:
    host = ".".join(["a" * 60] * 3)
    assert check(f"mailto:a@{host}.test", {"*.test": [Txt((b"v=DMARC1",))]}, policy="b" * 60 + ".one.test") == []


def test_where_nobody_can_tell_it_is_asked_again_later() -> None:
    with pytest.raises(NoAnswer):
        check("mailto:a@two.test", {NAME: [Broken()]})

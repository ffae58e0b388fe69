"""Names as A-labels and as U-labels."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.dns.names import NAME_MAX, to_ascii, to_unicode


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.test", "example.test"),
        ("Example.TEST", "example.test"),
        ("例え.test", "xn--r8jz45g.test"),
        ("XN--R8JZ45G.test", "xn--r8jz45g.test"),
        ("straße.test", "xn--strae-oqa.test"),  # not "strasse": the mapping is non-transitional (RFC 5891 §4)
        ("faß.de", "xn--fa-hia.de"),
        ("ｅｘａｍｐｌｅ.test", "example.test"),
        ("localhost", "localhost"),
        ("a--b.test", "a--b.test"),
    ],
)
def test_a_name_has_one_form_on_the_wire(text: str, name: str) -> None:
    assert to_ascii(text) == name
    assert to_ascii(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a..b", "a.", ".a", "-a.test", "a-.test", "a_b.test", "a b.test", "a" * 64 + ".test", "a." * 127 + "test", "1.2.3.4",
        "a.1", "a\x00.test", "a/b.test", "xn--.test", "xn--a.test", "xn--\x7f.test", "a\u3002.1", "例" * 64 + ".test", "\ud800.test",
        "a\u202eb.test", "[192.0.2.1]", "a@b.test",
    ],
)  # fmt: skip
def test_what_is_no_name_of_a_host_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        to_ascii(text)


@given(st.text(max_size=60))
def test_whatever_passes_is_plain_ascii_and_stable(text: str) -> None:
    try:
        name = to_ascii(text)
    except BadValue:
        return
    assert name.isascii()
    assert name == name.lower()
    assert len(name) <= NAME_MAX
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
    assert to_ascii(name) == name


def test_people_see_u_labels_where_there_are_any() -> None:
    assert to_unicode("xn--r8jz45g.test") == "例え.test"
    assert to_unicode("example.test") == "example.test"
    assert to_unicode("xn--a.test") == "xn--a.test"  # no IDNA behind it
    assert to_unicode("xn--" + "a" * 500) == "xn--" + "a" * 500


def test_long_labels_cost_little() -> None:
    begun = time.process_time()
    for text in ("例" * 255, "例." * 127, "xn--" + "a" * 250, "\u0300" * 255):
        with pytest.raises(BadValue):
            to_ascii(text)
    assert time.process_time() - begun < 1

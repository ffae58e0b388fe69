"""Rules of a suffix list, on a short one of our own; the published vectors are in tests/suites/test_psl.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.mailauth.public_suffix import SuffixList

LIST = SuffixList.parse(
    """// a comment
com
uk
co.uk   and what stands behind white space is nothing
*.ck
!www.ck
jp
*.kobe.jp
!city.kobe.jp
公司.cn
cn

a.*.odd
*
!
"""
)


@pytest.mark.parametrize(
    ("domain", "registrable"),
    [
        ("one.com", "one.com"),
        ("A.B.One.COM.", "one.com"),
        ("com", None),
        ("one.co.uk", "one.co.uk"),
        ("co.uk", None),
        ("one.uk", "one.uk"),
        ("x.unlisted", "x.unlisted"),  # what no rule names has the rule "*"
        ("unlisted", None),
        ("ck", None),
        ("any.ck", None),
        ("a.any.ck", "a.any.ck"),
        ("b.a.any.ck", "a.any.ck"),
        ("www.ck", "www.ck"),  # an exception
        ("x.www.ck", "www.ck"),
        ("kobe.jp", "kobe.jp"),  # the wildcard says nothing of the name that it hangs on
        ("x.kobe.jp", None),
        ("city.kobe.jp", "city.kobe.jp"),
        ("x.公司.cn", "x.公司.cn"),
        ("x.xn--55qx5d.cn", "x.xn--55qx5d.cn"),
        ("公司.cn", None),
        ("a.b.odd", None),
        ("x.a.b.odd", "x.a.b.odd"),
        ("x.z.b.odd", "b.odd"),
        ("", None),
        (".com", None),
        ("one..com", None),
        ("_dmarc.one.com", "one.com"),
        ("a_b.com", "a_b.com"),
        ("x" * 300 + ".com", None),
        ("あ\x00.com", None),
    ],
)
def test_registrable(domain: str, registrable: str | None) -> None:
    assert LIST.registrable(domain) == registrable


def test_a_name_of_many_labels_costs_no_more() -> None:
    assert LIST.registrable("a." * 120 + "one.com") == "one.com"


def test_an_empty_list_knows_the_rule_for_all() -> None:
    empty = SuffixList.parse("// nothing\n")
    assert len(empty) == 0
    assert empty.registrable("a.one.test") == "one.test"


@given(st.text(max_size=80))
def test_no_name_crashes_it(domain: str) -> None:
    found = LIST.registrable(domain)
    assert found is None or domain.lower().removesuffix(".").endswith(found)


@given(st.text(max_size=200))
def test_no_list_crashes_it(text: str) -> None:
    SuffixList.parse(text).registrable("a.b.c")

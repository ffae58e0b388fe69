"""Records of DMARC: what is one, and what of it counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.mailauth.dmarc_record import (
    DmarcRecord,
    Policy,
    Problem,
    Psd,
    Trouble,
    is_dmarc_record,
    parse_record,
)


def _record(text: str) -> DmarcRecord:
    record = parse_record(text.encode())
    assert record is not None
    return record


@pytest.mark.parametrize(
    "raw",
    [
        b"v=DMARC1",
        b"v=DMARC1;",
        b"v=DMARC1; p=none",
        b"v = DMARC1 ; p = none",  # RFC 9989 §4.8, equals
        b"V=DMARC1;p=none",  # a name in quotes is of any case in ABNF
        b"v\t=\tDMARC1\t;p=none",
    ],
)
def test_what_begins_with_the_version_is_a_record(raw: bytes) -> None:
    assert is_dmarc_record(raw)
    assert parse_record(raw) is not None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"v=DMARC2; p=none",
        b"v=DMARC10; p=none",
        b"v=dmarc1; p=none",  # RFC 9989 §4.7: the value is case sensitive
        b"v=DMARC1 p=none",
        b"v=DMARC1, p=none",
        b"p=none; v=DMARC1",  # RFC 9989 §4.7: v is the first tag
        b" v=DMARC1; p=none",
        b";v=DMARC1; p=none",
        b"v=spf1 -all",
        b"v=DMARC1\x00; p=none",
        b"\xef\xbb\xbfv=DMARC1; p=none",
        b"v=; p=none",
        b"v",
    ],
)
def test_anything_else_is_no_record(raw: bytes) -> None:
    assert not is_dmarc_record(raw)
    assert parse_record(raw) is None


def test_tags_have_their_defaults() -> None:
    record = _record("v=DMARC1; p=none")
    assert (record.adkim, record.aspf, record.testing, record.psd, record.pct, record.fo) == (False, False, False, Psd.UNKNOWN, 100, "0")
    assert (record.rua, record.ruf, record.sp, record.np, record.problems) == ((), (), None, None, ())


def test_every_tag_is_read() -> None:
    record = _record(
        "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; t=y; psd=n; fo=1:d:s; "
        "rua=mailto:a@one.test,mailto:b@two.test; ruf=mailto:c@one.test"
    )
    assert (record.p, record.sp, record.np) == (Policy.REJECT, Policy.QUARANTINE, Policy.NONE)
    assert (record.adkim, record.aspf, record.testing, record.psd, record.fo) == (True, True, True, Psd.NO, "1ds")
    assert record.rua == ("mailto:a@one.test", "mailto:b@two.test")
    assert record.ruf == ("mailto:c@one.test",)
    assert record.problems == ()


@pytest.mark.parametrize(
    ("text", "trouble", "tag"),
    [
        ("v=DMARC1; p=none; x=1", Trouble.UNKNOWN, "x"),  # RFC 9989 §4.8: unknown tags are ignored
        ("v=DMARC1; p=none; pct=50", Trouble.REMOVED, "pct"),  # RFC 9989 §C.5.2
        ("v=DMARC1; p=none; rf=afrf", Trouble.REMOVED, "rf"),
        ("v=DMARC1; p=none; ri=3600", Trouble.REMOVED, "ri"),
        ("v=DMARC1; p=none; adkim=x", Trouble.BAD_VALUE, "adkim"),
        ("v=DMARC1; p=none; t=yes", Trouble.BAD_VALUE, "t"),
        ("v=DMARC1; p=none; psd=", Trouble.BAD_VALUE, "psd"),
        ("v=DMARC1; p=none; fo=0:1", Trouble.BAD_VALUE, "fo"),  # RFC 9989 §4.7: not both
        ("v=DMARC1; p=none; rua=a@b.test", Trouble.BAD_VALUE, "rua"),
        ("v=DMARC1; p=none; nonsense", Trouble.NO_TAG, "nonsense"),
        ("v=DMARC1; p=none; p=reject", Trouble.TWICE, "p"),
        ("v=DMARC1; p=none; v=DMARC1", Trouble.TWICE, "v"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(text: str, trouble: Trouble, tag: str) -> None:
    record = _record(text)
    assert Problem(trouble, tag) in record.problems
    plain = _record("v=DMARC1; p=none")
    assert (record.p, record.adkim, record.testing, record.psd, record.fo, record.rua) == (
        plain.p, plain.adkim, plain.testing, plain.psd, plain.fo, plain.rua,
    )  # fmt: skip
    assert not record.is_damaged


def test_values_are_of_any_case_and_space_around_them_is_nothing() -> None:
    record = _record("v=DMARC1;\tP\t=\tReJect ;ADKIM=S;  ; ;psd = Y\r\n ;t=Y")
    assert (record.p, record.adkim, record.psd, record.testing) == (Policy.REJECT, True, Psd.YES, True)
    assert record.problems == ()


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("v=DMARC1", False),
        ("v=DMARC1; rua=mailto:a@b.test", True),  # RFC 9989 §4.10.1: as p=none, for it asks for reports
        ("v=DMARC1; p=", False),
        ("v=DMARC1; p=rejekt; rua=mailto:a@b.test", True),
        ("v=DMARC1; p=rejekt; rua=nowhere", False),
        ("v=DMARC1; p=reject; sp=x", False),
        ("v=DMARC1; p=reject; np=x; rua=mailto:a@b.test", True),
    ],
)
def test_a_policy_that_cannot_be_read_becomes_none_where_reports_are_asked_for(text: str, usable: bool) -> None:
    record = _record(text)
    assert record.is_damaged
    assert record.is_usable is usable
    assert record.asks(below=False) == (Policy.NONE, "p")
    assert record.asks(below=True, exists=False) == (Policy.NONE, "p")


@pytest.mark.parametrize(
    ("tags", "own", "below", "below_nothing"),
    [
        ("p=reject", "reject p", "reject p", "reject p"),
        ("p=none; sp=reject", "none p", "reject sp", "reject sp"),
        ("p=none; np=reject", "none p", "none p", "reject np"),
        ("p=none; sp=quarantine; np=reject", "none p", "quarantine sp", "reject np"),
        ("p=reject; sp=none; np=none", "reject p", "none sp", "none np"),
    ],
)
def test_which_tag_applies_where(tags: str, own: str, below: str, below_nothing: str) -> None:
    """RFC 9989 §4.10.1."""
    record = _record(f"v=DMARC1; {tags}")

    def shown(*, below: bool, exists: bool) -> str:
        policy, tag = record.asks(below=below, exists=exists)
        return f"{policy.value} {tag}"

    assert shown(below=False, exists=False) == own
    assert shown(below=True, exists=True) == below
    assert shown(below=True, exists=False) == below_nothing


@pytest.mark.parametrize(
    ("pct", "percentage"),
    [("0", 0), ("25", 25), ("100", 100), ("101", 100), ("-1", 100), ("x", 100), ("", 100), ("٣", 100), ("1" * 5000, 100)],
)
def test_the_percentage_of_the_older_rfc(pct: str, percentage: int) -> None:
    assert _record(f"v=DMARC1; p=reject; pct={pct}").pct == percentage


@pytest.mark.parametrize(
    ("written", "uris"),
    [
        ("mailto:a@b.test!10m", ("mailto:a@b.test",)),  # RFC 9989 §4.8: the size is ignored
        ("mailto:a@b.test!10m , mailto:c@d.test", ("mailto:a@b.test", "mailto:c@d.test")),
        ("mailto:a@b.test,mailto:a@b.test", ("mailto:a@b.test",)),
        ("mailto:a%2cb@c.test", ("mailto:a%2cb@c.test",)),
        ("https://b.test/report?x=1", ("https://b.test/report?x=1",)),
        ("mailto:a@b.test!", ()),
        ("mailto:a@b.test!10q", ()),
        ("mailto:", ()),
        ("mailto:a", ()),
        ("mailto:a b@c.test", ()),
        ("mailto:a%2@c.test", ()),
        ("a@b.test", ()),
        (",,", ()),
    ],
)
def test_where_reports_go(written: str, uris: tuple[str, ...]) -> None:
    assert _record(f"v=DMARC1; p=none; rua={written}").rua == uris


def test_what_a_record_can_be_made_to_hold_is_bounded() -> None:
    many = _record("v=DMARC1; p=none; rua=" + ",".join(f"mailto:a{n}@b.test" for n in range(100)))
    assert many.rua == tuple(f"mailto:a{n}@b.test" for n in range(20))
    assert len(_record("v=DMARC1" + ";x=1" * 20_000).problems) <= 101
    assert len(_record("v=DMARC1;" + "x" * 60_000).text) == 1000
    assert len(_record("v=DMARC1;" + "x" * 60_000).problems[0].tag) == 40


def test_a_record_of_octets_that_are_no_text_is_read_as_far_as_it_goes() -> None:
    record = parse_record(b"v=DMARC1; p=reject; sp=no\xffne; \xe3\x81\x82=1")
    assert record is not None
    assert (record.p, record.sp, record.is_damaged) == (Policy.REJECT, None, True)


_PIECES = [
    "v", "=", "DMARC1", ";", "p", "sp", "np", "none", "reject", " ", "\t", "rua", "mailto:", "a@b.test", "!1m", ",",
    "t", "y", "psd", "pct", "%",
]  # fmt: skip
_NEARLY = st.lists(st.sampled_from(_PIECES), max_size=40).map(lambda pieces: ("v=DMARC1;" + "".join(pieces)).encode())


@given(st.one_of(st.binary(max_size=300), _NEARLY))
def test_no_octets_crash_the_parser(raw: bytes) -> None:
    record = parse_record(raw)
    assert (record is not None) == is_dmarc_record(raw)
    if record is not None:
        assert record.asks(below=True)[0] in Policy
        assert record.is_damaged is (record.p is None) or Trouble.BAD_VALUE in {each.trouble for each in record.problems}


def test_milder() -> None:
    assert [policy.milder for policy in (Policy.NONE, Policy.QUARANTINE, Policy.REJECT)] == [
        Policy.NONE, Policy.NONE, Policy.QUARANTINE,
    ]  # fmt: skip

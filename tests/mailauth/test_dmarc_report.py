"""Aggregate reports: whatever a generator makes of the form is read, what is hostile is refused, what we write is read back."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.mailauth.dmarc_report import (
    RECORDS_MOST,
    TEXT_MOST,
    AggregateReport,
    Published,
    Reason,
    Record,
    Sender,
    Signature,
    parse_report,
    plain,
    write_report,
)

HEAD = (
    "<report_metadata><org_name>One</org_name><email>a@one.test</email><report_id>r1</report_id>"
    "<date_range><begin>10</begin><end>20</end></date_range></report_metadata>"
    "<policy_published><domain>two.test</domain><p>reject</p></policy_published>"
)
RECORD = "<record><row><source_ip>192.0.2.1</source_ip><count>3</count></row></record>"


def read(xml: str | bytes) -> AggregateReport:
    return parse_report([xml.encode() if isinstance(xml, str) else xml])


def document(records: str = RECORD, root: str = "<feedback>", head: str = HEAD, end: str = "</feedback>") -> str:
    return root + head + records + end


def test_what_is_absent_is_empty() -> None:
    report = read(document("<record><row><source_ip>2001:DB8::1</source_ip><count>2</count></row></record>"))
    assert report == AggregateReport(
        "One", "a@one.test", "r1", 10, 20, Published("two.test", p="reject"), (Record("2001:db8::1", 2, "", "", "", ""),)
    )


@pytest.mark.parametrize(("root", "end"), [
    ('<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">', "</feedback>"),
    ('<feedback xmlns="http://dmarc.org/dmarc-xml/0.1">', "</feedback>"),
    ('<n:feedback xmlns:n="http://dmarc.org/dmarc-xml/0.1">', "</n:feedback>"),     # RFC 7489: elements inside are unqualified
])
def test_any_namespace_of_the_root_will_do(root: str, end: str) -> None:
    assert read(document(root=root, end=end)).records[0].count == 3


def test_elements_of_other_namespaces_are_passed_over() -> None:
    other = '<record xmlns:x="urn:x"><row><x:count>9</x:count><count>3</count></row><x:row><count>8</count></x:row></record>'
    assert [record.count for record in read(document(other)).records] == [3]


@pytest.mark.parametrize("declared", ["windows-1252", "iso-8859-15", "utf-16"])
def test_other_encodings_are_read(declared: str) -> None:
    xml = f'<?xml version="1.0" encoding="{declared}"?>' + document(head=HEAD.replace("One", "Übung"))
    assert read(xml.encode(declared)).organisation == "Übung"


@pytest.mark.parametrize("pieces", [1, 7, 100])
def test_how_the_document_is_cut_in_pieces_does_not_matter(pieces: int) -> None:
    raw = document(RECORD * 3).encode()
    assert parse_report(raw[at : at + pieces] for at in range(0, len(raw), pieces)) == parse_report([raw])


@pytest.mark.parametrize(
    ("old", "new"), [("hardfail", "fail"), ("unknown", "temperror"), ("error", "permerror"), ("PASS", "pass"), ("?", "")]
)
def test_words_of_old_drafts_are_read_as_those_of_today(old: str, new: str) -> None:
    spf = f"<auth_results><spf><domain>two.test</domain><result>{old}</result></spf></auth_results></record>"
    assert read(document(RECORD.replace("</record>", spf))).records[0].senders == (Sender("two.test", "", new),)


@pytest.mark.parametrize("xml", [
    "", "x", "<feedback>", "<html></html>", document(head=""), document(head=HEAD.replace("<begin>10</begin>", "")),
    document(head=HEAD.replace("two.test", "")), document(head=HEAD.replace("10", "-1")), document(head=HEAD.replace("10", "9" * 30)),
    '<?xml version="1.0" encoding="no-such-encoding"?>' + document(), document() + "<feedback/>", "<feedback>&nbsp;</feedback>",
])
def test_what_is_no_report_is_refused(xml: str) -> None:
    with pytest.raises(BadValue):
        read(xml)


@pytest.mark.parametrize("count", ["", "-1", "1.5", "9" * 14, "٣", "x"])
def test_a_record_whose_count_is_none_is_left_out(count: str) -> None:
    report = read(document(RECORD.replace(">3<", f">{count}<") + RECORD))
    assert [record.count for record in report.records] == [3]


# ---- hostile (row AX-25) --------------------------------------------------------------------------------

_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))


@pytest.mark.parametrize("doctype", [
    f"<!DOCTYPE feedback [{_LAUGHS}]>",
    '<!DOCTYPE feedback [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE feedback SYSTEM "http://127.0.0.1:9/x.dtd">',
    '<!DOCTYPE feedback PUBLIC "-//x" "file:///etc/passwd">',
    '<!DOCTYPE feedback [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    "<!DOCTYPE feedback>",
])
def test_ax_25_a_document_type_is_refused_before_anything_of_it_is_used(doctype: str) -> None:
    with pytest.raises(BadValue, match="document type"):
        read('<?xml version="1.0"?>' + doctype + document(head=HEAD.replace("One", "&l9;")))


def test_ax_25_a_million_records_are_refused_after_a_hundred_thousand() -> None:
    def pieces() -> list[bytes]:
        return [("<feedback>" + HEAD).encode(), *[(RECORD * 1000).encode()] * (RECORDS_MOST // 1000)]

    assert len(parse_report([*pieces(), b"</feedback>"]).records) == RECORDS_MOST
    with pytest.raises(BadValue, match="more than 100000 records"):
        parse_report([*pieces(), RECORD.encode(), b"</feedback>"])


def test_ax_25_elements_a_hundred_thousand_deep_are_refused() -> None:
    with pytest.raises(BadValue, match="too many elements in one another"):
        read(document("<a>" * 100_000))


def test_ax_25_a_value_of_megabytes_and_a_comment_of_megabytes_take_no_time() -> None:
    began = time.monotonic()
    report = read(document(head=HEAD.replace("One", "x" * 12_000_000)) + "<!--" + "y" * 12_000_000 + "-->")
    assert len(report.organisation) == TEXT_MOST
    assert time.monotonic() - began < 5


def test_ax_25_signatures_without_end_are_cut() -> None:
    many = "<auth_results>" + "<dkim><domain>a.test</domain></dkim>" * 5000 + "</auth_results></record>"
    assert len(read(document(RECORD.replace("</record>", many))).records[0].signatures) == 100


# ---- written and read back ------------------------------------------------------------------------------

_text = st.text(max_size=60).map(plain)
_words = st.text(max_size=60).map(plain).filter(bool)
_domains = st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,3}", fullmatch=True)
_policies = st.sampled_from(["none", "quarantine", "reject"])
_results = st.sampled_from(["none", "pass", "fail", "softfail", "neutral", "policy", "temperror", "permerror"])
_signatures = st.builds(Signature, _domains, _text, _results, _text)
_senders = st.builds(Sender, _domains, st.sampled_from(["mfrom", "helo", ""]), _results, _text)
_reasons = st.builds(Reason, st.sampled_from(["local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder"]), _text)
_aligned = st.sampled_from(["pass", "fail"])
_records = st.builds(
    Record,
    st.ip_addresses().map(str),
    st.integers(0, 10**12),
    st.sampled_from(["none", "pass", "quarantine", "reject"]),
    _aligned,
    _aligned,
    _domains,
    st.one_of(st.just(""), _domains),
    st.one_of(st.just(""), _domains),
    st.lists(_reasons, max_size=3).map(tuple),
    st.lists(_signatures, max_size=3).map(tuple),
    st.lists(_senders, max_size=2).map(tuple),
)
_published = st.builds(
    Published,
    _domains,
    p=_policies,
    sp=_policies,
    np=st.one_of(st.just(""), _policies),
    adkim=st.sampled_from(["r", "s", ""]),
    aspf=st.sampled_from(["r", "s", ""]),
    testing=st.booleans(),
    method=st.sampled_from(["psl", "treewalk", ""]),
    fo=_text,
    pct=st.one_of(st.none(), st.integers(0, 100)),
    version=_text,
)
REPORTS = st.builds(
    AggregateReport,
    _text,
    _text,
    _text,
    st.integers(0, 10**11),
    st.integers(0, 10**11),
    _published,
    st.lists(_records, max_size=5).map(tuple),
    _text,
    st.lists(_words, max_size=3).map(tuple),
    _text,
    st.sampled_from(["1.0", ""]),
)


@settings(max_examples=150, deadline=None)
@given(REPORTS, st.integers(1, 400))
def test_what_we_write_is_read_back_as_it_was(report: AggregateReport, piece: int) -> None:
    raw = write_report(report)
    assert parse_report(raw[at : at + piece] for at in range(0, len(raw), piece)) == report


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=1500))
def test_any_text_can_be_written(text: str) -> None:
    report = read(document())
    assert read(write_report(replace(report, organisation=text, generator=text))).organisation == plain(text)


@settings(max_examples=150, deadline=None)
@given(REPORTS, st.integers(0, 5000), st.binary(max_size=8))
def test_a_damaged_report_is_read_or_refused(report: AggregateReport, at: int, damage: bytes) -> None:
    raw = write_report(report)
    at %= len(raw)
    try:
        parse_report([raw[:at] + damage + raw[at + len(damage) :]])
    except BadValue:
        pass

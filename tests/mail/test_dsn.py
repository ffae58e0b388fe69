"""Delivery reports."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.suites.data import conformance

from ekiden.base.clock import Millis
from ekiden.mail.address import Domain, Path
from ekiden.mail.dsn import DIAGNOSTIC_CHARACTERS, RETURNED_BYTES, RecipientReport, parse_dsn, write_dsn
from ekiden.mail.headers import parse_headers
from ekiden.mail.mime import parse_message

_ORIGINAL = b"Message-ID: <x@a.test>\r\nSubject: hi\r\nFrom: alice@a.test\r\n\r\nsecret body\r\n"
_BOB = RecipientReport(
    "bob@b.test", "failed", "5.1.1", "rfc822;bob+2Bx@b.test", "mx.b.test", "550 5.1.1 no such user", Millis(1763718906000)
)
_EVE = RecipientReport("eve@c.test", "delayed", "4.4.1", will_retry_until=Millis(1763918906000))


def _write(
    *recipients: RecipientReport,
    original: bytes = _ORIGINAL,
    full: bool = False,
    envid: str | None = None,
    utf8: bool = False,
    text: str = "A\nB",
) -> bytes:
    return write_dsn(
        reporting_mta="mx.here.test", sender=Path("MAILER-DAEMON", Domain("mx.here.test")), to=Path("alice", Domain("a.test")),
        message_id="r1@mx.here.test", at=Millis(1763718906000), subject="Not delivered / 届きませんでした", text=text,
        arrived_at=Millis(1763718900000), recipients=recipients or (_BOB,), original=original, full=full, envid=envid, utf8=utf8,
    )  # fmt: skip


def test_a_report_has_three_parts_and_says_what_it_is() -> None:
    raw = _write(_BOB, _EVE, envid="QQ+3D1")
    tree = parse_message(raw)
    assert (tree.type, tree.subtype, dict(tree.params)[b"report-type"]) == ("multipart", "report", b"delivery-status")
    assert [f"{part.type}/{part.subtype}" for part in tree.children] == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert not any(part.defective for part in tree.children)
    headers = parse_headers(raw)
    assert headers.text(b"auto-submitted") == b"auto-replied"  # RFC 3834 §5
    assert headers.text(b"in-reply-to") == b"<x@a.test>"
    status = raw[tree.children[1].body_at : tree.children[1].end]
    assert status == (
        b"Reporting-MTA: dns; mx.here.test\r\nOriginal-Envelope-Id: QQ=1\r\nArrival-Date: Fri, 21 Nov 2025 09:55:00 +0000\r\n\r\n"
        b"Original-Recipient: rfc822; bob+x@b.test\r\nFinal-Recipient: rfc822; bob@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b"Remote-MTA: dns; mx.b.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
        b"Last-Attempt-Date: Fri, 21 Nov 2025 09:55:06 +0000\r\n\r\n"
        b"Final-Recipient: rfc822; eve@c.test\r\nAction: delayed\r\nStatus: 4.4.1\r\nWill-Retry-Until: Sun, 23 Nov 2025 17:28:26 +0000\r\n"
    )
    assert b"secret body" not in raw


def test_a_report_reads_back() -> None:
    dsn = parse_dsn(_write(_BOB, _EVE, envid="QQ+3D1", text="言葉"))
    assert dsn is not None
    assert dsn.recipients == (replace(_BOB, original="rfc822; bob+x@b.test"), _EVE)
    assert (dsn.reporting_mta, dsn.envid, dsn.arrived_at, dsn.message_id) == ("mx.here.test", "QQ=1", 1763718900000, "x@a.test")
    assert dsn.text == "言葉\r\n"


def test_the_whole_message_comes_back_only_where_it_is_small_and_asked_for() -> None:
    assert b"message/rfc822" in _write(full=True)
    assert b"secret body" in _write(full=True)
    large = _write(original=_ORIGINAL + b"x" * RETURNED_BYTES, full=True)
    assert b"text/rfc822-headers" in large
    assert len(_write(original=b"X: " + b"y" * 900 + b"\r\n" + (b"A: b\r\n" * 20_000) + b"\r\n")) < RETURNED_BYTES + 2_000


def test_a_remote_reply_is_printable_and_short() -> None:
    raw = _write(replace(_BOB, diagnostic="550 5.1.1 <script>\x1b[2J\r\nBcc: é" + "z" * 5_000, remote_mta="mx\r\nX: y"))
    assert raw.isascii()
    assert b"\x1b" not in raw
    dsn = parse_dsn(raw)
    assert dsn is not None
    assert dsn.recipients[0].diagnostic.startswith("550 5.1.1 <script>?[2J??Bcc: ?zzz")
    assert len(dsn.recipients[0].diagnostic) <= DIAGNOSTIC_CHARACTERS
    assert dsn.recipients[0].remote_mta == "mx??X: y"
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_addresses_outside_ascii_are_written_as_their_surroundings_allow() -> None:
    there = replace(_BOB, recipient="用@例.test")
    assert b"Final-Recipient: utf-8; \\x{7528}@\\x{4F8B}.test\r\n" in _write(there)
    raw = _write(there, utf8=True, full=True)
    assert "Final-Recipient: utf-8; 用@例.test\r\n".encode() in raw
    assert b"message/global-delivery-status" in raw  # RFC 6533 §4
    dsn = parse_dsn(raw)
    assert dsn is not None
    assert dsn.recipients[0].recipient == "用@例.test"


@pytest.mark.parametrize("status", ["", "5", "x.y.z", "9.9.9", "5.1.1\r\nX: y"])
def test_a_status_that_is_none_becomes_the_general_one(status: str) -> None:
    assert b"Status: 5.0.0\r\n" in _write(replace(_BOB, status=status))  # RFC 3461 §6.3


@given(st.text(max_size=80), st.binary(max_size=200), st.booleans())
def test_whatever_is_reported_has_proper_line_ends_and_three_parts(text: str, original: bytes, full: bool) -> None:
    raw = _write(replace(_BOB, recipient=text, original=text, remote_mta=text, diagnostic=text), original=original, full=full, text=text)
    assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")
    assert len(parse_message(raw).children) == 3
    assert [name for name, _ in parse_headers(raw).fields].count(b"From") == 1
    parse_dsn(raw)


@given(st.lists(st.sampled_from([
    b"Content-Type: multipart/report; boundary=b\r\n", b"\r\n", b"--b\r\n", b"--b--", b"Content-Type: message/delivery-status\r\n",
    b"Action: failed\r\n", b"Final-Recipient: rfc822; <a@b>\r\n", b"Status: 5.1.1\r\n", b"Reporting-MTA: x\r\n", b"\xff", b"x",
])))  # fmt: skip
def test_no_report_makes_reading_raise(pieces: list[bytes]) -> None:
    parse_dsn(b"".join(pieces))


def test_a_message_that_is_no_report_is_none() -> None:
    assert parse_dsn(_ORIGINAL) is None
    assert parse_dsn(b"") is None


def test_published_reports_name_their_recipients() -> None:
    folder = conformance("mime/ruby-mail/multipart_report_emails")
    if folder is None:
        pytest.skip("the published cases of mime are not here")
    counts = {}
    for file in sorted(folder.iterdir()):
        dsn = parse_dsn(file.read_bytes())
        assert dsn is not None
        assert dsn.message_id
        counts[file.stem] = [len(dsn.recipients), dsn.recipients[0].action, dsn.recipients[0].status]
    assert counts == {
        "multi_address_bounce1": [5, "failed", "5.1.1"],
        "multi_address_bounce2": [5, "failed", "5.1.1"],
        "multipart_report_multiple_status": [1, "failed", "5.3.0"],
        "report_422": [1, "delayed", "4.2.2"],
    }

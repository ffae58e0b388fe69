"""Feedback reports about single messages; the published ones are in tests/suites/test_reports.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.mailauth.feedback import Feedback, parse_feedback

HEAD = b"From: a@one.test\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"


def mail(fields: bytes, original: bytes = b"") -> bytes:
    return HEAD + b"--b\r\nContent-Type: message/feedback-report\r\n\r\n" + fields + b"\r\n" + original + b"--b--\r\n"


def read(fields: bytes) -> Feedback:
    found = parse_feedback(mail(fields))
    assert found is not None
    return found


def test_every_field_is_read() -> None:
    fields = b"\r\n".join([
        b"Feedback-Type: Auth-Failure (dmarc)", b"User-Agent: x/1.0", b"Version: 1", b"Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT",
        b"Incidents: 7", b"Source-IP: 192.0.2.1 (name)", b"Source-Port: 25", b"Original-Mail-From: <a@one.test>",
        b"Original-Rcpt-To: <b@two.test>", b"Original-Rcpt-To: <c@two.test>", b"Original-Envelope-Id: q1",
        b"Reporting-MTA: dns; mx.two.test", b"Authentication-Results: mx.two.test;\r\n spf=fail", b"Reported-Domain: ONE.test",
        b"Reported-URI: http://one.test/", b"Removal-Recipient: b@two.test", b"Auth-Failure: signature", b"Delivery-Result: reject",
        b"Identity-Alignment: none", b"DKIM-Domain: one.test", b"DKIM-Identity: @one.test", b"DKIM-Selector: s", b"DKIM-Selector-DNS: p=x",
        b"DKIM-ADSP-DNS: dkim=all", b"SPF-DNS: v=spf1", b"DKIM-Canonicalized-Header: YWJj\r\n  ZGVm", b"DKIM-Canonicalized-Body: eHl6",
    ])
    assert read(fields + b"\r\n") == Feedback(
        "auth-failure", "x/1.0", 1, Millis(1_110_304_800_000), 7, "192.0.2.1", 25, "<a@one.test>", ("<b@two.test>", "<c@two.test>"),
        "q1", "mx.two.test", ("mx.two.test; spf=fail",), ("one.test",), ("http://one.test/",), ("b@two.test",), "signature", "reject",
        "none", "one.test", "@one.test", "s", "p=x", "dkim=all", "v=spf1", b"YWJjZGVm", b"eHl6",
    )


@pytest.mark.parametrize(("part", "original", "whole"), [
    (b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbody\r\n", b"Subject: x\r\n\r\nbody", True),
    (b"Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n", b"Subject: x", False),
])
def test_what_comes_back_of_the_message(part: bytes, original: bytes, whole: bool) -> None:
    found = parse_feedback(mail(b"Feedback-Type: abuse\r\n", b"--b\r\n" + part))
    assert found is not None
    assert (found.original, found.is_whole) == (original, whole)


@pytest.mark.parametrize("raw", [b"", b"Subject: x\r\n\r\nhello\r\n", mail(b""), mail(b"Feedback-Type: unheard-of\r\n")])
def test_other_mail_is_no_report(raw: bytes) -> None:
    assert parse_feedback(raw) is None


def test_what_a_peer_may_send_without_end_is_cut() -> None:
    many = b"Reported-URI: a\r\n" * 5000
    found = read(b"Feedback-Type: abuse\r\nUser-Agent: " + b"x" * 100_000 + b"\r\n" + many + b"Incidents: 99999999999\r\n")
    assert (len(found.user_agent), len(found.uris), found.incidents) == (1000, 100, 1)


@given(st.binary(max_size=300))
def test_reading_never_raises(noise: bytes) -> None:
    parse_feedback(noise)
    parse_feedback(mail(b"Feedback-Type: abuse\r\nSource-IP: " + noise))

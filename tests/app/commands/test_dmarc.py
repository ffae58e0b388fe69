"""ekiden dmarc: reports of others as people and programs see them."""

from __future__ import annotations

import asyncio
import gzip
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.app.calls import Calls

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.mailauth.dmarc_report import AggregateReport, Published, Reason, Record, Sender, Signature, write_report
from ekiden.store import dmarc
from ekiden.store.database import Tx, open_database

BEGIN = int(time.time()) // 86_400 * 86_400 - 2 * 86_400
REPORT = AggregateReport(
    "Two", "a@two.test", "r1", BEGIN, BEGIN + 86_399, Published("one.test", p="reject", sp="none", adkim="r", testing=True),
    (
        Record("192.0.2.1", 30, "none", "pass", "fail", "one.test", signatures=(Signature("one.test", "s", "pass"),)),
        Record("192.0.2.9", 10, "reject", "fail", "fail", "xn--r8jz45g.test", senders=(Sender("x.test", "mfrom", "fail"),)),
        Record("2001:db8::1", 1, "none", "fail", "fail", "one.test", reasons=(Reason("local_policy", "a \x1b[2Jlist"),)),
    ),
    generator="Two 1.0",
)
TLS = (
    b'{"organization-name": "Two", "date-range": {"start-datetime": "2026-01-01T00:00:00Z", "end-datetime": "2026-01-01T23:59:59Z"},'
    b' "policies": [{"policy": {"policy-type": "sts", "policy-domain": "one.test"}, "summary": {"total-successful-session-count": 5,'
    b' "total-failure-session-count": 2}, "failure-details": [{"result-type": "certificate-expired", "failed-session-count": 2}]}]}'
)
ARF = (
    b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
    b"Feedback-Type: abuse\r\nSource-IP: 192.0.2.1\r\nReported-Domain: one.test\r\n\r\n--b--\r\n"
)


@pytest.fixture
def reported(peopled: Calls) -> Calls:
    """A store with two reports."""

    def work(tx: Tx) -> None:
        now = Millis(int(time.time() * 1000))
        dmarc.keep(tx, REPORT, EnvelopeId(1), now)
        old = replace(REPORT, report_id="r2", begin=BEGIN - 90 * 86_400, end=BEGIN - 89 * 86_400, policy=Published("old.test"))
        dmarc.keep(tx, old, EnvelopeId(2), now)

    async def put() -> None:
        database = open_database(f"sqlite://{peopled.folder / 'data' / 'ekiden.db'}")
        try:
            await database.write(work)
        finally:
            database.close()

    asyncio.run(put())
    return peopled


def test_who_sent_in_our_name_is_shown_with_what_passed(reported: Calls) -> None:
    shown = reported.out("dmarc", "report").split("\n")
    assert shown[0].endswith(": 1; messages: 41, passed: 30 (73.2 %), not passed: 11")
    assert [line.split()[:5] for line in shown[2:5]] == [
        ["one.test", "192.0.2.1", "one.test", "30", "DKIM"],
        ["one.test", "192.0.2.9", "例え.test", "10", "no"],
        ["one.test", "2001:db8::1", "one.test", "1", "no"],
    ]


def test_only_what_was_asked_for_is_shown(reported: Calls) -> None:
    assert "192.0.2.1 " not in reported.out("dmarc", "report", "--failing")
    assert reported.json("dmarc", "report", "--since", "200d")["reports"] == 2
    assert reported.json("dmarc", "report", "--since", "2020-01-01", "--domain", "OLD.test")["messages"] == 41
    assert len(reported.json("dmarc", "report", "--most", "1", "--failing")["sources"]) == 1
    assert "no reports" in reported.out("dmarc", "report", "--domain", "three.test")
    found = reported.json("dmarc", "report", "--domain", "one.test")
    assert (found["reports"], found["messages"], found["passed"]) == (1, 41, 30)
    assert found["sources"][0] == {
        "domain": "one.test", "source": "192.0.2.1", "header_from": "one.test", "dkim": "pass", "spf": "fail", "disposition": "none",
        "count": 30, "reporters": 1, "aligned": True,
    }


def test_it_is_told_in_japanese_too(reported: Calls) -> None:
    shown = reported.out("dmarc", "report", "--lang", "ja")
    assert "メール41通、合格30通（73.2 %）、不合格11通" in shown
    assert "拒否" in shown


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "-1d", ""])
def test_a_time_that_is_none_is_told(reported: Calls, since: str) -> None:
    assert "--since" in reported.fails("dmarc", "report", f"--since={since}", status=2)
    assert "expected a domain" in reported.fails("dmarc", "report", "--domain", "a b", status=2)


def test_one_report_is_printed(ekiden: Calls, tmp_path: Path) -> None:
    file = tmp_path / "report.xml.gz"
    file.write_bytes(gzip.compress(write_report(REPORT)))
    shown = ekiden.out("dmarc", "read", str(file))
    assert "DMARC aggregate report" in shown
    assert "p=reject; sp=none; adkim=r; t=y" in shown
    (row,) = [line.split() for line in shown.split("\n") if line.startswith("192.0.2.9 ")]
    assert row == ["192.0.2.9", "例え.test", "10", "no", "refused", "x.test=fail"]
    assert "\x1b" not in shown
    assert "local_policy" in shown
    (found,) = ekiden.json("dmarc", "read", str(file))
    assert (found["kind"], found["policy"]["domain"], len(found["records"])) == ("dmarc", "one.test", 3)


@pytest.mark.parametrize(("raw", "words", "kind"), [
    (TLS, ["TLS report", "one.test", "5 with TLS, 2 failed", "certificate-expired"], "tls"),
    (ARF, ["feedback report", "192.0.2.1", "abuse"], "feedback"),
])
def test_other_kinds_are_printed_too(ekiden: Calls, tmp_path: Path, raw: bytes, words: list[str], kind: str) -> None:
    file = tmp_path / "report"
    file.write_bytes(raw)
    shown = ekiden.out("dmarc", "read", str(file))
    assert [word for word in words if word not in shown] == []
    assert ekiden.json("dmarc", "read", str(file))[0]["kind"] == kind
    assert ekiden.out("dmarc", "read", "--lang", "ja", str(file)) != shown


def test_standard_input_is_read(ekiden: Calls) -> None:
    assert "one.test" in ekiden.run("dmarc", "read", "-", input=write_report(REPORT)).stdout


def test_what_is_no_report_is_told(ekiden: Calls, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"Subject: x\r\n\r\nx\r\n")
    assert "no report in it" in ekiden.fails("dmarc", "read", str(file))
    file.write_bytes(b"<html/>")
    assert "not a valid DMARC report" in ekiden.fails("dmarc", "read", str(file))
    assert "No such file" in ekiden.fails("dmarc", "read", str(tmp_path / "none"))

"""TLS reports; the published ones are in tests/suites/test_reports.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.mailauth.tls_report import OBJECTS_MOST, Failure, parse_tls_report

RANGE = b'"date-range": {"start-datetime": "2026-01-01T00:00:00Z", "end-datetime": "2026-01-01T23:59:60+09:00"}'


def test_what_is_absent_has_a_default_and_what_is_unknown_is_passed_over() -> None:
    report = parse_tls_report(
        b"{" + RANGE + b', "x": [1, {}], "policies": [{"policy": {"policy-type": "sts", "mx-host": "a.test"}}, '
        b'{"failure-details": [{"result-type": "dane-required", "failed-session-count": 2, "y": null}]}]}'
    )
    assert (report.begin, report.end, report.organization_name, report.report_id) == (1_767_225_600, 1_767_279_599, None, "")
    first, second = report.policies
    assert (first.policy.mx_host, first.summary.total_failure_session_count) == ("a.test", 0)
    assert second.failure_details == [Failure(result_type="dane-required", failed_session_count=2)]


@pytest.mark.parametrize("raw", [
    b"", b"{", b"[]", b"{}", b"{" + RANGE + b"}", b'{"policies": [], "date-range": {"start-datetime": "x", "end-datetime": "y"}}',
    b"{" + RANGE.replace(b"01-01T00", b"13-01T00") + b', "policies": []}', b"{" + RANGE + b', "policies": [' + b"[" * 100_000,
    b"{" + RANGE + b', "policies": [{"summary": {"total-failure-session-count": -1}}]}', b"\xff\xfe",
])
def test_what_is_no_report_is_refused(raw: bytes) -> None:
    with pytest.raises(BadValue):
        parse_tls_report(raw)


def test_objects_without_end_are_refused_before_they_are_made() -> None:
    with pytest.raises(BadValue, match="objects"):
        parse_tls_report(b"{" + RANGE + b', "policies": [' + b"{}," * OBJECTS_MOST + b"{}]}")


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(BadValue):
        parse_tls_report(b"{" + noise)

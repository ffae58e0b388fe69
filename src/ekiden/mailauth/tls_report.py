"""TLS reports: how often others could send to a domain with the TLS that it asks for, and why not.

Source: RFC 8460 §4 (the JSON), RFC 8460 §4.3 (result types). Only read.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from ekiden.base.errors import BadValue

OBJECTS_MOST = 100_000
"""Objects of one report, policies and failures together."""
_DIGITS = msgspec.Meta(ge=0, le=10**15)
_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))"
)

Count = Annotated[int, _DIGITS]
Texts = list[str] | str | None


class _Struct(msgspec.Struct, frozen=True, rename="kebab"):
    pass


class DateRange(_Struct, frozen=True):
    """As written: RFC 3339 times."""

    start_datetime: str
    end_datetime: str


class Policy(_Struct, frozen=True):
    """policy_type: tlsa, sts, no-policy-found, or whatever stood there. policy_string: the lines of the policy or TLSA records."""

    policy_type: str = ""
    policy_string: Texts = None
    policy_domain: str = ""
    mx_host: Texts = None


class Summary(_Struct, frozen=True):
    """Sessions."""

    total_successful_session_count: Count = 0
    total_failure_session_count: Count = 0


class Failure(_Struct, frozen=True):
    """Sessions that failed for one reason. result_type: of RFC 8460 §4.3, or whatever stood there."""

    result_type: str = ""
    sending_mta_ip: str | None = None
    receiving_mx_hostname: str | None = None
    receiving_mx_helo: str | None = None
    receiving_ip: str | None = None
    failed_session_count: Count = 0
    additional_information: str | None = None
    failure_reason_code: str | None = None


class PolicyResult(_Struct, frozen=True):
    """What came of one policy."""

    policy: Policy = Policy()
    summary: Summary = Summary()
    failure_details: list[Failure] | None = None


class TlsReport(_Struct, frozen=True):
    """One report; names are those of the RFC with underscores for hyphens."""

    date_range: DateRange
    policies: list[PolicyResult]
    organization_name: str | None = None
    contact_info: str | None = None
    report_id: str = ""

    @property
    def begin(self) -> int:
        """Seconds since 1970."""
        return _seconds(self.date_range.start_datetime)

    @property
    def end(self) -> int:
        """Seconds since 1970."""
        return _seconds(self.date_range.end_datetime)


_decoder = msgspec.json.Decoder(TlsReport)


def parse_tls_report(raw: bytes) -> TlsReport:
    """The report in a JSON document, unpacked (report_archive.whole). Members that we do not know are passed over. Raises BadValue."""
    if raw.count(b"{") > OBJECTS_MOST:
        raise BadValue("TLS report", b"", f"more than {OBJECTS_MOST} objects")
    try:
        report = _decoder.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadValue("TLS report", raw, str(error)) from error
    _seconds(report.date_range.start_datetime)
    _seconds(report.date_range.end_datetime)
    return report


def _seconds(written: str) -> int:
    """Seconds since 1970 of an RFC 3339 time. Raises BadValue."""
    found = _INSTANT.fullmatch(written.strip())
    if found is None:
        raise BadValue("time", written)
    year, month, day, hour, minute, second = (int(found[at]) for at in range(1, 7))
    try:
        instant = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)  # RFC 3339 §5.6 knows leap seconds
        if found[7]:
            offset = timedelta(hours=int(found[8]), minutes=int(found[9]))
            instant = instant - offset if found[7] == "+" else instant + offset
        return int(instant.timestamp())
    except (ValueError, OverflowError) as error:
        raise BadValue("time", written) from error

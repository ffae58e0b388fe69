"""Published reports of others: every value that their readers found is found."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.suites.data import conformance

from ekiden.mailauth.dmarc_report import AggregateReport, Extension, Record, parse_report
from ekiden.mailauth.feedback import Feedback, parse_feedback
from ekiden.mailauth.report_archive import files_of, unpack, whole
from ekiden.mailauth.tls_report import parse_tls_report

_FOLDER = conformance("reports")
pytestmark = pytest.mark.conformance("reports", 12)

ONLY_OF_RFC_7489 = {"sampled_out": "other"}
"""The reader whose values these are knows the words of RFC 9990 alone; we keep the word that stands there."""


def _cases(kind: str, ending: str) -> list[Path]:
    return sorted((_FOLDER / kind).glob(f"*.{ending}")) if _FOLDER is not None else [Path("none")]


def _word(value: str) -> str:
    """A word as that reader spells it."""
    return value.replace("_", "").replace("-", "").replace("mfrom", "mailfrom") or "unspecified"


def _lower(value: object) -> str:
    return str(value).lower()


def _extensions(extensions: tuple[Extension, ...]) -> list[dict[str, str]]:
    return [{"name": each.name, "definition": each.definition} for each in extensions]


def _record(record: Record) -> dict[str, Any]:
    return {
        "row": {
            "source_ip": record.source,
            "count": record.count,
            "policy_evaluated": {
                "disposition": _word(record.disposition),
                "dkim": _word(record.dkim),
                "spf": _word(record.spf),
                "reason": [
                    {"type_": _word(ONLY_OF_RFC_7489.get(each.type, each.type)), "comment": each.comment or None} for each in record.reasons
                ],
            },
        },
        "identifiers": {
            "envelope_to": record.envelope_to or None,
            "envelope_from": record.envelope_from,
            "header_from": record.header_from,
        },
        "auth_results": {
            "dkim": [
                {"domain": each.domain, "selector": each.selector, "result": _word(each.result), "human_result": each.human or None}
                for each in record.signatures
            ],
            "spf": [
                {"domain": each.domain, "scope": _word(each.scope), "result": _word(each.result), "human_result": each.human or None}
                for each in record.senders
            ],
        },
        "extensions": _extensions(record.extensions),
    }


def _aggregate(report: AggregateReport, wanted: dict[str, Any]) -> dict[str, Any]:
    """The report in the shape of the other reader; what its older versions did not look for is not compared."""
    metadata: dict[str, Any] = {
        "org_name": report.organisation,
        "email": report.email,
        "extra_contact_info": report.extra_contact or None,
        "report_id": report.report_id,
        "date_range": {"begin": report.begin, "end": report.end},
        "error": list(report.errors),
    }
    policy: dict[str, Any] = {
        "domain": report.policy.domain,
        "version_published": float(report.policy.version) if report.policy.version else None,
        "adkim": {"r": "relaxed", "s": "strict", "": "unspecified"}[report.policy.adkim],
        "aspf": {"r": "relaxed", "s": "strict", "": "unspecified"}[report.policy.aspf],
        "p": _word(report.policy.p),
        "sp": _word(report.policy.sp),
        "testing": report.policy.testing,
        "fo": report.policy.fo or None,
    }
    if "generator" in wanted["report_metadata"]:
        metadata["generator"] = report.generator or None
        policy["np"] = _word(report.policy.np)
        policy["discovery_method"] = _word(report.policy.method)
    return {
        "version": float(report.version or 0),
        "report_metadata": metadata,
        "policy_published": policy,
        "record": [_record(record) for record in report.records],
        "extensions": _extensions(report.extensions),
    }


_WORDS = {"adkim", "aspf", "p", "sp", "np", "discovery_method", "disposition", "dkim", "spf", "type_", "result", "scope"}


def _lowered(value: Any, name: str = "") -> Any:
    """The other reader's words in lower case; texts stay."""
    if isinstance(value, dict):
        return {key: _lowered(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_lowered(inner, name) for inner in value]
    return value.lower() if isinstance(value, str) and name in _WORDS else value


@pytest.mark.parametrize("file", _cases("dmarc-feedback", "xml"), ids=lambda file: file.stem)
def test_aggregate_reports(file: Path) -> None:
    wanted = json.loads(file.with_suffix(".json").read_text("utf-8"))
    (packed,) = files_of(file.read_bytes())
    assert _aggregate(parse_report(unpack(packed.raw)), wanted) == _lowered(wanted)


def _squeezed(value: str | None) -> str:
    return " ".join((value or "").split())


def _feedback(found: Feedback) -> dict[str, Any]:
    return {
        "feedback_type": _word(found.type),
        "arrival_date": found.arrived_at // 1000 if found.arrived_at is not None else None,
        "authentication_results": [_squeezed(each) for each in found.results],
        "incidents": found.incidents,
        "original_envelope_id": found.envelope_id or None,
        "original_mail_from": found.mail_from or None,
        "original_rcpt_to": found.recipients[0] if found.recipients else None,
        "reported_domain": list(found.domains),
        "reported_uri": list(found.uris),
        "reporting_mta": found.reporting_mta or None,
        "source_ip": found.source or None,
        "user_agent": found.user_agent,
        "version": found.version,
        "source_port": found.source_port,
        "auth_failure": _word(found.failure),
        "delivery_result": _word(found.delivery),
        "dkim_adsp_dns": found.adsp_record or None,
        "dkim_canonicalized_body": found.canonical_body.decode() or None,
        "dkim_canonicalized_header": found.canonical_header.decode() or None,
        "dkim_domain": found.dkim_domain or None,
        "dkim_identity": found.dkim_identity or None,
        "dkim_selector": found.dkim_selector or None,
        "dkim_selector_dns": found.dkim_key_record or None,
        "spf_dns": found.spf_record or None,
        "identity_alignment": _word(found.aligned),
        "headers": None if found.is_whole else found.original.decode().replace("\r\n", "\n"),
    }


@pytest.mark.parametrize("file", _cases("arf", "eml"), ids=lambda file: file.stem)
def test_feedback_reports(file: Path) -> None:
    """All but the message itself, which that reader's dump leaves out even where it is in the report."""
    wanted = json.loads(file.with_suffix(".json").read_text("utf-8"))
    assert wanted.pop("message") is None
    wanted["authentication_results"] = [_squeezed(each) for each in wanted["authentication_results"]]
    for name in ("feedback_type", "auth_failure", "delivery_result", "identity_alignment"):
        wanted[name] = _lower(wanted[name])
    if wanted["dkim_canonicalized_body"] is not None:
        wanted["dkim_canonicalized_body"] = "".join(wanted["dkim_canonicalized_body"].split())
    found = parse_feedback(file.read_bytes())
    assert found is not None
    got = _feedback(found)
    for each in (got, wanted):  # the line end before a boundary belongs to it (RFC 2046 §5.1.1)
        each["headers"] = each["headers"].rstrip("\n") if each["headers"] is not None else None
    assert got == wanted
    assert found.original.startswith((b"Received:", b"From:", b"Authentication-Results:"))


def _instant(written: str) -> int:
    return int(datetime.fromisoformat(written.replace("Z", "+00:00")).astimezone(UTC).timestamp())


def _check_tls(raw: bytes, wanted: dict[str, Any]) -> None:
    import msgspec

    report = parse_tls_report(whole(raw))
    assert report.begin == _instant(wanted["date-range"]["start-datetime"])
    assert report.end == _instant(wanted["date-range"]["end-datetime"])
    got = msgspec.to_builtins(report)
    _contains(got, wanted)


def _contains(got: Any, wanted: Any) -> None:
    """Everything that is wanted is there; what is there besides is empty or zero."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            _contains(got[name], value)
        assert not [name for name, value in got.items() if name not in wanted and value not in (None, 0, "", [])]
    elif isinstance(wanted, list):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            _contains(one, other)
    else:
        assert got == wanted


@pytest.mark.parametrize("file", _cases("tlsrpt", "json"), ids=lambda file: file.stem)
def test_tls_reports(file: Path) -> None:
    wanted = json.loads(file.read_text("utf-8"))
    (packed,) = files_of(file.read_bytes())
    _check_tls(packed.raw, wanted)
    if file.with_suffix(".eml").exists():
        (attached,) = files_of(file.with_suffix(".eml").read_bytes())
        _check_tls(attached.raw, wanted)

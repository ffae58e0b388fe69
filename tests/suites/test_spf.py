"""SPF as openspf.org tests it: every case of RFC 7208, and pyspf's opinion on the same zones."""

from __future__ import annotations

import pytest
from tests.suites.data import conformance
from tests.suites.spf_zones import Case, cases, ours, theirs

_FOLDER = conformance("spf")
_CASES = list(cases(_FOLDER / "rfc7208-tests.yml")) if _FOLDER is not None else []


@pytest.mark.conformance("spf", 128)
@pytest.mark.parametrize("case", _CASES, ids=[case.name for case in _CASES])
def test_ax_08_rfc_7208_suite(case: Case) -> None:
    found = ours(case.zone, case.ip, case.helo, case.sender)
    assert found.result.value == case.results[0], found.because
    if case.explanation is not None:
        assert (found.explanation or "DEFAULT") == case.explanation


@pytest.mark.parametrize("case", _CASES, ids=[case.name for case in _CASES])
def test_pyspf_agrees_on_the_suite(case: Case) -> None:
    found = ours(case.zone, case.ip, case.helo, case.sender)
    result, explanation = theirs(case.zone, case.ip, case.helo, case.sender)
    assert (found.result.value, found.explanation) == (result, explanation), found.because

"""What the whole suite shares: foreign peers (fixtures and the marker `peer`), the count of published cases, closing lines.

`@pytest.mark.peer("postfix")` skips a test with the reason where that program cannot run, or fails it where
EKIDEN_PEERS=required. `@pytest.mark.conformance("mime", 157)` does the same for published data (never a failure) and
counts its cases: all of them if the test passes; one a passed test if the test is parametrized.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers import catalogue, process
from tests.peers.certificates import make_certificate
from tests.peers.closing import Tally
from tests.suites.data import conformance

REQUIRED = os.environ.get("EKIDEN_PEERS") == "required"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip (or fail) a test whose peer or data are not here, and note it for the closing lines."""
    absent = []
    for mark in item.iter_markers("peer"):
        for name in mark.args:
            reason = catalogue.missing(name)
            item.user_properties.append(("peer", (name, reason or "")))
            if reason is not None:
                absent.append(f"{name}: {reason}")
    if absent:
        if REQUIRED:
            pytest.fail(f"foreign peers that have to run here do not: {'; '.join(absent)}", pytrace=False)
        pytest.skip(f"not here: {'; '.join(absent)}")
    for mark in item.iter_markers("conformance"):
        suite, cases = mark.args
        here = conformance(suite) is not None
        item.user_properties.append(("conformance", (suite, cases, here, hasattr(item, "callspec"))))
        if not here:
            pytest.skip(f"the published cases of {suite} are not here")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the logs of the foreign servers that are running beside a failed test."""
    report: pytest.TestReport = yield  # type: ignore[assignment]  # a hook wrapper is sent the report
    if report.failed:
        for daemon in process.RUNNING:
            report.sections.append((f"log of {daemon.name}", daemon.tail(80)))
    return report  # type: ignore[return-value]  # the same


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which peers ran and how many of the published cases passed."""
    for line in Tally(terminalreporter.stats).lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(certificate, key, both in one file) that every server of the tests shows; clients trust the first."""
    names = ["localhost", "mx.one.test", "mx.two.test", "postfix.test", "mx.ekiden.test"]
    return make_certificate(tmp_path_factory.mktemp("tls"), *names)

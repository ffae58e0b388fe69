"""What the whole suite shares: foreign peers (fixtures and the marker `peer`), the count of published cases, closing lines.

`@pytest.mark.peer("postfix")` skips a test with the reason where that program cannot run, or fails it where
EKIDEN_PEERS=required. `@pytest.mark.conformance("mime", 157)` does the same for published data (never a failure) and
counts its cases: all of them if the test passes; one a passed test if the test is parametrized.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers import catalogue, process
from tests.peers.certificates import make_certificate
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
    ran: set[str] = set()
    absent: dict[str, str] = {}
    total: dict[str, int] = {}
    passed: Counter[str] = Counter()
    elsewhere: set[str] = set()
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "peer":
                    peer, reason = value
                    if reason:
                        absent[peer] = reason
                    elif getattr(report, "when", "") == "call":
                        ran.add(peer)
                elif name == "conformance":
                    suite, cases, here, one = value
                    total[suite] = cases
                    if not here:
                        elsewhere.add(suite)
                    elif outcome == "passed" and report.when == "call":
                        passed[suite] += 1 if one else cases
    if ran or absent:
        by_reason: defaultdict[str, list[str]] = defaultdict(list)
        for peer, reason in sorted(absent.items()):
            by_reason[reason].append(peer)
        why = "; ".join(f"{', '.join(peers)}: {reason}" for reason, peers in by_reason.items())
        terminalreporter.write_line(f"peers: {len(ran)} run, {len(absent)} not here" + (f" ({why})" if why else ""))
    if total:
        done = sum(min(passed[suite], cases) for suite, cases in total.items())
        parts = ", ".join(
            f"{suite} {min(passed[suite], total[suite])} of {total[suite]}" for suite in sorted(total) if suite not in elsewhere
        )
        lead = "conformance: " + ("not here, " if elsewhere == set(total) else "")
        terminalreporter.write_line(f"{lead}{done} of {sum(total.values())} cases" + (f" ({parts})" if parts else ""))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(certificate, key, both in one file) that every server of the tests shows; clients trust the first."""
    names = ["localhost", "mx.one.test", "mx.two.test", "postfix.test", "mx.ekiden.test"]
    return make_certificate(tmp_path_factory.mktemp("tls"), *names)

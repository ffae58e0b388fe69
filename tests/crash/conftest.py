"""What a test of faults starts is ended with it, whatever happens; and what the runs of the ledger share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.ledger import run
from tests.peers.process import RUNNING


@pytest.fixture(autouse=True)
def _servers_end_with_their_test() -> Iterator[None]:
    """kill -9 of each process group that the test has started and not ended: also where it failed or ran out of time."""
    before = list(RUNNING)
    yield
    for daemon in [each for each in RUNNING if each not in before]:
        daemon.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Path:
    """A data directory with everybody in it, to be copied."""
    return run.prepare(tmp_path_factory.mktemp("people") / "ekiden", certificate)

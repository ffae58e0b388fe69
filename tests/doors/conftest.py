"""Servers of ours that the tests of one file share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.doors.server import Ekiden


@pytest.fixture(scope="module")
def ekiden(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path, Path]) -> Iterator[Ekiden]:
    """One running Ekiden for one.test with alice and bob; its log is looked at when the file's tests are over."""
    running = Ekiden(tmp_path_factory.mktemp("ekiden"), certificate)
    yield running
    running.stop()

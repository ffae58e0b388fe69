"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.app.calls import Calls


@pytest.fixture
def ekiden(tmp_path: Path) -> Calls:
    """The command line on a fresh configuration."""
    return Calls(tmp_path)


@pytest.fixture
def peopled(ekiden: Calls) -> Calls:
    """The same with an account alice@one.test."""
    ekiden.out("account", "add", "alice@one.test", "--password-stdin", input="secret\n")
    return ekiden

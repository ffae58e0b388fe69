"""Where the published test data lie: EKIDEN_CONFORMANCE, or beside the project. They are never copied into it."""

from __future__ import annotations

import os
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]


def conformance(name: str) -> Path | None:
    """The folder of one suite ("mime", "spf" …), or None where the data are not here."""
    named = os.environ.get("EKIDEN_CONFORMANCE")
    for base in [Path(named)] if named else [_PROJECT.parent / "shared" / "conformance", _PROJECT.parent / "conformance"]:
        if (base / name).is_dir():
            return base / name
    return None

"""Names of files that are being written, and how those of dead processes go.

A file that has no name yet lies in tmp/ and is called after the process that writes it. Who knows that a process is dead may
take its files away; nobody waits for what it had received.
Source: reliability.md F-02.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

FOLDER = "tmp"


def new_path(root: Path) -> Path:
    """A file of this process that is not there yet, below the root of all blobs."""
    return root / FOLDER / f"{os.getpid()}-{secrets.token_hex(16)}"


def remove_left(root: Path, pid: int | None = None) -> int:
    """Remove what a dead process has left; how many files. None: all, for who knows that no process writes here.

    What cannot be removed now is found by upkeep later.
    """
    removed = 0
    pattern = "*" if pid is None else f"{pid}-*"
    for file in (root / FOLDER).glob(pattern):
        with suppress(OSError):
            file.unlink()
            removed += 1
    return removed

"""Columns are checked once."""

from __future__ import annotations

import pytest

from ekiden.base.errors import StoreError
from ekiden.store import columns


def test_what_is_there_comes_back_and_what_is_not_is_an_error() -> None:
    row = (1, "a", b"b", None)
    assert (columns.integer(row, 0), columns.string(row, 1), columns.octets(row, 2)) == (1, "a", b"b")
    assert (columns.optional_integer(row, 3), columns.optional_text(row, 3), columns.optional_octets(row, 3)) == (None, None, None)
    for wrong in (lambda: columns.integer(row, 1), lambda: columns.string(row, 0), lambda: columns.octets(None, 0)):
        with pytest.raises(StoreError):
            wrong()

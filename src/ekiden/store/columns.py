"""Columns of a row as the types they have: what SQL gives is checked once, here."""

from __future__ import annotations

from ekiden.base.errors import StoreError
from ekiden.store.database import Row


def integer(row: Row | None, at: int) -> int:
    """Raises StoreError if it is not there or no integer."""
    value = row[at] if row is not None else None
    if not isinstance(value, int):
        raise StoreError(f"column {at} holds {type(value).__name__}, not an integer")
    return value


def optional_integer(row: Row | None, at: int) -> int | None:
    """An integer or NULL."""
    return integer(row, at) if row is not None and row[at] is not None else None


def string(row: Row | None, at: int) -> str:
    """Raises StoreError if it is not there or no text."""
    value = row[at] if row is not None else None
    if not isinstance(value, str):
        raise StoreError(f"column {at} holds {type(value).__name__}, not text")
    return value


def optional_text(row: Row | None, at: int) -> str | None:
    """Text or NULL."""
    return string(row, at) if row is not None and row[at] is not None else None


def octets(row: Row | None, at: int) -> bytes:
    """Raises StoreError if it is not there or no bytes."""
    value = row[at] if row is not None else None
    if not isinstance(value, bytes):
        raise StoreError(f"column {at} holds {type(value).__name__}, not bytes")
    return value


def optional_octets(row: Row | None, at: int) -> bytes | None:
    """Bytes or NULL."""
    return octets(row, at) if row is not None and row[at] is not None else None

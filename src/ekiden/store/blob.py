"""Blob stores: content that is too large for a row.

A blob is written once, synced, named, and never changed. Every method blocks: call them in threads.
Source: house.md §7 (Q1), reliability.md §1.3 (C1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ekiden.base.ids import BlobId
from ekiden.mail.envelope import Blob


class BlobWriter(Protocol):
    """One blob on its way in. Methods raise StoreError; in the end call commit() or discard()."""

    def write(self, data: bytes) -> None:
        """More bytes."""
        ...

    def read_back(self) -> bytes:
        """All bytes so far."""
        ...

    def commit(self) -> Blob:
        """Sync the bytes and their name; the blob may be named in a row afterwards. write() and read_back() end here."""
        ...

    def close(self) -> None:
        """Give the descriptor back and keep the blob."""
        ...

    def discard(self) -> None:
        """Forget the bytes, also after commit() where no row was written after all. Raises nothing: what stays is an orphan."""
        ...


class BlobStore(Protocol):
    """Where blobs are. Methods raise StoreError."""

    def create(self) -> BlobWriter:
        """Begin a blob."""
        ...

    def read(self, id: BlobId, offset: int, length: int) -> bytes:
        """At most length bytes from offset. Raises Damaged if the blob is gone."""
        ...

    def verify(self, id: BlobId, size: int, sha256: bytes) -> None:
        """Raises Damaged if the blob is gone or is not what was stored.

        May remember what it has seen whole, for as long as nobody writes to it.
        """
        ...

    def delete(self, id: BlobId) -> None:
        """Remove; nothing happens if it is not there."""
        ...

    def older_than(self, seconds: float) -> Iterator[BlobId]:
        """Blobs and leftovers of writers that were last touched so long ago, for the search for orphans."""
        ...

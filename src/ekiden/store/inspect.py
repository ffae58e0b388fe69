"""Looks at a SQLite store as it lies there, changes nothing of it, and names what is damaged.

Reads past what cannot be read, beside a server that runs or without one. What it says is for people: `ekiden check store`.
Source: reliability.md §1.3 (C10), F-28, F-29.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from ekiden.base.errors import Damaged, StoreError
from ekiden.base.ids import BlobId, EnvelopeId, id_text
from ekiden.store import evidence
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.messages import is_whole

ORPHAN_S = 3600.0
_COMPLAINTS = 100
_AT_ONCE = 200

_ENTRIES_WITHOUT = (
    "SELECT entry.mailbox_id, entry.uid, entry.message_id FROM entry LEFT JOIN message ON message.id = entry.message_id"
    " WHERE message.id IS NULL OR message.gone = 1"
)
_COPIES_WITHOUT = (
    "SELECT envelope.id, envelope.message_id FROM envelope LEFT JOIN message ON message.id = envelope.message_id"
    " WHERE (message.id IS NULL OR message.gone = 1)"
    " AND EXISTS (SELECT 1 FROM delivery WHERE envelope_id = envelope.id AND status IN ('due', 'held'))"
)
_COUNTS = (
    "SELECT mailbox.id, mailbox.name, mailbox.uid_next, mailbox.messages, mailbox.bytes, COUNT(entry.uid), COALESCE(MAX(entry.uid), 0),"
    " COALESCE(SUM(entry.size), 0) FROM mailbox LEFT JOIN entry ON entry.mailbox_id = mailbox.id GROUP BY mailbox.id"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    kind: "files" (a part of the store is missing), "database" (SQLite's own check), "message" (its content is not what was stored),
    "entry" or "copy" (a mailbox or the queue names what is not there), "mailbox" (its numbers are wrong), or "orphan": a file that
    no row names, which upkeep removes and which is no damage. what: where. because: what is wrong.
    """

    kind: str
    what: str
    because: str

    @property
    def is_damage(self) -> bool:
        """Something is lost or wrong."""
        return self.kind != "orphan"


@contextmanager
def opened(path: Path) -> Iterator[tuple[apsw.Connection | None, list[Finding]]]:
    """A connection that only reads, if there is one to be had, and what its files say; leaves the log as it is."""
    found: list[Finding] = []
    connection: apsw.Connection | None = None
    lock = os.open(path.with_name(evidence.LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = None
        try:
            before = evidence.look_before(path)
        except Damaged as error:
            found.append(Finding("files", path.name, str(error)))
        try:
            connection = _connect(path)
            evidence.look_after(path, before)
        except Damaged as error:
            found.append(Finding("files", path.name, str(error)))
        except apsw.Error as error:
            found.append(Finding("database", path.name, f"cannot be opened: {error}"))
    finally:
        os.close(lock)
    try:
        yield connection, found
    finally:
        if connection is not None:
            connection.close()
        evidence.forget(path)


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.set_busy_timeout(10_000)
    try:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()
    except apsw.Error:
        connection.close()
        raise
    return connection


def inspect(path: Path, folder: Path) -> Iterator[Finding]:
    """Everything that is wrong with the database at path and the blobs in folder. Raises StoreError where there is no store at all."""
    if not path.exists() and not evidence.was_made(path):
        raise StoreError(f"there is no store at {path}")
    with opened(path) as (connection, found):
        yield from found
        if connection is None:
            return
        yield from _database(connection)
        named: set[str] = set()
        yield from _messages(connection, FileBlobs(folder), named)
        yield from _rows(connection)
        yield from _orphans(folder, named)


def _database(connection: apsw.Connection) -> Iterator[Finding]:
    try:
        said = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_COMPLAINTS})")]
    except apsw.Error as error:
        said = [str(error)]
    yield from (Finding("database", "integrity_check", each.strip()) for each in said if each != "ok")


def _messages(connection: apsw.Connection, blobs: FileBlobs, named: set[str]) -> Iterator[Finding]:
    """Every content against its hash, in short reads, so that a server beside us can move its log."""
    last = -1
    while True:
        try:
            rows = connection.execute(
                "SELECT id, size, sha256, blob_id, content FROM message WHERE id > ? AND gone = 0 ORDER BY id LIMIT ?", (last, _AT_ONCE)
            ).fetchall()
        except apsw.Error as error:
            yield Finding("database", "message", f"rows after {id_text(EnvelopeId(last)) if last >= 0 else 'the first'}: {error}")
            return
        for number, size, digest, blob, content in rows:
            last = int(str(number))
            known = digest if isinstance(digest, bytes) else b""
            if blob is not None:
                named.add(str(blob))
            because = _fault(blobs, blob, content, int(str(size)), known)
            if because:
                yield Finding("message", id_text(EnvelopeId(last)), because)
        if len(rows) < _AT_ONCE:
            return


def _fault(blobs: FileBlobs, blob: object, content: object, size: int, digest: bytes) -> str:
    """Why content is not what was stored, or ""."""
    if blob is None:
        return "" if isinstance(content, bytes) and is_whole(content, size, digest) else "its content is not what was stored"
    try:
        blobs.verify(BlobId(str(blob)), size, digest)
    except StoreError as error:
        return str(error)
    return ""


def _rows(connection: apsw.Connection) -> Iterator[Finding]:
    try:
        for mailbox, uid, message in connection.execute(_ENTRIES_WITHOUT):
            yield Finding("entry", f"mailbox {mailbox}, UID {uid}", f"its message {message} is not there")
        for envelope, _ in connection.execute(_COPIES_WITHOUT):
            yield Finding("copy", id_text(EnvelopeId(int(str(envelope)))), "waits in the queue, but its message is not there")
        for mailbox, name, uid_next, messages, size, count, highest, total in connection.execute(_COUNTS):
            where = f"mailbox {mailbox} ({name})"
            if int(str(uid_next)) <= int(str(highest)):
                yield Finding("mailbox", where, f"UIDNEXT is {uid_next}, but there is UID {highest}")
            if (messages, size) != (count, total):
                yield Finding("mailbox", where, f"counts {messages} messages of {size} bytes, has {count} of {total}")
    except apsw.Error as error:
        yield Finding("database", "rows", str(error))


def _orphans(folder: Path, named: set[str]) -> Iterator[Finding]:
    limit = time.time() - ORPHAN_S
    for file in sorted(folder.glob("[0-9a-f][0-9a-f]/*")):
        try:
            if file.name not in named and file.stat().st_mtime < limit:
                yield Finding("orphan", file.name, f"{file.stat().st_size} bytes that no message names")
        except FileNotFoundError:
            continue  # upkeep was quicker

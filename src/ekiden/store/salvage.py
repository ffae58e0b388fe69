"""Reads every message that can still be read out of a damaged store, past what cannot be read.

Rows are looked for by every way that leads to them: the table from both ends, its indexes, and the UIDs of each mailbox one by one.
The store is not changed.
Source: reliability.md §1.3 (C10), F-28.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from ekiden.base.errors import StoreError
from ekiden.base.ids import BlobId, EnvelopeId, id_text
from ekiden.store import flags
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.inspect import Finding, opened
from ekiden.store.messages import is_whole

_WHOLE_BYTES = 1 << 31
_WAYS = (
    "SELECT id FROM message NOT INDEXED WHERE gone = 0 ORDER BY id",
    "SELECT id FROM message NOT INDEXED WHERE gone = 0 ORDER BY id DESC",
    "SELECT id FROM message INDEXED BY message_by_time WHERE received_at > 0 ORDER BY received_at",
    "SELECT id FROM message INDEXED BY message_by_time WHERE received_at > 0 ORDER BY received_at DESC",
)
_MESSAGE = "SELECT received_at, sender, prefix, size, sha256, blob_id, content, gone FROM message WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Saved:
    """One message. account, mailbox: "" where nothing says any more whose it was. recipients: of a copy that waits in the queue."""

    id: EnvelopeId
    account: str
    mailbox: str
    uid: int
    flags: frozenset[str]
    at: int
    content: bytes
    recipients: tuple[str, ...] = ()


@dataclass(slots=True)
class Salvage:
    """What can be saved of the database at path with the blobs in folder; lost fills while messages() runs."""

    path: Path
    folder: Path
    lost: list[Finding] = field(default_factory=list)
    _broke: bool = field(default=False, init=False)  # the last query met something that it could not read

    def messages(self) -> Iterator[Saved]:
        """Every readable message, as often as a mailbox or the queue names it; at least once."""
        blobs = FileBlobs(self.folder)
        used: set[str] = set()
        with opened(self.path) as (connection, found):
            self.lost += found
            if connection is not None:
                yield from self._of_database(connection, blobs, used)
        for file in sorted(self.folder.glob("[0-9a-f][0-9a-f]/*")):
            if file.name not in used:  # a message that nothing names any more, or the leftover of one that was never accepted
                yield Saved(EnvelopeId(0), "", "", 0, frozenset(), int(file.stat().st_mtime * 1000), file.read_bytes())

    def _of_database(self, connection: apsw.Connection, blobs: FileBlobs, used: set[str]) -> Iterator[Saved]:
        owners = self._owners(connection)
        entries = self._entries(connection, owners)
        queued = self._queued(connection)
        ids = self._ids(connection) | set(entries) | set(queued)
        for number in sorted(ids):
            read = self._message(connection, blobs, number, used, wanted=number in entries or number in queued)
            if read is None:
                continue
            at, sender, prefix, content = read
            top = b"" if sender is None else b"Return-Path: <%s>\r\n" % sender.encode()
            places = entries.get(number, [])
            for mailbox, uid, bits, words, delivered_to in places:
                account, name = owners.get(mailbox, ("", f"mailbox-{mailbox}"))
                line = b"Delivered-To: %s\r\n" % delivered_to.encode() if delivered_to else b""
                yield Saved(EnvelopeId(number), account, name, uid, flags.join(bits, words), at, top + line + prefix + content)
            if number in queued or not places:
                yield Saved(EnvelopeId(number), "", "", 0, frozenset(), at, top + prefix + content, tuple(queued.get(number, ())))

    def _owners(self, connection: apsw.Connection) -> dict[int, tuple[str, str]]:
        """mailbox → account and name."""
        names = {int(str(id)): str(name) for id, name in self._all(connection, "account", "SELECT id, name FROM account ORDER BY id")}
        boxes = self._all(connection, "mailbox", "SELECT id, account_id, name FROM mailbox ORDER BY id")
        return {int(str(id)): (names.get(int(str(account)), f"account-{account}"), str(name)) for id, account, name in boxes}

    def _entries(self, connection: apsw.Connection, owners: dict[int, tuple[str, str]]) -> dict[int, list[tuple[int, int, int, str, str]]]:
        """message → mailbox, uid, flags, keywords, delivered_to."""
        found: dict[int, list[tuple[int, int, int, str, str]]] = {}
        seen: set[tuple[int, int]] = set()

        def keep(rows: list[tuple[object, ...]]) -> None:
            for mailbox, uid, bits, words, message, delivered_to in rows:
                key = int(str(mailbox)), int(str(uid))
                if key not in seen:
                    seen.add(key)
                    found.setdefault(int(str(message)), []).append((*key, int(str(bits)), str(words), str(delivered_to)))

        columns = "SELECT mailbox_id, uid, flags, keywords, message_id, delivered_to FROM entry"
        keep(self._all(connection, "entry", f"{columns} ORDER BY mailbox_id, uid"))
        if not self._broke:
            return found
        for mailbox in owners:  # a page is bad: step over its UIDs one by one
            highest = self._all(connection, "mailbox", "SELECT uid_next FROM mailbox WHERE id = ?", mailbox)
            for uid in range(1, int(str(highest[0][0])) if highest else 0):
                if (mailbox, uid) not in seen:
                    keep(self._all(connection, "", f"{columns} WHERE mailbox_id = ? AND uid = ?", mailbox, uid))
        # The index by message knows whose a message was, even where the table does not.
        by_message = "SELECT mailbox_id, uid, 0, '', message_id, '' FROM entry INDEXED BY entry_of_message"
        for order in ("ASC", "DESC"):
            keep(self._all(connection, "", f"{by_message} WHERE message_id > 0 ORDER BY message_id {order}"))
        return found

    def _queued(self, connection: apsw.Connection) -> dict[int, list[str]]:
        """message → recipients that wait."""
        found: dict[int, list[str]] = {}
        query = (
            "SELECT envelope.message_id, delivery.recipient FROM delivery JOIN envelope ON envelope.id = delivery.envelope_id"
            " WHERE delivery.status IN ('due', 'held') ORDER BY delivery.id"
        )
        for message, recipient in self._all(connection, "queue", query):
            found.setdefault(int(str(message)), []).append(str(recipient))
        return found

    def _ids(self, connection: apsw.Connection) -> set[int]:
        """Every message whose content is not gone, by every way that leads there."""
        found: set[int] = set()
        for query in _WAYS:
            rows = self._all(connection, "message" if query is _WAYS[0] else "", query)
            found |= {int(str(id)) for (id,) in rows}
            if not self._broke and query is _WAYS[0]:
                break
        return found

    def _all(self, connection: apsw.Connection, what: str, query: str, *params: int) -> list[tuple[object, ...]]:
        """The rows up to the first that cannot be read; what: the name to note that under, "" where another way was tried already."""
        rows: list[tuple[object, ...]] = []
        self._broke = False
        try:
            for row in connection.execute(query, params):
                rows.append(row)
        except apsw.Error as error:
            self._broke = True
            if what:
                self.lost.append(Finding("database", what, str(error)))
        return rows

    def _message(
        self, connection: apsw.Connection, blobs: FileBlobs, number: int, used: set[str], *, wanted: bool
    ) -> tuple[int, str | None, bytes, bytes] | None:
        """received_at, sender, prefix and content; None, and noted as lost if it is wanted, where it cannot be read."""
        rows = self._all(connection, "", _MESSAGE, number)
        because = "its row cannot be read"
        if rows:
            at, sender, prefix, size, digest, blob, content, gone = rows[0]
            if gone:
                return None
            if blob is not None:
                used.add(str(blob))
                try:
                    blobs.verify(BlobId(str(blob)), int(str(size)), digest if isinstance(digest, bytes) else b"")
                    content = blobs.read(BlobId(str(blob)), 0, _WHOLE_BYTES)
                except StoreError as error:
                    content, because = None, str(error)
            elif not isinstance(content, bytes) or not is_whole(content, int(str(size)), digest if isinstance(digest, bytes) else b""):
                content, because = None, "its content is not what was stored"
            if isinstance(content, bytes) and isinstance(prefix, bytes):
                return int(str(at)), str(sender) if sender is not None else None, prefix, content
        if rows or wanted:
            self.lost.append(Finding("message", id_text(EnvelopeId(number)), because))
        return None

"""Stores that are already full: mailboxes, accounts and queues of any length, written straight into the database.

The rows are those that the server would have written (their content is analysed by the server's own code, once); only the way
is shorter. Nothing serves from the database meanwhile.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import apsw

from ekiden.base.clock import Millis
from ekiden.mail import journey
from ekiden.services.deposit import analyse
from ekiden.store import accounts
from ekiden.store.database import Tx, open_database

CONTENT = (
    b"From: Alice <alice@remote.test>\r\nTo: inbox@bench.test\r\nSubject: The plan for next week\r\n"
    b"Date: Fri, 21 Nov 2025 10:55:06 +0100\r\nMessage-ID: <4711@remote.test>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + b"The quick brown fox jumps over the lazy dog.\r\n" * 17
)
_BEGIN_MS = 1_735_689_600_000  # 2025-01-01: before everything that a run takes in
_ID_EPOCH_MS = 1_577_836_800_000  # of base.ids
_PACE_MS = 20_000  # between one message and the next: a million takes 231 days
_NUMBERS = """CREATE TEMP TABLE n AS WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < :count)
SELECT i FROM up"""
_MESSAGES = """INSERT INTO message (id, received_at, message_id, gone, sender, size, header_bytes, sent_at, blob_id, sha256, subject, parts,
                     structure, envelope, prefix, content)
SELECT (:begin - :epoch + i * :pace) << 22, :begin + i * :pace, i || '.4711@remote.test', 0, 'alice@remote.test', :size, :header_bytes,
  :sent_at, NULL, :sha256, :subject, :parts, :structure, :envelope, :prefix, :content FROM n"""
_JOURNEYS = "INSERT INTO journey (message_id, seq, steps) SELECT (:begin - :epoch + i * :pace) << 22, 0, :steps FROM n"
_ENTRIES = """INSERT INTO entry (mailbox_id, uid, modseq, created_modseq, flags, keywords, internal_date, size, message_id,
                   delivered_to, fetched)
SELECT :mailbox, i, i + 1, i + 1, 1, '', :begin + i * :pace, :whole, (:begin - :epoch + i * :pace) << 22, 'inbox@bench.test', 1 FROM n"""
_MAILBOX = """UPDATE mailbox SET uid_next = :count + 1, modseq = :count + 1, messages = :count, bytes = :count * :whole,
  recent_from = :count + 1, unseen_from = :count + 1 WHERE id = :mailbox"""
_ENVELOPES = """INSERT INTO envelope (id, message_id, sender, received_at, body, utf8, return_full, envid, peer)
SELECT (:begin - :epoch + i * :pace) << 22, (:begin - :epoch + i * :pace) << 22, 'inbox@bench.test', :begin + i * :pace, '8BITMIME', 0, 1,
  NULL, '{"ip":"127.0.0.1","port":40000,"listener":"mx","hello":"client.test","account":null}' FROM n"""
_DELIVERIES = """INSERT INTO delivery (envelope_id, recipient, original, notify, next_hop, status, due_at, attempts, lease_owner,
                      lease_until, queued_at, delay_reported_at, finished_at, reply)
SELECT (:begin - :epoch + i * :pace) << 22, 'user' || i || '@d' || (i % 1000) || '.test', NULL, 0, 'd' || (i % 1000) || '.test', 'due',
  :due + i, 3, '', 0, :now, NULL, NULL, '451 4.4.1 try again later' FROM n"""


def fill_mailbox(count: int) -> Callable[[Path], None]:
    """So many read messages in the one INBOX, the oldest first."""

    def fill(database: Path) -> None:
        with _open(database) as connection:
            _messages(connection, count)
            found = connection.execute("SELECT id FROM mailbox WHERE name_key = 'INBOX'").fetchall()
            facts = {"mailbox": found[0][0], "whole": len(CONTENT) + 300, "count": count}
            connection.execute(_ENTRIES, {**facts, **_TIMES})
            connection.execute(_MAILBOX, facts)

    return fill


def fill_accounts(count: int, addresses: int) -> Callable[[Path], None]:
    """So many accounts; the addresses 0inbox@bench.test … belong to them in turn, so that each gets its share of a numbered load."""

    async def write(database: Path) -> None:
        store = open_database(f"sqlite://{database}")
        try:
            for first in range(0, count, 500):

                def some(tx: Tx, first: int = first) -> None:
                    for number in range(first, min(first + 500, count)):
                        own = [f"{n}inbox@bench.test" for n in range(number, addresses, count)]
                        own = own or [f"user{number}@bench.test"]
                        accounts.create_account(tx, f"user{number}", own, "", Millis(_BEGIN_MS))

                await store.write(some)
        finally:
            store.close()

    return lambda database: asyncio.run(write(database))


def fill_queue(count: int, *, due_in_s: float) -> Callable[[Path], None]:
    """So many copies that wait for 1,000 domains, due from then on; and mail for the one address goes to another server."""

    async def alias(database: Path) -> None:
        store = open_database(f"sqlite://{database}")
        try:

            def outside(tx: Tx) -> None:
                found = accounts.account_named(tx, "inbox@bench.test")
                if found is not None:
                    accounts.remove_account(tx, found.id)
                accounts.add_alias(tx, "inbox@bench.test", ["somebody@sink.test"])

            await store.write(outside)
        finally:
            store.close()

    def fill(database: Path) -> None:
        asyncio.run(alias(database))
        if not count:
            return
        now = int(time.time() * 1000)
        with _open(database) as connection:
            _messages(connection, count)
            connection.execute(_ENVELOPES, _TIMES)
            connection.execute(_DELIVERIES, {"now": now, "due": now + int(due_in_s * 1000), **_TIMES})

    return fill


_TIMES = {"begin": _BEGIN_MS, "epoch": _ID_EPOCH_MS, "pace": _PACE_MS}


class _open:
    """One transaction without syncs: the file is as good as new, and a crash meanwhile costs a run."""

    def __init__(self, database: Path) -> None:
        self._connection = apsw.Connection(str(database))
        keep = ctypes.c_int(1)  # the log stays when this connection goes: a store whose log is missing has lost something
        self._connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(keep))

    def __enter__(self) -> apsw.Connection:
        self._connection.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, failed: object, *_: object) -> None:
        self._connection.execute("ROLLBACK" if failed else "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


def _messages(connection: apsw.Connection, count: int) -> None:
    found = analyse(CONTENT)
    at = Millis(_BEGIN_MS)
    steps: list[journey.Step] = [
        journey.Connected(at, "192.0.2.1", 40000, "mx"),
        journey.Greeted(at, "EHLO", "one.test"),
        journey.SenderGiven(at, "alice@remote.test", "250 2.1.0 OK"),
        journey.RecipientGiven(at, "inbox@bench.test", "250 2.1.5 OK"),
        journey.Committed(at, "250 2.0.0 OK"),
    ]
    facts: dict[str, int | str | bytes | None] = {
        **_TIMES,
        "size": len(CONTENT),
        "header_bytes": found.body_at,
        "sent_at": found.sent_at,
        "sha256": sha256(CONTENT).digest(),
        "subject": found.subject,
        "parts": found.parts,
        "structure": found.structure,
        "envelope": found.envelope,
        "prefix": b"Received: from client.test (127.0.0.1) by mx.bench.test with ESMTP id 0123456789abc;\r\n Tue, 1 Jan 2030\r\n" * 2,
        "content": CONTENT,
    }
    connection.execute(_NUMBERS, {"count": count})
    connection.execute(_MESSAGES, facts)
    connection.execute(_JOURNEYS, {**_TIMES, "steps": journey.encode_steps(steps)})

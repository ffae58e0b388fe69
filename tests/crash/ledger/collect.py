"""What is there: every mailbox by IMAP and from the database, the queue, reports, journeys, files of messages.

The database is read by its tables alone, beside a server that runs.
Source: reliability.md §3.1 (collect); RFC 3464 (reports).
"""

from __future__ import annotations

import email
import imaplib
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import apsw
from tests.crash.ledger.verdict import Copy, Fault, Verdict
from tests.crash.ledger.writing import Seen, read_message
from tests.doors.server import Ekiden

GRACE_S = 3_600.0
"""A file that no row names may be so old."""
_AT_ONCE = 100
_UID = re.compile(rb"UID (\d+)")
_ID = re.compile(rb"^X-Ledger: ([a-z0-9-]+)\r$", re.MULTILINE)


# ---- by IMAP --------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """A message as IMAP shows it. seen: None if it cannot be read. reported: recipients of whom it reports that they failed."""

    flags: frozenset[str]
    seen: Seen | None
    reported: tuple[str, ...] = ()
    about: str = ""


def show(client: imaplib.IMAP4, box: str) -> tuple[int, dict[int, Shown]]:
    """UIDVALIDITY, and UID → what is there; 0 and nothing where there is no such mailbox."""
    status, _ = client.select(f'"{box}"', readonly=True)
    if status != "OK":
        return 0, {}
    validity = int(client.response("UIDVALIDITY")[1][0])
    uids = [int(uid) for uid in client.uid("SEARCH", "ALL")[1][0].split()]
    shown: dict[int, Shown] = {}
    for at in range(0, len(uids), _AT_ONCE):
        some = uids[at : at + _AT_ONCE]
        if not _fetch(client, some, shown):
            for uid in some:
                if not _fetch(client, [uid], shown):
                    shown[uid] = Shown(frozenset(), None)
    return validity, shown


def _fetch(client: imaplib.IMAP4, uids: Sequence[int], shown: dict[int, Shown]) -> bool:
    try:
        status, pieces = client.uid("FETCH", ",".join(map(str, uids)), "(FLAGS BODY.PEEK[])")
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error:
        return False
    if status != "OK":
        return False
    for at, piece in enumerate(pieces):
        if not isinstance(piece, tuple):
            continue
        around = piece[0] + (pieces[at + 1] if at + 1 < len(pieces) and isinstance(pieces[at + 1], bytes) else b"")
        number = _UID.search(around)
        assert number, around
        flags = frozenset(flag.decode() for flag in imaplib.ParseFlags(around) if flag != b"\\Recent")
        seen = read_message(piece[1])
        about, reported = read_report(piece[1]) if seen.is_report else ("", ())
        shown[int(number[1])] = Shown(flags, seen, reported, about)
    return True


def read_report(message: bytes) -> tuple[str, tuple[str, ...]]:
    """The id of the message that a report is about, and the recipients that failed."""
    ids = _ID.findall(message)
    failed = []
    for part in email.message_from_bytes(message).walk():
        if part.get_content_type() != "message/delivery-status":
            continue
        blocks = part.get_payload()
        assert isinstance(blocks, list)
        for block in blocks:
            assert isinstance(block, email.message.Message)
            if block.get("Action", "").strip() == "failed":
                failed.append(str(block["Final-Recipient"]).partition(";")[2].strip())
    return (bytes(ids[0]).decode() if ids else ""), tuple(failed)


def copies_in(account: str, shown: Mapping[int, Shown]) -> Iterator[Copy]:
    """What an INBOX holds, as copies: each came by SMTP, so it has one trace field and one return path."""
    for uid, each in shown.items():
        if each.seen is None:
            yield Copy("", f"{account} INBOX UID {uid}", "mailbox", is_whole=False)
        elif each.seen.is_report:
            for recipient in each.reported:
                yield Copy(each.about, recipient, "report")
        elif not (each.seen.received or each.seen.id) and each.seen.delivered_to.startswith("postmaster@"):
            continue  # a letter of the house to its operator: nobody's mail
        else:
            seen = each.seen
            local, _, domain = seen.delivered_to.partition("@")
            is_own = f"{local.partition('+')[0]}@{domain}" == account
            destination = seen.delivered_to if is_own else f"{seen.delivered_to} for {account}"
            yield Copy(seen.id, destination, "mailbox", seen.is_whole and (seen.received, seen.return_paths) == (1, 1))


# ---- from the database ----------------------------------------------------------------------------


class Box(NamedTuple):
    """A mailbox at one moment. entries: UID → (number of the message, MODSEQ)."""

    validity: int
    uid_next: int
    modseq: int
    entries: Mapping[int, tuple[int, int]]


@contextmanager
def opened(database: Path) -> Iterator[apsw.Connection]:
    """A connection that changes nothing; beside a server that runs, or after one that ended in good order."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(10_000)
        connection.execute("PRAGMA query_only=ON")
        yield connection
    finally:
        connection.close()


def observe(database: Path) -> dict[str, Box]:
    """ "account mailbox" → its numbers, of one moment."""
    with opened(database) as connection, connection:
        boxes: dict[int, tuple[str, int, int, int, dict[int, tuple[int, int]]]] = {}
        for number, name, box, validity, uid_next, modseq in connection.execute(
            "SELECT mailbox.id, account.name, mailbox.name, mailbox.uid_validity, uid_next, modseq"
            " FROM mailbox JOIN account ON account.id = account_id"
        ):
            boxes[number] = (f"{name} {box}", validity, uid_next, modseq, {})
        for number, uid, message, modseq in connection.execute("SELECT mailbox_id, uid, message_id, modseq FROM entry"):
            boxes[number][4][uid] = (message, modseq)
    return {name: Box(validity, uid_next, modseq, entries) for name, validity, uid_next, modseq, entries in boxes.values()}


def judge_observations(observations: Sequence[Mapping[str, Box]], verdict: Verdict) -> None:
    """UIDs grow and keep their message, UIDVALIDITY stays, MODSEQ never falls (RFC 9051 §2.3.1.1, RFC 7162 §3.1.2)."""
    for before, after in pairwise(observations):
        for name, then in before.items():
            now = after.get(name)
            if now is None:
                verdict.imap_lost.append((name, "the mailbox is gone"))
                continue
            for what, old, new in (("UIDNEXT", then.uid_next, now.uid_next), ("MODSEQ", then.modseq, now.modseq)):
                if new < old:
                    verdict.uid_reuse.append((name, f"{what} {old}, then {new}"))
            if now.validity != then.validity:
                verdict.uid_reuse.append((name, f"UIDVALIDITY {then.validity}, then {now.validity}"))
            _judge_entries(name, then, now, verdict)
    for observation in observations:
        for name, box in observation.items():
            verdict.uid_reuse += [
                (name, f"UID {uid} (MODSEQ {modseq}) beyond UIDNEXT {box.uid_next} or MODSEQ {box.modseq}")
                for uid, (_, modseq) in box.entries.items()
                if uid >= box.uid_next or modseq > box.modseq
            ]


def _judge_entries(name: str, then: Box, now: Box, verdict: Verdict) -> None:
    for uid, (message, modseq) in now.entries.items():
        known = then.entries.get(uid)
        if known is None:
            if uid < then.uid_next:
                verdict.uid_reuse.append((name, f"UID {uid} is there again, or below UIDNEXT {then.uid_next} for the first time"))
        elif known[0] != message:
            verdict.uid_reuse.append((name, f"UID {uid} was message {known[0]} and is {message}"))
        elif modseq < known[1]:
            verdict.uid_reuse.append((name, f"UID {uid} had MODSEQ {known[1]} and has {modseq}"))


def judge_shown(box: Box, shown: Iterable[int], name: str, verdict: Verdict) -> None:
    """IMAP shows what the database has, and nothing else."""
    uids = set(shown)
    verdict.imap_lost += [(name, f"UID {uid} is in the database and IMAP does not show it") for uid in box.entries.keys() - uids]
    verdict.ghost += [(name, f"UID {uid} is shown by IMAP and is not in the database") for uid in uids - box.entries.keys()]


def judge_store(database: Path, verdict: Verdict, now: float | None = None) -> None:
    """Rows agree with one another and with the files: dangling, orphan."""
    folder = database.parent / "blobs"
    named: set[str] = set()
    with opened(database) as connection, connection:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        verdict.dangling += [("integrity_check", line) for line in said if line != "ok"]
        for number, size, digest, blob, content in connection.execute(
            "SELECT id, size, sha256, blob_id, content FROM message WHERE gone = 0"
        ):
            if blob is not None:
                named.add(blob)
                file = folder / blob[:2] / blob
                content = file.read_bytes() if file.is_file() else None
            if content is None:
                verdict.dangling.append((f"message {number}", f"its file {blob} is not there"))
            elif (len(content), sha256(content).digest()) != (size, digest):
                verdict.dangling.append((f"message {number}", "its content is not what was stored"))
        for query in (_ENTRIES, _DELIVERIES, _NUMBERS):
            verdict.dangling += [(str(one), str(rest)) for one, *rest in connection.execute(query)]
    limit = (time.time() if now is None else now) - GRACE_S
    for file in folder.glob("[0-9a-f][0-9a-f]/*"):
        if file.name not in named and file.stat().st_mtime < limit:
            verdict.orphan.append((file.name, "no row names it"))


_ENTRIES = (
    "SELECT 'entry', mailbox_id, uid, entry.message_id FROM entry LEFT JOIN message ON message.id = entry.message_id"
    " WHERE message.id IS NULL OR gone = 1"
)
_DELIVERIES = (
    "SELECT 'delivery', delivery.id, recipient FROM delivery LEFT JOIN envelope ON envelope.id = envelope_id"
    " LEFT JOIN message ON message.id = envelope.message_id WHERE status IN ('due', 'held') AND (message.id IS NULL OR gone = 1)"
)
_NUMBERS = (
    "SELECT 'mailbox', mailbox.id, messages, mailbox.bytes FROM mailbox LEFT JOIN entry ON mailbox_id = mailbox.id GROUP BY mailbox.id"
    " HAVING messages <> COUNT(uid) OR mailbox.bytes <> COALESCE(SUM(size), 0)"
)


def queued(database: Path) -> Iterator[Copy]:
    """Copies that wait, or are held."""
    folder = database.parent / "blobs"
    with opened(database) as connection:
        for recipient, content, blob, prefix in connection.execute(
            "SELECT recipient, content, blob_id, prefix FROM delivery JOIN envelope ON envelope.id = envelope_id"
            " JOIN message ON message.id = envelope.message_id WHERE status IN ('due', 'held')"
        ):
            if content is None:
                file = folder / blob[:2] / blob
                content = file.read_bytes() if file.is_file() else b""
            seen = read_message(content)
            yield Copy(seen.id, recipient, "queue", seen.is_whole and prefix.count(b"Received: ") == 1)


def unknown_outcomes(database: Path) -> Counter[Fault]:
    """(id, recipient) → attempts of which the journey says that nobody knows whether the other side has the message."""
    found: Counter[Fault] = Counter()
    with opened(database) as connection:
        for subject, steps in connection.execute("SELECT subject, steps FROM journey JOIN message ON message.id = journey.message_id"):
            for step in json.loads(steps):
                if step["step"] == "deferred" and "ambiguous" in step["because"]:
                    found[subject, step["recipient"]] += 1
    return found


def at_rest(database: Path, soon_s: float = 60.0) -> bool:
    """Nobody works on the queue and nothing in it is due soon."""
    with opened(database) as connection:
        limit = int((time.time() + soon_s) * 1000)
        query = "SELECT COUNT(*) FROM delivery WHERE finished_at IS NULL AND status = 'due' AND (lease_until > 0 OR due_at < ?)"
        return connection.execute(query, (limit,)).fetchall() == [(0,)]


def damage(database: Path, scratch: Path) -> list[Fault]:
    """What SQLite finds wrong with the pages of a database that nobody has opened since its power went; it is left as it lies."""
    scratch.mkdir()
    for file in database.parent.glob(f"{database.name}*"):
        shutil.copyfile(file, scratch / file.name)
    try:
        with opened(scratch / database.name) as connection:
            told = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    except apsw.CorruptError as error:
        told = [str(error)]
    return [("", line) for line in told if line != "ok"]


# ---- for small tests that keep their ledger in memory ---------------------------------------------


def everything(server: Ekiden) -> dict[str, list[bytes]]:
    """Recipient → messages of alice and bob, and "alice Sent"."""
    found: dict[str, list[bytes]] = {"alice@one.test": [], "bob@one.test": [], "bob+tag@one.test": []}
    for message in server.inbox("alice"):
        found["alice@one.test"].append(message)
    for message in server.inbox("bob"):
        found["bob+tag@one.test" if read_message(message).delivered_to == "bob+tag@one.test" else "bob@one.test"].append(message)
    found["alice Sent"] = server.inbox("alice", "Sent")
    return found


def everything_queued(database: Path) -> dict[str, list[bytes]]:
    """Recipient → messages that wait. AssertionError where the store is not sound."""
    verdict = Verdict()
    judge_store(database, verdict)
    assert verdict.is_clean, verdict
    found: dict[str, list[bytes]] = {}
    with opened(database) as connection:
        for recipient, content, blob in connection.execute(
            "SELECT recipient, content, blob_id FROM delivery JOIN envelope ON envelope.id = envelope_id"
            " JOIN message ON message.id = envelope.message_id WHERE status IN ('due', 'held')"
        ):
            data = content if content is not None else (database.parent / "blobs" / blob[:2] / blob).read_bytes()
            found.setdefault(recipient, []).append(data)
    return found

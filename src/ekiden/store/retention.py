"""What goes when nobody needs it any more, a few rows at a time. Functions of a transaction.

Each is safe to repeat and to stop between two calls; house.md §7 (Q6) is where they lead.
"""

from __future__ import annotations

from ekiden.base.clock import Millis
from ekiden.base.ids import BlobId
from ekiden.store.columns import integer
from ekiden.store.database import Tx


def drop_contents(tx: Tx, count: int = 200) -> tuple[int, int]:
    """Look at messages that have lost a copy, and drop the content of those that no mailbox and no queue names.

    How many were looked at, and how many have lost their content; the row of each stays as the head of its journey.
    """
    found = [integer(row, 0) for row in tx.all("freed_some", count=count)]
    dropped = 0
    for message in found:
        if tx.one("message_is_named", id=message) is None:
            dropped += tx.run("message_forget", id=message, nothing=b"")
        tx.run("freed_done", id=message)
    return len(found), dropped


def drop_copies(tx: Tx, count: int = 1000) -> int | None:
    """Take some copies out of one folder that has been deleted; how many, or None if there is no such folder."""
    row = tx.one("doomed_one")
    if row is None:
        return None
    mailbox = integer(row, 0)
    bounds = tx.one("doomed_range", mailbox=mailbox, count=count)
    found = integer(bounds, 2)
    if found:
        first, last = integer(bounds, 0), integer(bounds, 1)
        tx.run("note_freed", mailbox=mailbox, first=first, last=last)
        tx.run("delete_between", mailbox=mailbox, first=first, last=last)
    if found < count:
        tx.run("doomed_done", mailbox=mailbox)
    return found


def forget_journeys(tx: Tx, before: Millis, count: int = 500) -> int:
    """Forget messages that came before a time and have no content any more, with their journeys; how many."""
    found = [integer(row, 0) for row in tx.all("gone_before", before=before, count=count)]
    for message in found:
        tx.run("journey_delete", id=message)
        tx.run("message_delete", id=message)
    return len(found)


def blobs_without_row(tx: Tx, blobs: list[BlobId]) -> list[BlobId]:
    """Those that no row names."""
    return [blob for blob in blobs if tx.one("blob_named", blob=blob) is None]


def forget_named_leases(tx: Tx, before: Millis) -> int:
    """Leases that ended before a time; how many."""
    return tx.run("lease_forget", before=before)

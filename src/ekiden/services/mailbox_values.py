"""What the mailbox service takes and gives: values, and the one way it says no.

Source: RFC 9051 §6.3, §6.4, §7, RFC 5530 §3.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from enum import Enum

from ekiden.base.errors import EkidenError
from ekiden.base.ids import AccountId, MailboxId, ModSeq, Uid
from ekiden.services.content import Entry


class Why(Enum):
    """Why a mailbox operation was refused; the value is the response code of RFC 5530 §3 or RFC 9051 §7.1 in lower case."""

    NONEXISTENT = "nonexistent"
    TRY_CREATE = "trycreate"
    ALREADY_EXISTS = "alreadyexists"
    CANNOT = "cannot"
    LIMIT = "limit"
    OVER_QUOTA = "overquota"
    TOO_BIG = "toobig"
    IN_USE = "inuse"
    HAS_CHILDREN = "haschildren"
    EXPUNGE_ISSUED = "expungeissued"
    UNAVAILABLE = "unavailable"


class MailboxRefused(EkidenError):
    """The operation cannot be done, for a reason that the client may act on; nothing was changed."""

    def __init__(self, why: Why, because: str) -> None:
        self.why = why
        self.because = because
        super().__init__(f"{why.value}: {because}")


@dataclass(frozen=True, slots=True)
class Folder:
    """One name that LIST shows.

    id is None where the name exists only as the parent of others (not selectable). special_use: "\\\\Sent" … or None.
    """

    id: MailboxId | None
    name: str
    special_use: str | None
    subscribed: bool
    has_children: bool


@dataclass(frozen=True, slots=True)
class Status:
    """The numbers of STATUS (RFC 9051 §6.3.11); recent counts what no session has been told of (RFC 3501 §2.3.2)."""

    id: MailboxId
    messages: int
    unseen: int
    recent: int
    deleted: int
    size: int
    uid_validity: int
    uid_next: Uid
    modseq: ModSeq


@dataclass(slots=True)
class Snapshot:
    """What a session knows of its selected mailbox; the session changes it as it tells its client of news.

    uids: array("I"), ascending: the message with sequence number n has uids[n - 1].
    modseq: all changes up to it are known. recent_from: UIDs from this one on are \\Recent in this session.
    first_unseen: the lowest UID without \\Seen, or None. keywords: every keyword in use in the mailbox.
    """

    id: MailboxId
    account: AccountId
    name: str
    read_only: bool
    uids: array[int]
    uid_validity: int
    uid_next: Uid
    modseq: ModSeq
    recent_from: Uid
    unseen: int
    first_unseen: Uid | None
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class News:
    """What changed in a mailbox after a modseq (RFC 9051 §7.5.1, §7.4.1).

    expunged: UIDs that the session knew and that are gone, ascending. changed: known messages whose flags changed.
    new: messages with a UID ≥ the uid_next that the session knew. modseq, uid_next: what is known afterwards.
    keywords: every keyword in use now. gone: the mailbox itself was deleted.
    """

    expunged: tuple[Uid, ...]
    changed: tuple[Entry, ...]
    new: tuple[Entry, ...]
    modseq: ModSeq
    uid_next: Uid
    keywords: tuple[str, ...]
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """Outcome of store_flags. entries: every existing message named, as it is now. refused: UIDs changed after unchanged_since."""

    entries: tuple[Entry, ...]
    refused: tuple[Uid, ...]
    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class Copied:
    """Outcome of COPY, MOVE (the numbers of COPYUID, RFC 4315 §3); pairs: (UID here, UID there), ascending in both."""

    uid_validity: int
    pairs: tuple[tuple[Uid, Uid], ...]


@dataclass(frozen=True, slots=True)
class Appended:
    """Outcome of APPEND (the numbers of APPENDUID, RFC 4315 §3)."""

    uid_validity: int
    uids: tuple[Uid, ...]


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account uses; limit_bytes is None where it has no limit."""

    used_bytes: int
    used_messages: int
    limit_bytes: int | None


@dataclass(frozen=True, slots=True)
class MailboxLimits:
    """What one account may have (reliability.md §5.6)."""

    mailboxes: int = 10_000
    keywords: int = 256
    name_bytes: int = 1024
    levels: int = 50
    message_bytes: int = 50_000_000

"""All that IMAP, POP3 and the web do to mailboxes.

Every method is one transaction (or one read of one snapshot): it has happened completely and durably when it returns, or not
at all. Names of mailboxes are Unicode text with "/" between levels; INBOX is the same in any case. Errors that a person or a client
can act on are MailboxRefused with a Why; StoreError means that our disk failed and nothing was changed.
Source: RFC 9051 §6.3, §6.4, RFC 3501 §2.3, RFC 1939 §3.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ekiden.base.clock import Millis
from ekiden.base.errors import EkidenError
from ekiden.base.ids import AccountId, EnvelopeId, MailboxId, ModSeq, Uid
from ekiden.mail.address import Path

UidRanges = Sequence[tuple[int, int]]
"""UIDs as (first, last) pairs, both included, in any order; ranges_of() makes them from single UIDs."""


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
class Entry:
    """One message in one mailbox, without anything of its content: enough for FLAGS, INTERNALDATE, RFC822.SIZE, MODSEQ.

    flags: "\\\\Seen" … and keywords, never \\Recent. size: bytes of what a reader gets, with the lines that we put on top.
    """

    uid: Uid
    modseq: ModSeq
    flags: frozenset[str]
    internal_date: Millis
    size: int
    message: EnvelopeId


@dataclass(frozen=True, slots=True)
class Details:
    """An entry with what was computed at arrival.

    top: the lines above the stored content (Return-Path, Delivered-To, Received …); the reader's message is top + content.
    header_bytes: where the body begins in the content, so in the reader's message it is at len(top) + header_bytes.
    envelope, structure: wire bytes of ENVELOPE and BODYSTRUCTURE. parts: encoded offsets into the content (mail.mime.decode_parts).
    subject: decoded. sent_at: the Date field. message_id: without angle brackets.
    """

    entry: Entry
    top: bytes
    content_bytes: int
    header_bytes: int
    envelope: bytes
    structure: bytes
    parts: bytes
    message_id: str
    subject: str
    sent_at: Millis | None


class Content(Protocol):
    """The bytes of one message as its reader gets it: top + stored content. Offsets count from the first byte of top.

    details.entry.size == size. whole is the complete message where it lies in memory already (small messages), else None.
    """

    details: Details
    size: int

    @property
    def whole(self) -> bytes | None: ...

    async def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """At most length bytes from offset on; shorter at the end. Raises StoreError if the file is gone or damaged."""
        ...

    def chunks(self, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The same bytes in pieces of at most 256 KiB, read as they are taken."""
        ...


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


class FlagMode(Enum):
    """What STORE does with the flags it names (RFC 9051 §6.4.6)."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"


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


class Appending(Protocol):
    """One APPEND command under way: its content streamed, nothing visible before commit(). Always end with commit() or abort()."""

    async def write(self, data: bytes) -> None:
        """More bytes of the present message. Raises MailboxRefused(TOO_BIG, OVER_QUOTA), StoreError."""
        ...

    async def end_message(self, flags: Iterable[str] = (), internal_date: Millis | None = None) -> None:
        """The present message is complete; write() begins the next one (MULTIAPPEND)."""
        ...

    async def commit(self) -> Appended:
        """Puts all messages into the mailbox in one transaction; durable when it returns."""
        ...

    async def abort(self) -> None:
        """Forgets everything; may be called twice and after commit()."""
        ...


def ranges_of(uids: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending UIDs as few (first, last) ranges."""
    ranges: list[tuple[int, int]] = []
    first = last = 0
    for uid in uids:
        if last and uid == last + 1:
            last = uid
            continue
        if last:
            ranges.append((first, last))
        first = last = uid
    if last:
        ranges.append((first, last))
    return ranges


class Mailboxes:
    """The service; one object a process. Methods that name a folder take its Unicode name.

    Methods with a MailboxId act on an open mailbox: id comes from Snapshot.id or Status.id of the same account.
    """

    # ---- folders -------------------------------------------------------------------------------

    async def folders(self, account: AccountId) -> list[Folder]:
        """All names of the account, sorted, parents that do not exist themselves included."""
        raise NotImplementedError

    async def subscriptions(self, account: AccountId) -> list[str]:
        """Subscribed names, also of folders that no longer exist (RFC 3501 §6.3.9)."""
        raise NotImplementedError

    async def create(self, account: AccountId, name: str, *, special_use: str | None = None) -> MailboxId:
        """Make a folder and the parents it needs; one "/" at the end is allowed and ignored (RFC 9051 §6.3.4).

        Raises MailboxRefused: ALREADY_EXISTS, CANNOT (a bad name), LIMIT.
        """
        raise NotImplementedError

    async def delete(self, account: AccountId, name: str) -> None:
        """Delete a folder with its messages; children stay. Raises MailboxRefused: NONEXISTENT, CANNOT (INBOX)."""
        raise NotImplementedError

    async def rename(self, account: AccountId, old: str, new: str) -> None:
        """Rename a folder and its children; INBOX stays and its messages move (RFC 9051 §6.3.6).

        Raises MailboxRefused: NONEXISTENT, ALREADY_EXISTS, CANNOT (into itself, a bad name), LIMIT.
        """
        raise NotImplementedError

    async def subscribe(self, account: AccountId, name: str, *, wanted: bool = True) -> None:
        """Subscribe or unsubscribe. Raises MailboxRefused(NONEXISTENT) when subscribing to what does not exist."""
        raise NotImplementedError

    async def status(self, account: AccountId, name: str) -> Status:
        """The numbers of one folder. Raises MailboxRefused(NONEXISTENT)."""
        raise NotImplementedError

    async def quota(self, account: AccountId) -> Quota:
        """What the account uses of what it may use."""
        raise NotImplementedError

    # ---- an open mailbox -----------------------------------------------------------------------

    async def open(self, account: AccountId, name: str, *, read_only: bool = False) -> Snapshot:
        """Select a folder; unless read_only, what is recent becomes this session's own. Raises MailboxRefused(NONEXISTENT)."""
        raise NotImplementedError

    async def news(self, mailbox: MailboxId, since: ModSeq, uid_next: Uid) -> News:
        """What changed after since; uid_next: the lowest UID that the caller does not know yet."""
        raise NotImplementedError

    async def entries(self, mailbox: MailboxId, uids: UidRanges, *, changed_since: ModSeq = ModSeq(0)) -> list[Entry]:
        """The entries that exist in these ranges, ascending by UID."""
        raise NotImplementedError

    async def details(self, mailbox: MailboxId, uids: UidRanges) -> list[Details]:
        """Entries with what was computed at arrival, ascending by UID; at most some thousand at a time are wise."""
        raise NotImplementedError

    def contents(self, mailbox: MailboxId, uids: UidRanges) -> AsyncIterator[Content]:
        """Messages with their content, ascending by UID, read in batches of bounded size while the caller takes them."""
        raise NotImplementedError

    async def content(self, mailbox: MailboxId, uid: Uid) -> Content:
        """One message with its content. Raises MailboxRefused(EXPUNGE_ISSUED) if it is gone."""
        raise NotImplementedError

    def note_fetched(self, account: AccountId, entries: Iterable[Entry], *, protocol: str, client: str = "") -> None:
        """A client has got the content of these messages; the first time goes into each message's journey, a little later."""
        raise NotImplementedError

    async def store_flags(
        self,
        mailbox: MailboxId,
        uids: UidRanges,
        mode: FlagMode,
        flags: Iterable[str],
        *,
        unchanged_since: ModSeq | None = None,
    ) -> Stored:
        """Change flags; \\Recent is ignored. Raises MailboxRefused(LIMIT) for too many keywords."""
        raise NotImplementedError

    async def copy(self, mailbox: MailboxId, uids: UidRanges, target: str) -> Copied:
        """Copy to a folder of the same account, all or nothing, flags and dates kept.

        Raises MailboxRefused: TRY_CREATE (no such folder), OVER_QUOTA.
        """
        raise NotImplementedError

    async def move(self, mailbox: MailboxId, uids: UidRanges, target: str) -> Copied:
        """Move to a folder of the same account, all or nothing (RFC 6851 §3.1). Raises MailboxRefused(TRY_CREATE)."""
        raise NotImplementedError

    async def expunge(self, mailbox: MailboxId, uids: UidRanges | None = None) -> tuple[list[Uid], ModSeq]:
        """Remove what carries \\Deleted, of the given UIDs only if there are any given; the removed UIDs ascending, the new modseq."""
        raise NotImplementedError

    async def appending(self, account: AccountId, name: str, size: int | None = None) -> Appending:
        """Begin APPEND. size: what the client announced for the first message.

        Raises MailboxRefused: TRY_CREATE, TOO_BIG, OVER_QUOTA: all of it before a byte has been read.
        """
        raise NotImplementedError

    # ---- waiting, POP3, addresses --------------------------------------------------------------

    async def wait_for_news(self, account: AccountId, timeout_s: float) -> bool:
        """Return True soon after something of the account may have changed, False after timeout_s. A hint: call news() then."""
        raise NotImplementedError

    async def lock_maildrop(self, account: AccountId, owner: str) -> bool:
        """Take POP3's exclusive lock (RFC 1939 §3) for ten minutes or renew it; False if another owner has it."""
        raise NotImplementedError

    async def unlock_maildrop(self, account: AccountId, owner: str) -> None:
        """Give POP3's lock back."""
        raise NotImplementedError

    async def remove(self, mailbox: MailboxId, uids: UidRanges) -> list[Uid]:
        """Remove messages whatever their flags, as POP3's QUIT does; the removed UIDs ascending."""
        raise NotImplementedError

    async def addresses(self, account: AccountId) -> list[Path]:
        """The addresses that the account may send from, the first one it was made with first."""
        raise NotImplementedError

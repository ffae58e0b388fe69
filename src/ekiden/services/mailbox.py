"""All that IMAP, POP3 and the web do to mailboxes.

Every method is one transaction (or one read of one snapshot): it has happened completely and durably when it returns, or not
at all. Names of mailboxes are Unicode text with "/" between levels; INBOX is the same in any case. Errors that a person or a client
can act on are MailboxRefused with a Why; StoreError means that our disk failed and nothing was changed.
Source: RFC 9051 §6.3, §6.4, RFC 3501 §2.3, RFC 1939 §3.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from ekiden.base.clock import Clock, Millis
from ekiden.base.errors import EkidenError
from ekiden.base.ids import AccountId, IdMaker, MailboxId, ModSeq, Uid
from ekiden.mail import journey
from ekiden.mail.address import Path, parse_mailbox
from ekiden.services.content import Content, Details, Entry, content_of, details_of, entry_of
from ekiden.services.deposit import Analysis, analyse, new_message
from ekiden.services.intake import INLINE_BYTES, Intake, Intakes
from ekiden.services.intake import Stored as StoredContent
from ekiden.store import accounts, counters, journeys, mailboxes, messages
from ekiden.store import flags as flag_columns
from ekiden.store.blob import BlobStore
from ekiden.store.changes import Changes
from ekiden.store.columns import integer, string
from ekiden.store.database import Conflict, Database, Tx

__all__ = [
    "Appended", "Appending", "Content", "Copied", "Details", "Entry", "FlagMode", "Folder", "MailboxRefused", "Mailboxes", "News",
    "Quota", "Snapshot", "Status", "Stored", "UidRanges", "Why", "ranges_of",
]  # fmt: skip

_LOCK_S = 600
_BATCH = 64
_LAST_UID = 2**32 - 1

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


@dataclass(frozen=True, slots=True)
class MailboxLimits:
    """What one account may have (reliability.md §5.6)."""

    mailboxes: int = 10_000
    keywords: int = 256
    name_bytes: int = 1024
    levels: int = 50
    message_bytes: int = 50_000_000


class Mailboxes:
    """The service; one object a process. Methods that name a folder take its Unicode name.

    Methods with a MailboxId act on an open mailbox: id comes from Snapshot.id or Status.id of the same account.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        changes: Changes,
        clock: Clock,
        ids: IdMaker,
        limits: MailboxLimits | None = None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._changes = changes
        self._clock = clock
        self._ids = ids
        self._limits = limits or MailboxLimits()

    # ---- folders -------------------------------------------------------------------------------

    async def folders(self, account: AccountId) -> list[Folder]:
        """All names of the account, sorted, parents that do not exist themselves included."""
        found = await self._database.read(lambda tx: mailboxes.of_account(tx, account))
        subscribed = {mailboxes.name_key(name) for name in await self.subscriptions(account)}
        names = {mailboxes.name_key(each.name): each for each in found}
        parents = {key[:at] for key in names for at in _slashes(key)}
        made = []
        for key in sorted(names.keys() | parents, key=lambda key: (key != "INBOX", key)):
            mailbox = names.get(key)
            special = mailbox.special_use if mailbox is not None else None
            name = mailbox.name if mailbox is not None else key
            made.append(Folder(mailbox.id if mailbox is not None else None, name, special, key in subscribed, key in parents))
        return made

    async def subscriptions(self, account: AccountId) -> list[str]:
        """Subscribed names, also of folders that no longer exist (RFC 3501 §6.3.9)."""
        return await self._database.read(lambda tx: mailboxes.subscriptions(tx, account))

    async def create(self, account: AccountId, name: str, *, special_use: str | None = None) -> MailboxId:
        """Make a folder and the parents it needs; one "/" at the end is allowed and ignored (RFC 9051 §6.3.4).

        Raises MailboxRefused: ALREADY_EXISTS, CANNOT (a bad name), LIMIT.
        """
        wanted = self._good_name(name.removesuffix("/"))

        def work(tx: Tx) -> MailboxId:
            if mailboxes.named(tx, account, wanted) is not None:
                raise MailboxRefused(Why.ALREADY_EXISTS, f"{wanted} exists")
            self._room_for(tx, account)
            return self._make(tx, account, wanted, special_use)

        made = await self._database.write(work)
        self._changes.poke(account)
        return made

    async def delete(self, account: AccountId, name: str) -> None:
        """Delete a folder with its messages; children stay. Raises MailboxRefused: NONEXISTENT, CANNOT (INBOX)."""
        if mailboxes.name_key(name) == "INBOX":
            raise MailboxRefused(Why.CANNOT, "INBOX cannot be deleted")

        def work(tx: Tx) -> None:
            mailboxes.remove(tx, _existing(tx, account, name).id)

        await self._database.write(work)
        self._changes.poke(account)

    async def rename(self, account: AccountId, old: str, new: str) -> None:
        """Rename a folder and its children; INBOX stays and its messages move (RFC 9051 §6.3.6).

        Raises MailboxRefused: NONEXISTENT, ALREADY_EXISTS, CANNOT (into itself, a bad name), LIMIT.
        """
        wanted = self._good_name(new.removesuffix("/"))

        def work(tx: Tx) -> None:
            self._rename(tx, account, old.removesuffix("/"), wanted)

        await self._database.write(work)
        self._changes.poke(account)

    async def subscribe(self, account: AccountId, name: str, *, wanted: bool = True) -> None:
        """Subscribe or unsubscribe. Raises MailboxRefused(NONEXISTENT) when subscribing to what does not exist."""

        def work(tx: Tx) -> None:
            if wanted:
                mailboxes.subscribe(tx, account, _existing(tx, account, name).name)
            else:
                mailboxes.unsubscribe(tx, account, name)

        await self._database.write(work)

    async def status(self, account: AccountId, name: str) -> Status:
        """The numbers of one folder. Raises MailboxRefused(NONEXISTENT)."""

        def work(tx: Tx) -> Status:
            m = _existing(tx, account, name)
            recent = tx.one("entry_count_between", mailbox=m.id, first=m.recent_from, last=_LAST_UID)
            deleted = len(tx.all("entries_deleted", mailbox=m.id))
            return Status(m.id, m.messages, m.unseen, integer(recent, 0), deleted, m.bytes, m.uid_validity, m.uid_next, m.modseq)

        return await self._database.read(work)

    async def quota(self, account: AccountId) -> Quota:
        """What the account uses of what it may use."""
        return await self._database.read(lambda tx: _quota(tx, account))

    # ---- an open mailbox -----------------------------------------------------------------------

    async def open(self, account: AccountId, name: str, *, read_only: bool = False) -> Snapshot:
        """Select a folder; unless read_only, what is recent becomes this session's own. Raises MailboxRefused(NONEXISTENT)."""

        def work(tx: Tx) -> Snapshot:
            m = _existing(tx, account, name)
            uids = array("I", (integer(row, 0) for row in tx.all("entry_uids", mailbox=m.id)))
            first = tx.one("entry_first_unseen", mailbox=m.id, first=m.unseen_from) if m.unseen else None
            return Snapshot(
                id=m.id,
                account=account,
                name=m.name,
                read_only=read_only,
                uids=uids,
                uid_validity=m.uid_validity,
                uid_next=m.uid_next,
                modseq=m.modseq,
                recent_from=m.recent_from,
                unseen=m.unseen,
                first_unseen=Uid(integer(first, 0)) if first is not None else None,
                keywords=mailboxes.keywords(tx, m.id),
            )

        snapshot = await self._database.read(work)
        if not read_only and snapshot.recent_from < snapshot.uid_next:
            await self._database.write(lambda tx: tx.run("mailbox_recent", id=snapshot.id))
        return snapshot

    async def news(self, mailbox: MailboxId, since: ModSeq, uid_next: Uid) -> News:
        """What changed after since; uid_next: the lowest UID that the caller does not know yet."""

        def work(tx: Tx) -> News:
            m = mailboxes.by_id(tx, mailbox)
            if m is None:
                return News((), (), (), since, uid_next, (), gone=True)
            if m.modseq == since and m.uid_next == uid_next:
                return News((), (), (), since, uid_next, ())
            expunged = tuple(Uid(integer(row, 0)) for row in tx.all("expunged_since", mailbox=mailbox, since=since, uid_next=uid_next))
            changed = tuple(entry_of(row) for row in tx.all("entries_changed", mailbox=mailbox, since=since, uid_next=uid_next))
            new = tuple(entry_of(row) for row in tx.all("entries_between", mailbox=mailbox, first=uid_next, last=_LAST_UID))
            return News(expunged, changed, new, m.modseq, m.uid_next, mailboxes.keywords(tx, mailbox))

        return await self._database.read(work)

    async def entries(self, mailbox: MailboxId, uids: UidRanges, *, changed_since: int = 0) -> list[Entry]:
        """The entries that exist in these ranges, ascending by UID."""

        def work(tx: Tx) -> list[Entry]:
            found = [
                entry_of(row) for first, last in _merged(uids) for row in tx.all("entries_between", mailbox=mailbox, first=first, last=last)
            ]
            return [each for each in found if each.modseq > changed_since]

        return await self._database.read(work)

    async def details(self, mailbox: MailboxId, uids: UidRanges) -> list[Details]:
        """Entries with what was computed at arrival, ascending by UID; at most some thousand at a time are wise."""
        return await self._database.read(
            lambda tx: [
                details_of(row)
                for first, last in _merged(uids)
                for row in tx.all("details_between", mailbox=mailbox, first=first, last=last)
            ]
        )

    async def contents(self, mailbox: MailboxId, uids: UidRanges) -> AsyncIterator[Content]:
        """Messages with their content, ascending by UID, read in batches of bounded size while the caller takes them."""
        for first, last in _merged(uids):
            at = first
            while at <= last:
                batch = await self._database.read(lambda tx, at=at, last=last: self._contents(tx, mailbox, at, last, _BATCH))  # type: ignore[misc]  # default arguments bind the loop's values
                for content in batch:
                    yield content
                if len(batch) < _BATCH:
                    break
                at = batch[-1].details.entry.uid + 1

    async def content(self, mailbox: MailboxId, uid: Uid) -> Content:
        """One message with its content. Raises MailboxRefused(EXPUNGE_ISSUED) if it is gone."""
        found = await self._database.read(lambda tx: self._contents(tx, mailbox, uid, uid, 1))
        if not found:
            raise MailboxRefused(Why.EXPUNGE_ISSUED, f"message {uid} is gone")
        return found[0]

    def note_fetched(self, account: AccountId, entries: Iterable[Entry], *, mailbox: MailboxId, protocol: str, client: str = "") -> None:
        """A client has got the content of these messages; the first time goes into each message's journey, a little later."""
        noted = [(entry.uid, entry.message) for entry in entries]
        now = self._clock.now()

        def work(tx: Tx) -> None:
            name = ""
            for uid, message in noted:
                if tx.run("entry_fetched", mailbox=mailbox, uid=uid):
                    name = name or next((each.name for each in accounts.list_accounts(tx) if each.id == account), "")
                    journeys.add_steps(tx, message, [journey.Fetched(now, name, protocol, client)])

        if noted:
            self._database.later(work)

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
        bits, keywords = flag_columns.split(flags)

        def work(tx: Tx) -> tuple[Stored, AccountId | None]:
            m = mailboxes.by_id(tx, mailbox)
            if m is None:
                return Stored((), (), ModSeq(0)), None
            known = {name.lower(): name for name in mailboxes.keywords(tx, mailbox)}
            if mode is not FlagMode.REMOVE:
                self._new_keywords(tx, mailbox, known, keywords)
            return _change_flags(tx, m, uids, mode, bits, frozenset(known.get(k.lower(), k) for k in keywords), unchanged_since), m.account

        stored, account = await self._database.write(work)
        if account is not None and stored.entries:
            self._changes.poke(account)
        return stored

    async def copy(self, mailbox: MailboxId, uids: UidRanges, target: str) -> Copied:
        """Copy to a folder of the same account, all or nothing, flags and dates kept.

        Raises MailboxRefused: TRY_CREATE (no such folder), OVER_QUOTA.
        """
        return await self._transfer(mailbox, uids, target, move=False)

    async def move(self, mailbox: MailboxId, uids: UidRanges, target: str) -> Copied:
        """Move to a folder of the same account, all or nothing (RFC 6851 §3.1). Raises MailboxRefused(TRY_CREATE)."""
        return await self._transfer(mailbox, uids, target, move=True)

    async def expunge(self, mailbox: MailboxId, uids: UidRanges | None = None) -> tuple[list[Uid], ModSeq]:
        """Remove what carries \\Deleted, of the given UIDs only if there are any given; the removed UIDs ascending, the new modseq."""

        def work(tx: Tx) -> tuple[list[Uid], ModSeq, AccountId | None]:
            m = mailboxes.by_id(tx, mailbox)
            if m is None:
                return [], ModSeq(0), None
            gone = [Uid(integer(row, 0)) for row in tx.all("entries_deleted", mailbox=mailbox)]
            if uids is not None:
                gone = [uid for uid in gone if any(first <= uid <= last for first, last in _merged(uids))]
            return gone, _remove(tx, m, gone), m.account

        gone, modseq, account = await self._database.write(work)
        if account is not None and gone:
            self._changes.poke(account)
        return gone, modseq

    async def appending(self, account: AccountId, name: str, size: int | None = None) -> Appending:
        """Begin APPEND. size: what the client announced for the first message.

        Raises MailboxRefused: TRY_CREATE, TOO_BIG, OVER_QUOTA: all of it before a byte has been read.
        """

        def work(tx: Tx) -> mailboxes.Mailbox:
            found = mailboxes.named(tx, account, name)
            if found is None:
                raise MailboxRefused(Why.TRY_CREATE, f"{name} does not exist")
            _room_in_quota(tx, account, size or 0)
            return found

        if size is not None and size > self._limits.message_bytes:
            raise MailboxRefused(Why.TOO_BIG, f"at most {self._limits.message_bytes} bytes")
        target = await self._database.read(work)
        return Appending(self._database, self._changes, self._clock, self._ids, Intakes(self._blobs), target, self._limits)

    # ---- waiting, POP3, addresses --------------------------------------------------------------

    async def wait_for_news(self, account: AccountId, timeout_s: float) -> bool:
        """Return True soon after something of the account may have changed, False after timeout_s. A hint: call news() then."""
        return await self._changes.wait(account, timeout_s)

    async def lock_maildrop(self, account: AccountId, owner: str) -> bool:
        """Take POP3's exclusive lock (RFC 1939 §3) for ten minutes or renew it; False if another owner has it."""
        now = self._clock.now()
        return await self._database.write(
            lambda tx: counters.take_lease(tx, f"maildrop:{account}", owner, now, Millis(now + _LOCK_S * 1000))
        )

    async def unlock_maildrop(self, account: AccountId, owner: str) -> None:
        """Give POP3's lock back."""
        await self._database.write(lambda tx: counters.drop_lease(tx, f"maildrop:{account}", owner))

    async def remove(self, mailbox: MailboxId, uids: UidRanges) -> list[Uid]:
        """Remove messages whatever their flags, as POP3's QUIT does; the removed UIDs ascending."""

        def work(tx: Tx) -> tuple[list[Uid], AccountId | None]:
            m = mailboxes.by_id(tx, mailbox)
            if m is None:
                return [], None
            gone = [
                Uid(integer(row, 0))
                for first, last in _merged(uids)
                for row in tx.all("entries_between", mailbox=mailbox, first=first, last=last)
            ]
            _remove(tx, m, gone)
            return gone, m.account

        gone, account = await self._database.write(work)
        if account is not None and gone:
            self._changes.poke(account)
        return gone

    async def addresses(self, account: AccountId) -> list[Path]:
        """The addresses that the account may send from, the first one it was made with first."""
        return [parse_mailbox(each) for each in await self._database.read(lambda tx: accounts.addresses_of(tx, account))]

    # ---- inside ----------------------------------------------------------------------------------

    def _good_name(self, name: str) -> str:
        """A name that a folder may have. Raises MailboxRefused(CANNOT)."""
        levels = name.split("/")
        bad = len(name.encode()) > self._limits.name_bytes or len(levels) > self._limits.levels
        bad = bad or any(not level or level in (".", "..") or level[0] in "~#" for level in levels)
        if bad or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 or c in "*%" for c in name):
            raise MailboxRefused(Why.CANNOT, "a folder cannot have this name")
        return name

    def _room_for(self, tx: Tx, account: AccountId) -> None:
        if integer(tx.one("mailbox_count", account=account), 0) >= self._limits.mailboxes:
            raise MailboxRefused(Why.LIMIT, f"at most {self._limits.mailboxes} folders")

    def _make(self, tx: Tx, account: AccountId, name: str, special_use: str | None = None) -> MailboxId:
        for at in _slashes(name):
            if mailboxes.named(tx, account, name[:at]) is None:
                mailboxes.create(tx, account, name[:at], now=self._clock.now())
        return mailboxes.create(tx, account, name, now=self._clock.now(), special_use=special_use)

    def _rename(self, tx: Tx, account: AccountId, old: str, new: str) -> None:
        found = _existing(tx, account, old)
        key, wanted = mailboxes.name_key(old), mailboxes.name_key(new)
        if wanted == key or wanted.startswith(key + "/") or wanted == "INBOX":
            raise MailboxRefused(Why.CANNOT if wanted != key else Why.ALREADY_EXISTS, "a folder cannot be moved there")
        if mailboxes.named(tx, account, new) is not None:
            raise MailboxRefused(Why.ALREADY_EXISTS, f"{new} exists")
        if key == "INBOX":
            target = self._make(tx, account, new)
            _transfer(tx, found, target, [(1, _LAST_UID)], move=True)
            return
        for at in _slashes(new):
            if mailboxes.named(tx, account, new[:at]) is None:
                mailboxes.create(tx, account, new[:at], now=self._clock.now())
        for mailbox in mailboxes.of_account(tx, account):
            under = mailboxes.name_key(mailbox.name)
            if under == key or under.startswith(key + "/"):
                try:
                    mailboxes.rename(tx, mailbox.id, self._good_name(new + mailbox.name[len(found.name) :]))
                except Conflict as error:
                    raise MailboxRefused(Why.ALREADY_EXISTS, "a folder of that name exists") from error

    def _contents(self, tx: Tx, mailbox: MailboxId, first: int, last: int, count: int) -> list[Content]:
        return [content_of(row, self._blobs) for row in tx.all("contents_between", mailbox=mailbox, first=first, last=last, count=count)]

    def _new_keywords(self, tx: Tx, mailbox: MailboxId, known: dict[str, str], keywords: Iterable[str]) -> None:
        for keyword in keywords:
            if keyword.lower() not in known:
                if len(known) >= self._limits.keywords:
                    raise MailboxRefused(Why.LIMIT, f"at most {self._limits.keywords} keywords")
                tx.run("keyword_insert", mailbox=mailbox, key=keyword.lower(), name=keyword)
                known[keyword.lower()] = keyword

    async def _transfer(self, mailbox: MailboxId, uids: UidRanges, target: str, *, move: bool) -> Copied:
        def work(tx: Tx) -> tuple[Copied, AccountId]:
            m = mailboxes.by_id(tx, mailbox)
            if m is None:
                raise MailboxRefused(Why.NONEXISTENT, "the folder is gone")
            there = mailboxes.named(tx, m.account, target)
            if there is None:
                raise MailboxRefused(Why.TRY_CREATE, f"{target} does not exist")
            if not move:
                sizes = [integer(tx.one("entry_count_between", mailbox=mailbox, first=a, last=b), 1) for a, b in _merged(uids)]
                _room_in_quota(tx, m.account, sum(sizes))
            return Copied(there.uid_validity, _transfer(tx, m, there.id, uids, move=move)), m.account

        copied, account = await self._database.write(work)
        if copied.pairs:
            self._changes.poke(account)
        return copied


class Appending:
    """One APPEND command under way: its content streamed, nothing visible before commit(). Always end with commit() or abort()."""

    def __init__(
        self,
        database: Database,
        changes: Changes,
        clock: Clock,
        ids: IdMaker,
        intakes: Intakes,
        target: mailboxes.Mailbox,
        limits: MailboxLimits,
    ) -> None:
        self._database = database
        self._changes = changes
        self._clock = clock
        self._ids = ids
        self._intakes = intakes
        self._target = target
        self._limits = limits
        self._present: Intake | None = None
        self._size = 0
        self._ended: list[tuple[messages.NewMessage, tuple[str, ...], Millis, Intake]] = []

    async def write(self, data: bytes) -> None:
        """More bytes of the present message. Raises MailboxRefused(TOO_BIG, OVER_QUOTA), StoreError."""
        if self._present is None:
            self._present = self._intakes.begin()
            self._size = 0
        self._size += len(data)
        if self._size > self._limits.message_bytes:
            raise MailboxRefused(Why.TOO_BIG, f"at most {self._limits.message_bytes} bytes")
        await self._present.add(data)

    async def end_message(self, flags: Iterable[str] = (), internal_date: Millis | None = None) -> None:
        """The present message is complete; write() begins the next one (MULTIAPPEND)."""
        intake = self._present or self._intakes.begin()
        self._present = None
        raw = await intake.read_back()
        analysis = analyse(raw) if len(raw) <= INLINE_BYTES else await _in_thread(raw)
        content: StoredContent = await intake.finish()
        now = self._clock.now()
        message = new_message(self._ids.envelope_id(), analysis, content.blob, content.inline, sender=None, prefix=b"", received_at=now)
        self._ended.append((message, tuple(flags), internal_date if internal_date is not None else now, intake))

    async def commit(self) -> Appended:
        """Puts all messages into the mailbox in one transaction; durable when it returns. Raises MailboxRefused, StoreError."""

        def work(tx: Tx) -> Appended:
            m = mailboxes.by_id(tx, self._target.id)
            if m is None:
                raise MailboxRefused(Why.TRY_CREATE, "the folder is gone")
            _room_in_quota(tx, m.account, sum(message.blob.size for message, _, _, _ in self._ended))
            known = {name.lower() for name in mailboxes.keywords(tx, m.id)}
            wanted = {flag.lower() for _, flags, _, _ in self._ended for flag in flags if not flag.startswith("\\")}
            if len(known | wanted) > self._limits.keywords:
                raise MailboxRefused(Why.LIMIT, f"at most {self._limits.keywords} keywords")
            uids = []
            for message, flags, date, _ in self._ended:
                messages.insert(tx, message)
                uid, _ = messages.deposit(tx, m.id, message.id, internal_date=date, size=message.blob.size, flags=flags)
                uids.append(uid)
            return Appended(m.uid_validity, tuple(uids))

        appended = await self._database.write(work)
        for _, _, _, intake in self._ended:
            intake.kept()
        await self.abort()
        self._changes.poke(self._target.account)
        return appended

    async def abort(self) -> None:
        """Forgets everything; may be called twice and after commit()."""
        ended, self._ended = self._ended, []
        for _, _, _, intake in ended:
            await intake.discard()
        if self._present is not None:
            await self._present.discard()
            self._present = None


async def _in_thread(raw: bytes) -> Analysis:
    return await asyncio.to_thread(analyse, raw)


def _slashes(name: str) -> list[int]:
    """Where the parents of a name end."""
    return [at for at, character in enumerate(name) if character == "/"]


def _merged(uids: UidRanges) -> list[tuple[int, int]]:
    """Ranges in ascending order, without overlap."""
    made: list[tuple[int, int]] = []
    for first, last in sorted(uids):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(last, made[-1][1]))
        else:
            made.append((first, last))
    return made


def _existing(tx: Tx, account: AccountId, name: str) -> mailboxes.Mailbox:
    found = mailboxes.named(tx, account, name)
    if found is None:
        raise MailboxRefused(Why.NONEXISTENT, f"{name} does not exist")
    return found


def _quota(tx: Tx, account: AccountId) -> Quota:
    found = mailboxes.of_account(tx, account)
    limit = next((each.quota_bytes for each in accounts.list_accounts(tx) if each.id == account), None)
    return Quota(sum(each.bytes for each in found), sum(each.messages for each in found), limit)


def _room_in_quota(tx: Tx, account: AccountId, wanted: int) -> None:
    quota = _quota(tx, account)
    if quota.limit_bytes is not None and quota.used_bytes + wanted > quota.limit_bytes:
        raise MailboxRefused(Why.OVER_QUOTA, "the account is over its quota")


def _change_flags(
    tx: Tx,
    m: mailboxes.Mailbox,
    uids: UidRanges,
    mode: FlagMode,
    bits: int,
    keywords: frozenset[str],
    unchanged_since: ModSeq | None,
) -> Stored:
    changes: list[tuple[int, int, str]] = []
    refused: list[Uid] = []
    unseen = 0
    lowest_unseen = _LAST_UID
    for first, last in _merged(uids):
        for row in tx.all("entries_between", mailbox=m.id, first=first, last=last):
            uid, old_bits, old_words = integer(row, 0), integer(row, 2), string(row, 3)
            if unchanged_since is not None and integer(row, 1) > unchanged_since:
                refused.append(Uid(uid))
                continue
            old = frozenset(old_words.split(" ")) if old_words else frozenset()
            if mode is FlagMode.REPLACE:
                new_bits, new = bits, keywords
            elif mode is FlagMode.ADD:
                new_bits, new = old_bits | bits, old | keywords
            else:
                gone = {keyword.lower() for keyword in keywords}
                new_bits, new = old_bits & ~bits, frozenset(keyword for keyword in old if keyword.lower() not in gone)
            words = " ".join(sorted(new))
            if (new_bits, words) != (old_bits, old_words):
                changes.append((uid, new_bits, words))
                unseen += (old_bits & flag_columns.SEEN) - (new_bits & flag_columns.SEEN)
                if not new_bits & flag_columns.SEEN:
                    lowest_unseen = min(lowest_unseen, uid)
    modseq = m.modseq
    if changes:
        row = tx.one("mailbox_touch", id=m.id, messages=0, unseen=unseen, bytes=0, seen_again=lowest_unseen)
        modseq = ModSeq(integer(row, 0))
        for uid, new_bits, words in changes:
            tx.run("entry_flags", mailbox=m.id, uid=uid, flags=new_bits, keywords=words, modseq=modseq)
    kept = [entry_of(row) for first, last in _merged(uids) for row in tx.all("entries_between", mailbox=m.id, first=first, last=last)]
    without = set(refused)
    return Stored(tuple(each for each in kept if each.uid not in without), tuple(refused), modseq)


def _remove(tx: Tx, m: mailboxes.Mailbox, uids: Sequence[int]) -> ModSeq:
    """Delete entries, remember that they are gone, and set the counts right."""
    if not uids:
        return m.modseq
    messages_gone = unseen = size = 0
    for uid in uids:
        row = tx.one("entry_delete", mailbox=m.id, uid=uid)
        if row is not None:
            messages_gone += 1
            unseen += 0 if integer(row, 0) & flag_columns.SEEN else 1
            size += integer(row, 1)
    touched = tx.one("mailbox_touch", id=m.id, messages=-messages_gone, unseen=-unseen, bytes=-size, seen_again=_LAST_UID)
    modseq = integer(touched, 0)
    for uid in uids:
        tx.run("expunged_insert", mailbox=m.id, modseq=modseq, uid=uid)
    return ModSeq(modseq)


def _transfer(tx: Tx, m: mailboxes.Mailbox, target: MailboxId, uids: UidRanges, *, move: bool) -> tuple[tuple[Uid, Uid], ...]:
    """Copies in another mailbox, in the order of UIDs; the originals go if it is a move."""
    pairs: list[tuple[Uid, Uid]] = []
    for first, last in _merged(uids):
        for row in tx.all("entries_between", mailbox=m.id, first=first, last=last):
            entry = entry_of(row)
            kept = tx.one("entry_copy", mailbox=m.id, uid=entry.uid)
            uid, _ = messages.deposit(
                tx,
                target,
                entry.message,
                internal_date=entry.internal_date,
                size=entry.size,
                delivered_to=string(kept, 5),
                flags=entry.flags,
            )
            pairs.append((entry.uid, uid))
    if move:
        _remove(tx, m, [old for old, _ in pairs])
    return tuple(pairs)

"""All that IMAP, POP3 and the web do to mailboxes.

Every method is one transaction (or one read of one snapshot): it has happened completely and durably when it returns, or not
at all. Names of mailboxes are Unicode text with "/" between levels; INBOX is the same in any case. Errors that a person or a client
can act on are MailboxRefused with a Why; StoreError means that our disk failed and nothing was changed.
Source: RFC 9051 §6.3, §6.4, RFC 3501 §2.3, RFC 1939 §3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from ekiden.base import failpoints
from ekiden.base.clock import Clock, Millis
from ekiden.base.errors import StoreError
from ekiden.base.ids import AccountId, EnvelopeId, IdMaker, MailboxId, ModSeq, Uid, id_text
from ekiden.mail import journey
from ekiden.mail.address import Path, parse_mailbox
from ekiden.policy.stage import Log
from ekiden.services.append import Appending
from ekiden.services.content import Content, Details, Entry, content_of, details_of, entry_of
from ekiden.services.intake import Intakes
from ekiden.services.mailbox_values import (
    Appended,
    Copied,
    Folder,
    MailboxLimits,
    MailboxRefused,
    News,
    Quota,
    Snapshot,
    Status,
    Stored,
    Why,
)
from ekiden.services.quota import quota_of, room_in_quota
from ekiden.services.space import Space
from ekiden.services.teaching import flagged, transferred
from ekiden.store import accounts, counters, damage, entries, journeys, mailboxes
from ekiden.store import flags as flag_columns
from ekiden.store.blob import BlobStore
from ekiden.store.changes import LESSONS, Changes
from ekiden.store.columns import integer
from ekiden.store.database import Conflict, Database, Tx
from ekiden.store.entries import LAST_UID, FlagMode, UidRanges, merged, ranges_of

__all__ = [
    "Appended", "Appending", "Content", "Copied", "Details", "Entry", "FlagMode", "Folder", "MailboxLimits", "MailboxRefused",
    "Mailboxes", "News", "Quota", "Snapshot", "Status", "Stored", "UidRanges", "Why", "ranges_of",
]  # fmt: skip

_LOCK_S = 600
_BATCH = 64
_NOTED = 100_000


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
        *,
        space: Space | None = None,
        log: Log = lambda event, **fields: None,
        intakes: Intakes | None = None,
    ) -> None:
        self._intakes = intakes if intakes is not None else Intakes(blobs)
        self._database = database
        self._blobs = blobs
        self._changes = changes
        self._clock = clock
        self._ids = ids
        self._limits = limits or MailboxLimits()
        self._space = space
        self._log = log
        self._noted: set[tuple[MailboxId, Uid]] = set()  # fetches that this process need not note again

    # ---- folders -------------------------------------------------------------------------------

    async def folders(self, account: AccountId) -> list[Folder]:
        """All names of the account, sorted, parents that do not exist themselves included."""
        found, wanted = await self._database.read(lambda tx: (mailboxes.of_account(tx, account), mailboxes.subscriptions(tx, account)))
        subscribed = {mailboxes.name_key(name) for name in wanted}
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
            recent = tx.one("entry_count_between", mailbox=m.id, first=m.recent_from, last=LAST_UID)
            deleted = entries.count_deleted(tx, m.id)
            return Status(m.id, m.messages, m.unseen, integer(recent, 0), deleted, m.bytes, m.uid_validity, m.uid_next, m.modseq)

        return await self._database.read(work)

    async def quota(self, account: AccountId) -> Quota:
        """What the account uses of what it may use."""
        return await self._database.read(lambda tx: quota_of(tx, account))

    # ---- an open mailbox -----------------------------------------------------------------------

    async def open(self, account: AccountId, name: str, *, read_only: bool = False) -> Snapshot:
        """Select a folder; unless read_only, what is recent becomes this session's own. Raises MailboxRefused(NONEXISTENT)."""

        def work(tx: Tx) -> Snapshot:
            m = _existing(tx, account, name)
            first = tx.one("entry_first_unseen", mailbox=m.id, first=m.unseen_from) if m.unseen else None
            return Snapshot(
                id=m.id,
                account=account,
                name=m.name,
                read_only=read_only,
                uids=entries.all_uids(tx, m.id),
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
            with suppress(StoreError):  # then it stays recent; nobody is kept from reading by a disk that takes no writing
                await self.recent_shown(snapshot.id)
        return snapshot

    async def recent_shown(self, mailbox: MailboxId) -> None:
        """All that is recent now has been told to a session that selected the mailbox for writing (RFC 3501 §2.3.2)."""
        await self._database.write(lambda tx: tx.run("mailbox_recent", id=mailbox))

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
            new = tuple(entry_of(row) for row in tx.all("entries_between", mailbox=mailbox, first=uid_next, last=LAST_UID))
            return News(expunged, changed, new, m.modseq, m.uid_next, mailboxes.keywords(tx, mailbox))

        return await self._database.read(work)

    async def entries(self, mailbox: MailboxId, uids: UidRanges, *, changed_since: int = 0) -> list[Entry]:
        """The entries that exist in these ranges, ascending by UID."""

        def work(tx: Tx) -> list[Entry]:
            return [each for each in _entries(tx, mailbox, uids) if each.modseq > changed_since]

        return await self._database.read(work)

    async def details(self, mailbox: MailboxId, uids: UidRanges) -> list[Details]:
        """Entries with what was computed at arrival, ascending by UID; at most some thousand at a time are wise."""
        return await self._database.read(
            lambda tx: [
                details_of(row)
                for first, last in merged(uids)
                for row in tx.all("details_between", mailbox=mailbox, first=first, last=last)
            ]
        )

    async def contents(self, mailbox: MailboxId, uids: UidRanges) -> AsyncIterator[Content]:
        """Messages with their content, ascending by UID, read in batches of bounded size while the caller takes them."""
        for first, last in merged(uids):
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
        noted = [(entry.uid, entry.message) for entry in entries if (mailbox, entry.uid) not in self._noted]
        if len(self._noted) > _NOTED:
            self._noted.clear()
        self._noted.update((mailbox, uid) for uid, _ in noted)
        now = self._clock.now()

        def work(tx: Tx) -> None:
            name = ""
            for uid, message in noted:
                if tx.run("entry_fetched", mailbox=mailbox, uid=uid):
                    owner = accounts.account_by_id(tx, account) if not name else None
                    name = owner.name if owner is not None else name
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

        def work(tx: Tx) -> tuple[Stored, AccountId | None, bool]:
            m = mailboxes.by_id(tx, mailbox)
            if m is None:
                return Stored((), (), ModSeq(0)), None, False
            known = {name.lower(): name for name in mailboxes.keywords(tx, mailbox)}
            if mode is not FlagMode.REMOVE:
                self._new_keywords(tx, mailbox, known, keywords)
            refused = [] if unchanged_since is None else _changed_since(tx, mailbox, uids, unchanged_since)
            spelled = frozenset(known.get(keyword.lower(), keyword) for keyword in keywords)
            modseq = entries.store_flags(tx, m, uids, mode, bits, spelled, unchanged_since)
            left = frozenset(refused)
            now = [entry for entry in _entries(tx, mailbox, uids) if entry.uid not in left]
            return Stored(tuple(now), tuple(refused), modseq), m.account, flagged(tx, m, uids, mode, keywords)

        stored, account, is_lesson = await self._database.write(work)
        if account is not None and stored.entries:
            self._changes.poke(account)
        if is_lesson:
            self._changes.poke(LESSONS)
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
            gone = entries.deleted_in(tx, mailbox, uids)
            return gone, entries.remove(tx, m, gone), m.account

        gone, modseq, account = await self._database.write(work)
        if account is not None and gone:
            self._changes.poke(account)
        return gone, modseq

    async def appending(self, account: AccountId, name: str, size: int | None = None) -> Appending:
        """Begin APPEND. size: what the client announced for the first message.

        Raises MailboxRefused: UNAVAILABLE, TRY_CREATE, TOO_BIG, OVER_QUOTA: all of it before a byte has been read.
        """
        if self._space is not None and not self._space.takes_mail:
            # RFC 5530 §3: a temporary failure of ours. OVERQUOTA would tell people to clear up what is not theirs.
            raise MailboxRefused(Why.UNAVAILABLE, f"no new mail is taken: {self._space.because}")

        def work(tx: Tx) -> mailboxes.Mailbox:
            found = mailboxes.named(tx, account, name)
            if found is None:
                raise MailboxRefused(Why.TRY_CREATE, f"{name} does not exist")
            room_in_quota(tx, account, size or 0)
            return found

        if size is not None and size > self._limits.message_bytes:
            raise MailboxRefused(Why.TOO_BIG, f"at most {self._limits.message_bytes} bytes")
        target = await self._database.read(work)
        return Appending(self._database, self._changes, self._clock, self._ids, self._intakes, target, self._limits)

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

    async def forget_maildrop_locks(self) -> None:
        """At the start of a server: sessions that held POP3's lock died with the one before."""
        await self._database.write(lambda tx: counters.drop_leases(tx, "maildrop:", "maildrop;"))

    async def unlock_maildrop(self, account: AccountId, owner: str) -> None:
        """Give POP3's lock back."""
        await self._database.write(lambda tx: counters.drop_lease(tx, f"maildrop:{account}", owner))

    async def remove(self, mailbox: MailboxId, uids: UidRanges) -> list[Uid]:
        """Remove messages whatever their flags, as POP3's QUIT does; the removed UIDs ascending."""

        def work(tx: Tx) -> tuple[list[Uid], AccountId | None]:
            m = mailboxes.by_id(tx, mailbox)
            if m is None:
                return [], None
            gone = entries.uids_in(tx, mailbox, uids)
            entries.remove(tx, m, gone)
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
        bad = len(name.encode("utf-8", "surrogatepass")) > self._limits.name_bytes or len(levels) > self._limits.levels
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
            pairs = entries.copy(tx, found.id, [(1, LAST_UID)], target)
            entries.remove(tx, found, [uid for uid, _ in pairs])
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
        rows = tx.all("contents_between", mailbox=mailbox, first=first, last=last, count=count)
        return [content_of(row, self._blobs, self._note_damage) for row in rows]

    def _note_damage(self, message: EnvelopeId, because: str) -> None:
        """From any thread: people are told now, and `ekiden check store` knows it, too."""
        self._log("message-damaged", level="error", message=id_text(message), because=because)
        self._database.later(lambda tx: damage.note(tx, message, because))

    def _new_keywords(self, tx: Tx, mailbox: MailboxId, known: dict[str, str], keywords: Iterable[str]) -> None:
        for keyword in keywords:
            if keyword.lower() not in known:
                if len(known) >= self._limits.keywords:
                    raise MailboxRefused(Why.LIMIT, f"at most {self._limits.keywords} keywords")
                tx.run("keyword_insert", mailbox=mailbox, key=keyword.lower(), name=keyword)
                known[keyword.lower()] = keyword

    async def _transfer(self, mailbox: MailboxId, uids: UidRanges, target: str, *, move: bool) -> Copied:
        def work(tx: Tx) -> tuple[Copied, AccountId, bool]:
            m = mailboxes.by_id(tx, mailbox)
            if m is None:
                raise MailboxRefused(Why.NONEXISTENT, "the folder is gone")
            there = mailboxes.named(tx, m.account, target)
            if there is None:
                raise MailboxRefused(Why.TRY_CREATE, f"{target} does not exist")
            if not move:
                room_in_quota(tx, m.account, entries.size_of(tx, mailbox, uids))
            pairs = entries.copy(tx, mailbox, uids, there.id)
            is_lesson = bool(pairs) and transferred(tx, m, there, [(pairs[0][1], pairs[-1][1])])
            if move and pairs:
                # read again: a move within one folder has given it new numbers
                entries.remove(tx, mailboxes.by_id(tx, mailbox) or m, [uid for uid, _ in pairs])
            if failpoints.armed:
                failpoints.hit("K21")
            return Copied(there.uid_validity, tuple(pairs)), m.account, is_lesson

        copied, account, is_lesson = await self._database.write(work)
        if failpoints.armed:
            failpoints.hit("K21-after")
        if copied.pairs:
            self._changes.poke(account)
        if is_lesson:
            self._changes.poke(LESSONS)
        return copied


def _slashes(name: str) -> list[int]:
    """Where the parents of a name end."""
    return [at for at, character in enumerate(name) if character == "/"]


def _existing(tx: Tx, account: AccountId, name: str) -> mailboxes.Mailbox:
    found = mailboxes.named(tx, account, name)
    if found is None:
        raise MailboxRefused(Why.NONEXISTENT, f"{name} does not exist")
    return found


def _entries(tx: Tx, mailbox: MailboxId, uids: UidRanges) -> list[Entry]:
    found = [tx.all("entries_between", mailbox=mailbox, first=first, last=last) for first, last in merged(uids)]
    return [entry_of(row) for rows in found for row in rows]


def _changed_since(tx: Tx, mailbox: MailboxId, uids: UidRanges, modseq: ModSeq) -> list[Uid]:
    return [entry.uid for entry in _entries(tx, mailbox, uids) if entry.modseq > modseq]

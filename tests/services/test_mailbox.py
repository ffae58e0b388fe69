"""Folders, flags, copies and news of mailboxes, on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId, IdMaker, ModSeq, Uid
from ekiden.mail import journey
from ekiden.services.mailbox import FlagMode, Mailboxes, MailboxLimits, MailboxRefused, Snapshot, Why
from ekiden.store import accounts, journeys, mailboxes
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx, open_database
from ekiden.testing.clock import FakeClock

T = TypeVar("T")
NOW = Millis(1_800_000_000_000)


@dataclass
class World:
    """One account on a store of its own."""

    database: Database
    service: Mailboxes
    account: AccountId

    async def append(self, name: str, *contents: bytes, flags: Iterable[str] = ()) -> tuple[Uid, ...]:
        appending = await self.service.appending(self.account, name)
        for content in contents:
            await appending.write(content)
            await appending.end_message(flags, NOW)
        return (await appending.commit()).uids

    async def counts(self, name: str) -> tuple[int, int, int]:
        status = await self.service.status(self.account, name)
        return status.messages, status.unseen, status.size


def in_world(folder: Path, work: Callable[[World], Awaitable[T]], *, quota: int | None = None, limits: MailboxLimits | None = None) -> T:
    async def main() -> T:
        clock = FakeClock()
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        changes = Changes()

        def make(tx: Tx) -> AccountId:
            return accounts.create_account(tx, "alice", ["alice@one.test"], "", NOW, quota).id

        try:
            account = await database.write(make)
            service = Mailboxes(database, FileBlobs(folder / "blobs"), changes, clock, IdMaker(clock), limits)
            return await work(World(database, service, account))
        finally:
            changes.close()
            database.close()

    return asyncio.run(main())


def message(number: int, size: int = 0) -> bytes:
    return b"Subject: number %d\r\nMessage-ID: <%d@one.test>\r\n\r\nbody\r\n" % (number, number) + b"x" * size


async def refused(work: Awaitable[object]) -> Why:
    with pytest.raises(MailboxRefused) as caught:
        await work
    return caught.value.why


# ---- folders -----------------------------------------------------------------------------------


def test_a_new_account_has_its_folders_with_inbox_first(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        folders = await world.service.folders(world.account)
        assert [folder.name for folder in folders] == ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]
        assert [folder.special_use for folder in folders][1:] == ["\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash"]
        assert all(folder.subscribed for folder in folders)

    in_world(tmp_path, work)


def test_create_makes_the_parents_that_are_missing(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.service.create(world.account, "a/b/c/")
        found = {folder.name: folder for folder in await world.service.folders(world.account)}
        assert {"a", "a/b", "a/b/c"} <= found.keys()
        assert found["a"].has_children
        assert not found["a/b/c"].has_children

    in_world(tmp_path, work)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("inbox", Why.ALREADY_EXISTS),  # RFC 9051 §5.1
        ("Sent", Why.ALREADY_EXISTS),
        ("../../etc/x", Why.CANNOT),
        ("/etc/x", Why.CANNOT),
        ("a//b", Why.CANNOT),
        ("", Why.CANNOT),
        (".", Why.CANNOT),
        ("a/..", Why.CANNOT),
        ("a\x00b", Why.CANNOT),
        ("a\r\nb", Why.CANNOT),
        ("~u", Why.CANNOT),
        ("#n", Why.CANNOT),
        ("a*", Why.CANNOT),
        ("x" * 1025, Why.CANNOT),
        ("/".join("x" * 51), Why.CANNOT),
        ("\ud800", Why.CANNOT),
    ],
)
def test_bad_and_taken_names_are_refused(tmp_path: Path, name: str, why: Why) -> None:
    assert in_world(tmp_path, lambda world: refused(world.service.create(world.account, name))) is why


def test_two_spellings_of_one_name_are_one_folder(tmp_path: Path) -> None:
    async def work(world: World) -> Why:
        await world.service.create(world.account, "caf\u00e9")
        return await refused(world.service.create(world.account, "cafe\u0301"))

    assert in_world(tmp_path, work) is Why.ALREADY_EXISTS


def test_a_greek_inbox_is_not_inbox(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.service.create(world.account, "INB\u039fX")
        assert "INB\u039fX" in [folder.name for folder in await world.service.folders(world.account)]

    in_world(tmp_path, work)


def test_the_number_of_folders_is_limited(tmp_path: Path) -> None:
    async def work(world: World) -> Why:
        await world.service.create(world.account, "one")
        return await refused(world.service.create(world.account, "two"))

    assert in_world(tmp_path, work, limits=MailboxLimits(mailboxes=7)) is Why.LIMIT


def test_a_deleted_folder_leaves_its_children_and_comes_back_with_another_uid_validity(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.service.create(world.account, "a/b")
        before = (await world.service.status(world.account, "a")).uid_validity
        await world.append("a", message(1))
        await world.service.delete(world.account, "a")
        found = {folder.name: folder for folder in await world.service.folders(world.account)}
        assert found["a"].id is None
        assert found["a/b"].id is not None
        assert await refused(world.service.status(world.account, "a")) is Why.NONEXISTENT
        await world.service.create(world.account, "a")
        status = await world.service.status(world.account, "a")
        assert status.uid_validity > before
        assert status.messages == 0

    in_world(tmp_path, work)


def test_inbox_cannot_be_deleted(tmp_path: Path) -> None:
    assert in_world(tmp_path, lambda world: refused(world.service.delete(world.account, "inBox"))) is Why.CANNOT


def test_rename_takes_the_children_along_and_keeps_uids(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.service.create(world.account, "a/b")
        await world.append("a/b", message(1))
        before = await world.service.status(world.account, "a/b")
        await world.service.rename(world.account, "a", "x/y")
        after = await world.service.status(world.account, "x/y/b")
        assert (after.id, after.uid_validity, after.uid_next, after.messages) == (before.id, before.uid_validity, before.uid_next, 1)
        names = [folder.name for folder in await world.service.folders(world.account)]
        assert "x" in names
        assert "a" not in names

    in_world(tmp_path, work)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Sent", "Sent/old", Why.CANNOT),
        ("Sent", "Drafts", Why.ALREADY_EXISTS),
        ("Sent", "inbox", Why.CANNOT),
        ("nothing", "x", Why.NONEXISTENT),
        ("Sent", "a//b", Why.CANNOT),
    ],
)
def test_a_rename_that_makes_no_sense_is_refused(tmp_path: Path, old: str, new: str, why: Why) -> None:
    assert in_world(tmp_path, lambda world: refused(world.service.rename(world.account, old, new))) is why


def test_renaming_inbox_moves_its_messages_and_inbox_stays(tmp_path: Path) -> None:
    async def work(world: World) -> None:  # RFC 9051 §6.3.6
        await world.append("INBOX", message(1), message(2))
        await world.service.rename(world.account, "INBOX", "old")
        assert (await world.counts("INBOX"))[0] == 0
        assert (await world.counts("old"))[0] == 2

    in_world(tmp_path, work)


def test_a_subscription_outlives_its_folder(tmp_path: Path) -> None:
    async def work(world: World) -> None:  # RFC 3501 §6.3.9
        await world.service.delete(world.account, "Junk")
        assert "Junk" in await world.service.subscriptions(world.account)
        await world.service.subscribe(world.account, "Junk", wanted=False)
        assert "Junk" not in await world.service.subscriptions(world.account)
        assert await refused(world.service.subscribe(world.account, "Junk")) is Why.NONEXISTENT

    in_world(tmp_path, work)


# ---- messages ----------------------------------------------------------------------------------


def test_what_was_appended_is_read_byte_for_byte_from_rows_and_from_files(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        small, large = message(1), message(2, 300_000)
        assert await world.append("INBOX", small, large, flags=["\\Seen", "Work"]) == (1, 2)
        contents = [content async for content in world.service.contents((await world.service.status(world.account, "INBOX")).id, [(1, 9)])]
        assert [await content.read() for content in contents] == [small, large]
        assert contents[0].whole == small
        assert contents[1].whole is None
        assert await contents[1].read(299_990, 20) == large[299_990:300_010]
        assert await contents[1].read(len(large) - 3, 100) == large[-3:]
        assert b"".join([piece async for piece in contents[1].chunks(5)]) == large[5:]
        assert contents[0].details.entry.flags == {"\\Seen", "Work"}
        assert contents[0].details.entry.internal_date == NOW
        assert contents[0].details.subject == "number 1"
        assert contents[0].size == contents[0].details.entry.size == len(small)

    in_world(tmp_path, work)


def test_an_append_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        appending = await world.service.appending(world.account, "INBOX")
        await appending.write(message(1, 2_000_000))
        await appending.end_message()
        await appending.write(b"half")
        await appending.abort()
        assert await world.counts("INBOX") == (0, 0, 0)

    in_world(tmp_path, work)
    assert [file for file in (tmp_path / "blobs").rglob("*") if file.is_file()] == []


def test_append_is_refused_before_a_byte_is_read(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        assert await refused(world.service.appending(world.account, "nothing")) is Why.TRY_CREATE
        assert await refused(world.service.appending(world.account, "INBOX", 1001)) is Why.TOO_BIG
        assert await refused(world.service.appending(world.account, "INBOX", 501)) is Why.OVER_QUOTA
        appending = await world.service.appending(world.account, "INBOX")
        assert await refused(appending.write(b"x" * 1001)) is Why.TOO_BIG
        await appending.abort()

    in_world(tmp_path, work, quota=500, limits=MailboxLimits(message_bytes=1000))


def test_the_quota_holds_for_copies_and_for_many_at_once(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        one = len(message(1))
        await world.append("INBOX", message(1))
        outcomes = await asyncio.gather(*(world.append("INBOX", message(n)) for n in range(2, 9)), return_exceptions=True)
        assert sum(isinstance(outcome, MailboxRefused) for outcome in outcomes) == 5
        box = await world.service.open(world.account, "INBOX")
        assert await refused(world.service.copy(box.id, [(1, 9)], "Archive")) is Why.OVER_QUOTA
        await world.service.move(box.id, [(1, 9)], "Archive")
        quota = await world.service.quota(world.account)
        assert (quota.used_bytes, quota.used_messages, quota.limit_bytes) == (3 * one, 3, 3 * one + 10)

    in_world(tmp_path, work, quota=3 * len(message(1)) + 10)


def test_open_says_what_there_is_and_recent_is_told_once(tmp_path: Path) -> None:
    async def work(world: World) -> tuple[Snapshot, Snapshot, Snapshot]:
        await world.append("INBOX", message(1), flags=["\\Seen"])
        await world.append("INBOX", message(2), message(3), flags=["Work"])
        looked = await world.service.open(world.account, "inbox", read_only=True)
        first = await world.service.open(world.account, "INBOX")
        second = await world.service.open(world.account, "INBOX")
        return looked, first, second

    looked, first, second = in_world(tmp_path, work)
    assert list(first.uids) == [1, 2, 3]
    assert (first.name, first.uid_next, first.unseen, first.first_unseen, first.keywords) == ("INBOX", 4, 2, 2, ("Work",))
    assert (looked.recent_from, first.recent_from, second.recent_from) == (1, 1, 4)


def test_flags_are_added_removed_and_replaced(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", message(1), message(2), message(3))
        box = await world.service.open(world.account, "INBOX")
        change = world.service.store_flags
        stored = await change(box.id, [(1, 2)], FlagMode.ADD, ["\\Seen", "\\Recent", "\\Unknown", "Work"])
        assert [entry.flags for entry in stored.entries] == [{"\\Seen", "Work"}] * 2
        assert {entry.modseq for entry in stored.entries} == {stored.modseq}
        assert await world.counts("INBOX") == (3, 1, 3 * len(message(1)))
        stored = await change(box.id, [(2, 2)], FlagMode.REPLACE, ["\\flagged", "WORK"])
        assert stored.entries[0].flags == {"\\Flagged", "Work"}
        stored = await change(box.id, [(3, 1)], FlagMode.REMOVE, ["\\Seen", "work"])
        assert [entry.flags for entry in stored.entries] == [set(), {"\\Flagged"}, set()]
        assert (await world.counts("INBOX"))[1] == 3
        assert (await world.service.open(world.account, "INBOX")).first_unseen == 1

    in_world(tmp_path, work)


def test_a_change_that_changes_nothing_takes_no_modseq(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", message(1), flags=["\\Seen"])
        box = await world.service.open(world.account, "INBOX")
        stored = await world.service.store_flags(box.id, [(1, 1)], FlagMode.ADD, ["\\Seen"])
        assert stored.modseq == box.modseq

    in_world(tmp_path, work)


def test_unchanged_since_leaves_out_what_somebody_else_has_changed(tmp_path: Path) -> None:
    async def work(world: World) -> None:  # RFC 7162 §3.1.3
        await world.append("INBOX", message(1), message(2))
        box = await world.service.open(world.account, "INBOX")
        await world.service.store_flags(box.id, [(2, 2)], FlagMode.ADD, ["\\Flagged"])
        stored = await world.service.store_flags(box.id, [(1, 2)], FlagMode.ADD, ["\\Seen"], unchanged_since=box.modseq)
        assert stored.refused == (2,)
        assert [entry.uid for entry in stored.entries] == [1]
        assert (await world.service.entries(box.id, [(2, 2)]))[0].flags == {"\\Flagged"}

    in_world(tmp_path, work)


def test_keywords_are_limited(tmp_path: Path) -> None:
    async def work(world: World) -> Why:
        await world.append("INBOX", message(1), flags=["a", "b"])
        box = await world.service.open(world.account, "INBOX")
        await world.service.store_flags(box.id, [(1, 1)], FlagMode.ADD, ["A"])
        return await refused(world.service.store_flags(box.id, [(1, 1)], FlagMode.ADD, ["c"]))

    assert in_world(tmp_path, work, limits=MailboxLimits(keywords=2)) is Why.LIMIT


def test_copy_keeps_flags_and_dates_and_move_takes_away(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", message(1), flags=["\\Seen", "Work"])
        await world.append("INBOX", message(2), message(3))
        box = await world.service.open(world.account, "INBOX")
        copied = await world.service.copy(box.id, [(3, 3), (1, 1)], "Archive")
        assert copied.pairs == ((1, 1), (3, 2))
        there = await world.service.open(world.account, "Archive")
        assert copied.uid_validity == there.uid_validity
        assert there.keywords == ("Work",)
        assert (await world.service.entries(there.id, [(1, 1)]))[0].flags == {"\\Seen", "Work"}
        moved = await world.service.move(box.id, [(1, 2)], "Archive")
        assert moved.pairs == ((1, 3), (2, 4))
        assert (await world.counts("INBOX"))[:2] == (1, 1)
        assert (await world.counts("Archive"))[:2] == (4, 2)
        assert await refused(world.service.copy(box.id, [(3, 3)], "nothing")) is Why.TRY_CREATE
        assert (await world.service.copy(box.id, [(77, 99)], "Archive")).pairs == ()

    in_world(tmp_path, work)


def test_copying_into_the_same_mailbox_ends(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", message(1), message(2))
        box = await world.service.open(world.account, "INBOX")
        assert (await world.service.copy(box.id, [(1, 2**32 - 1)], "INBOX")).pairs == ((1, 3), (2, 4))

    in_world(tmp_path, work)


def test_expunge_removes_what_is_deleted_and_news_tells_it(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", *(message(n) for n in range(1, 6)))
        box = await world.service.open(world.account, "INBOX")
        await world.service.store_flags(box.id, [(1, 1), (3, 3), (5, 5)], FlagMode.ADD, ["\\Deleted"])
        await world.service.store_flags(box.id, [(2, 2)], FlagMode.ADD, ["\\Flagged"])
        assert (await world.service.expunge(box.id, [(2, 3)]))[0] == [3]
        gone, modseq = await world.service.expunge(box.id)
        assert gone == [1, 5]
        await world.append("INBOX", message(6))
        news = await world.service.news(box.id, box.modseq, box.uid_next)
        assert news.expunged == (1, 3, 5)
        assert {entry.uid: set(entry.flags) for entry in news.changed} == {2: {"\\Flagged"}}
        assert [entry.uid for entry in news.new] == [6]
        assert (news.uid_next, news.modseq > modseq) == (7, True)
        again = await world.service.news(box.id, news.modseq, news.uid_next)
        assert (again.expunged, again.changed, again.new, again.gone) == ((), (), (), False)
        assert (await world.counts("INBOX"))[0] == 3

    in_world(tmp_path, work)


def test_news_of_a_deleted_mailbox_says_so(tmp_path: Path) -> None:
    async def work(world: World) -> bool:
        box = await world.service.open(world.account, "Junk")
        await world.service.delete(world.account, "Junk")
        return (await world.service.news(box.id, box.modseq, box.uid_next)).gone

    assert in_world(tmp_path, work)


def test_uids_are_never_used_twice(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", message(1), message(2))
        box = await world.service.open(world.account, "INBOX")
        assert await world.service.remove(box.id, [(2, 2), (9, 9)]) == [2]
        assert await world.append("INBOX", message(3)) == (3,)
        assert await refused(world.service.content(box.id, Uid(2))) is Why.EXPUNGE_ISSUED

    in_world(tmp_path, work)


def test_many_contents_come_in_order(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", *(message(n) for n in range(1, 151)))
        box = await world.service.open(world.account, "INBOX")
        uids = [content.details.entry.uid async for content in world.service.contents(box.id, [(140, 150), (1, 130)])]
        assert uids == [*range(1, 131), *range(140, 151)]
        assert len(await world.service.details(box.id, [(1, 150)])) == 150
        assert len(await world.service.entries(box.id, [(1, 150)], changed_since=ModSeq(100))) == 51

    in_world(tmp_path, work)


def test_the_first_fetch_is_in_the_journey_once(tmp_path: Path) -> None:
    async def work(world: World) -> list[journey.AnyStep]:
        await world.append("INBOX", message(1))
        box = await world.service.open(world.account, "INBOX")
        entries = await world.service.entries(box.id, [(1, 1)])
        for client in ("first", "second"):
            world.service.note_fetched(world.account, entries, mailbox=box.id, protocol="IMAP", client=client)
            await world.service.subscribe(world.account, "INBOX")
        return await world.database.read(lambda tx: journeys.steps_of(tx, entries[0].message))

    steps = in_world(tmp_path, work)
    fetched = [step for step in steps if isinstance(step, journey.Fetched)]
    assert [(step.account, step.protocol, step.client) for step in fetched] == [("alice", "IMAP", "first")]


def test_a_waiting_session_hears_of_every_kind_of_change(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", message(1))
        box = await world.service.open(world.account, "INBOX")
        for change in (
            lambda: world.append("INBOX", message(2)),
            lambda: world.service.store_flags(box.id, [(1, 1)], FlagMode.ADD, ["\\Deleted"]),
            lambda: world.service.copy(box.id, [(1, 1)], "Archive"),
            lambda: world.service.expunge(box.id),
            lambda: world.service.create(world.account, "new"),
        ):
            waiting = asyncio.create_task(world.service.wait_for_news(world.account, 20))
            await asyncio.sleep(0)
            await change()
            assert await waiting

    in_world(tmp_path, work)


def test_one_pop3_session_at_a_time(tmp_path: Path) -> None:
    async def work(world: World) -> list[bool]:
        lock = world.service.lock_maildrop
        outcomes = [await lock(world.account, "one"), await lock(world.account, "two"), await lock(world.account, "one")]
        await world.service.unlock_maildrop(world.account, "two")
        outcomes.append(await lock(world.account, "two"))
        await world.service.unlock_maildrop(world.account, "one")
        return [*outcomes, await lock(world.account, "two")]

    assert in_world(tmp_path, work) == [True, False, True, False, True]  # RFC 1939 §3


def test_addresses_are_those_the_account_may_send_from(tmp_path: Path) -> None:
    async def work(world: World) -> list[str]:
        await world.database.write(lambda tx: accounts.add_address(tx, world.account, "al@one.test"))
        return [path.local for path in await world.service.addresses(world.account)]

    assert in_world(tmp_path, work) == ["alice", "al"]


def test_counts_agree_with_the_entries_whatever_was_done(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        await world.append("INBOX", *(message(n, n) for n in range(1, 21)))
        box = await world.service.open(world.account, "INBOX")
        change = world.service.store_flags
        await change(box.id, [(1, 10)], FlagMode.ADD, ["\\Seen"])
        await change(box.id, [(5, 15)], FlagMode.REPLACE, ["k"])
        await change(box.id, [(1, 3), (14, 20)], FlagMode.ADD, ["\\Deleted", "\\Seen"])
        await world.service.move(box.id, [(2, 6)], "Trash")
        await world.service.expunge(box.id)
        for name in ("INBOX", "Trash"):
            found = await world.service.open(world.account, name)
            entries = await world.service.entries(found.id, [(1, 2**32 - 1)])
            unseen = [entry.uid for entry in entries if "\\Seen" not in entry.flags]
            assert await world.counts(name) == (len(entries), len(unseen), sum(entry.size for entry in entries))
            assert (found.unseen, found.first_unseen) == (len(unseen), min(unseen, default=None))
            assert list(found.uids) == [entry.uid for entry in entries]
            row = await world.database.read(lambda tx, name=name: mailboxes.named(tx, world.account, name))  # type: ignore[misc]  # binds name
            assert row is not None
            assert row.uid_next > max(found.uids)

    in_world(tmp_path, work)

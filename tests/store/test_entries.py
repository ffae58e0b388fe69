"""Copies in mailboxes: many at once, with the counts that follow."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message, in_one

from ekiden.base.errors import StoreError
from ekiden.base.ids import EnvelopeId, MailboxId, ModSeq
from ekiden.store import accounts, entries, mailboxes, messages
from ekiden.store.columns import integer, string
from ekiden.store.database import Tx
from ekiden.store.entries import FlagMode


def _box(tx: Tx, count: int, name: str = "INBOX") -> mailboxes.Mailbox:
    account = accounts.create_account(tx, "alice", ["alice@example.test"], "", NOW).id
    found = mailboxes.named(tx, account, name)
    assert found is not None
    for number in range(1, count + 1):
        messages.insert(tx, a_message(number))
        messages.deposit(tx, found.id, EnvelopeId(number), internal_date=NOW, size=100 + number)
    return _again(tx, found)


def _again(tx: Tx, mailbox: mailboxes.Mailbox) -> mailboxes.Mailbox:
    found = mailboxes.by_id(tx, mailbox.id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ranges", "wanted"),
    [
        ([], []),
        ([(5, 7), (1, 2)], [(1, 2), (5, 7)]),
        ([(1, 3), (2, 9), (10, 10)], [(1, 10)]),
        ([(9, 1)], [(1, 9)]),  # RFC 9051 §9, seq-range
        ([(4, 4), (4, 4)], [(4, 4)]),
    ],
)
def test_ranges_are_put_in_order(ranges: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> None:
    assert entries.merged(ranges) == wanted


def test_single_uids_become_few_ranges() -> None:
    assert entries.ranges_of([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
    assert entries.ranges_of([]) == []


def test_all_uids_come_with_their_holes(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        box = _box(tx, 10)
        entries.remove(tx, box, [1, 4, 5, 10])
        assert list(entries.all_uids(tx, box.id)) == [2, 3, 6, 7, 8, 9]

    in_one(tmp_path, work)


def test_one_change_of_many_flags_takes_one_modseq(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        box = _box(tx, 10)
        modseq = entries.store_flags(tx, box, [(2, 4), (8, 99)], FlagMode.ADD, 1 | 4, frozenset())
        assert modseq == box.modseq + 1
        rows = tx.all("entries_between", mailbox=box.id, first=1, last=99)
        assert [integer(row, 0) for row in rows if integer(row, 1) == modseq] == [2, 3, 4, 8, 9, 10]
        assert (_again(tx, box).unseen, _again(tx, box).unseen_from) == (4, 1)

    in_one(tmp_path, work)


def test_what_loses_seen_lowers_the_bound_of_the_first_unseen(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        box = _box(tx, 5)
        entries.store_flags(tx, box, [(1, 5)], FlagMode.ADD, 1, frozenset())
        messages.deposit(tx, box.id, EnvelopeId(1), internal_date=NOW, size=1)
        assert _again(tx, box).unseen_from == 6
        entries.store_flags(tx, _again(tx, box), [(3, 4)], FlagMode.REMOVE, 1, frozenset())
        assert (_again(tx, box).unseen, _again(tx, box).unseen_from) == (3, 3)

    in_one(tmp_path, work)


@pytest.mark.parametrize("keywords", [frozenset(), frozenset({"Work"})])
def test_what_was_changed_meanwhile_is_left_alone(tmp_path: Path, keywords: frozenset[str]) -> None:
    def work(tx: Tx) -> None:  # RFC 7162 §3.1.3
        box = _box(tx, 3)
        entries.store_flags(tx, box, [(2, 2)], FlagMode.ADD, 4, frozenset())
        entries.store_flags(tx, _again(tx, box), [(1, 3)], FlagMode.ADD, 1, keywords, box.modseq)
        flags = [integer(row, 2) for row in tx.all("entries_between", mailbox=box.id, first=1, last=3)]
        assert flags == [1, 4, 1]

    in_one(tmp_path, work)


def test_a_copy_keeps_keywords_and_the_target_knows_them(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        box = _box(tx, 3)
        target = mailboxes.named(tx, box.account, "Archive")
        assert target is not None
        tx.run("keyword_insert", mailbox=box.id, key="work", name="Work")
        entries.store_flags(tx, box, [(2, 2)], FlagMode.ADD, 8, frozenset({"Work"}))
        assert entries.copy(tx, box.id, [(3, 3), (2, 2)], target.id) == [(2, 1), (3, 2)]
        rows = tx.all("entries_between", mailbox=target.id, first=1, last=9)
        assert [(integer(row, 2), string(row, 3)) for row in rows] == [(8, "Work"), (0, "")]
        assert mailboxes.keywords(tx, target.id) == ("Work",)
        assert entries.deleted_in(tx, target.id, None) == [1]
        assert entries.deleted_in(tx, box.id, [(3, 9)]) == []
        assert (_again(tx, target).bytes, entries.size_of(tx, target.id, [(1, 9)])) == (205, 205)

    in_one(tmp_path, work)


def test_copies_of_nothing_are_nothing_and_a_target_that_is_gone_is_an_error(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        box = _box(tx, 1)
        assert entries.copy(tx, box.id, [(5, 9)], MailboxId(99)) == []
        with pytest.raises(StoreError):
            entries.copy(tx, box.id, [(1, 1)], MailboxId(99))

    in_one(tmp_path, work)


def test_a_mailbox_without_uids_left_takes_nothing(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        box = _box(tx, 2)
        tx.run("mailbox_deliver_many", id=box.id, count=2**32 - 4, size=0, unseen=0)
        assert messages.deposit(tx, box.id, EnvelopeId(1), internal_date=NOW, size=1)[0] == 2**32 - 1
        with pytest.raises(StoreError):
            entries.copy(tx, box.id, [(1, 2)], box.id)
        with pytest.raises(StoreError):
            messages.deposit(tx, box.id, EnvelopeId(1), internal_date=NOW, size=1)

    in_one(tmp_path, work)


def test_removing_remembers_the_uids_and_frees_the_content(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        box = _box(tx, 4)
        assert entries.remove(tx, box, []) == box.modseq
        modseq = entries.remove(tx, box, [2, 3])
        assert modseq == ModSeq(box.modseq + 1)
        assert [integer(row, 0) for row in tx.all("expunged_since", mailbox=box.id, since=box.modseq, uid_next=99)] == [2, 3]
        assert [integer(row, 0) for row in tx.all("freed_some", count=9)] == [2, 3]
        after = _again(tx, box)
        assert (after.messages, after.unseen, after.bytes, after.uid_next) == (2, 2, 101 + 104, 5)

    in_one(tmp_path, work)

"""Lessons and counted words: once each, undone by the opposite, bounded, forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message, in_one

from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId, EnvelopeId, MailboxId
from ekiden.mail.bayes import Seen
from ekiden.store import accounts, lessons, mailboxes, messages
from ekiden.store.database import Tx
from ekiden.store.lessons import EVERYBODY, Lesson, Side

ALICE = AccountId(7)
_DAY = 86_400_000


def key(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)


def keys(*names: str) -> list[int]:
    return [key(name) for name in names]


def counts(tx: Tx, account: AccountId = ALICE, names: Iterable[str] = "abcdef") -> dict[str, tuple[int, int]]:
    me = lessons.learners(tx, [account])[account]
    return {word: tuple(seen) for word, seen in lessons.counted(tx, [me.id], {key(each): each for each in names})[me.id].items()}  # type: ignore[misc]


def total(tx: Tx, account: AccountId = ALICE) -> tuple[int, int, int]:
    me = lessons.learners(tx, [account])[account]
    return me.total.spam, me.total.ham, me.words


def test_a_message_is_counted_once_and_the_opposite_takes_it_back(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert lessons.learn(tx, ALICE, b"1", Side.SPAM, keys("a", "b"), NOW)
        assert lessons.learn(tx, ALICE, b"2", Side.SPAM, keys("b", "c"), NOW)
        assert not lessons.learn(tx, ALICE, b"1", Side.SPAM, keys("a", "b"), NOW)
        assert (counts(tx), total(tx)) == ({"a": (1, 0), "b": (2, 0), "c": (1, 0)}, (2, 0, 3))
        assert lessons.learn(tx, ALICE, b"1", Side.HAM, keys("a", "b"), NOW)
        assert (counts(tx), total(tx)) == ({"a": (0, 1), "b": (1, 1), "c": (1, 0)}, (1, 1, 3))
        assert lessons.learn(tx, ALICE, b"1", Side.SPAM, keys("a", "b"), NOW)
        assert (counts(tx), total(tx)) == ({"a": (1, 0), "b": (2, 0), "c": (1, 0)}, (2, 0, 3))

    in_one(tmp_path, work)


def test_accounts_do_not_mix(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        lessons.learn(tx, ALICE, b"1", Side.SPAM, keys("a"), NOW)
        lessons.learn(tx, AccountId(8), b"1", Side.HAM, keys("a"), NOW)
        lessons.learn(tx, EVERYBODY, b"1", Side.HAM, keys("a", "b"), NOW)
        assert (counts(tx), counts(tx, AccountId(8)), counts(tx, EVERYBODY)) == ({"a": (1, 0)}, {"a": (0, 1)}, {"a": (0, 1), "b": (0, 1)})
        both = [each.id for each in lessons.learners(tx, [ALICE, EVERYBODY, AccountId(99)]).values()]
        assert [len(each) for each in lessons.counted(tx, both, {key("a"): "a", key("b"): "b"}).values()] == [2, 1]
        assert [each.account for each in lessons.all_learners(tx)] == [0, 7, 8]

    in_one(tmp_path, work)


def test_two_thousand_words_are_looked_up_in_one_statement(tmp_path: Path) -> None:
    many = {key(str(number)): str(number) for number in range(2000)}

    def work(tx: Tx) -> None:
        lessons.learn(tx, ALICE, b"1", Side.SPAM, list(many)[:1500], NOW)
        me = lessons.learners(tx, [ALICE])[ALICE]
        assert me.words == 1500
        assert lessons.counted(tx, [me.id], many)[me.id] == {str(number): Seen(1, 0) for number in range(1500)}

    in_one(tmp_path, work)


# ---- lessons -----------------------------------------------------------------------------------


def test_a_lesson_is_taken_once_and_only_as_it_is_now(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        lessons.teach(tx, ALICE, EnvelopeId(1), Side.SPAM)
        (lesson,) = lessons.waiting(tx, 10)
        assert lesson == Lesson(ALICE, EnvelopeId(1), Side.SPAM)
        lessons.teach(tx, ALICE, EnvelopeId(1), Side.HAM)  # while somebody was reading the message
        assert not lessons.take(tx, lesson, b"1", keys("a"), NOW)
        assert lessons.lessons_waiting(tx) == {ALICE: 1}
        (newer,) = lessons.waiting(tx, 10)
        assert lessons.take(tx, newer, b"1", keys("a"), NOW)
        assert not lessons.take(tx, newer, b"1", keys("a"), NOW)
        assert (counts(tx), lessons.waiting(tx, 10)) == ({"a": (0, 1)}, [])
        lessons.teach(tx, ALICE, EnvelopeId(1), Side.HAM)
        assert not lessons.take(tx, newer, b"1", keys("a"), NOW), "taken, and nothing new in it"
        assert (counts(tx), lessons.waiting(tx, 10)) == ({"a": (0, 1)}, [])

    in_one(tmp_path, work)


def _box(tx: Tx, count: int) -> tuple[AccountId, MailboxId]:
    account = accounts.create_account(tx, "alice", ["alice@one.test"], "", NOW).id
    box = mailboxes.named(tx, account, "INBOX")
    assert box is not None
    for number in range(1, count + 1):
        messages.insert(tx, a_message(number))
        messages.deposit_all(tx, [messages.Copy(box.id, EnvelopeId(number), NOW, 10, "")])
    return account, box.id


def test_ranges_teach_all_that_is_in_them(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        account, box = _box(tx, 6)
        messages.deposit_all(tx, [messages.Copy(box, EnvelopeId(2), NOW, 10, "")])  # a second copy is no second lesson
        lessons.teach_between(tx, account, box, [(2, 3), (5, 9)], Side.SPAM)
        assert [(each.message, each.side) for each in lessons.waiting(tx, 10)] == [(at, Side.SPAM) for at in (2, 3, 5, 6)]
        assert len(lessons.waiting(tx, 3)) == 3

    in_one(tmp_path, work)


@pytest.mark.parametrize(("keywords", "side"), [
    (("$Junk",), Side.SPAM),
    (("$junk", "other"), Side.SPAM),
    (("$NotJunk",), Side.HAM),
    (("$Junk", "$NotJunk"), None),      # RFC 9051 §2.3.2
    (("$Junkyard", "Junk"), None),
    ((), None),
])
def test_keywords_teach_what_they_say(tmp_path: Path, keywords: tuple[str, ...], side: Side | None) -> None:
    def work(tx: Tx) -> None:
        account, box = _box(tx, 1)
        messages.deposit(tx, box, EnvelopeId(1), internal_date=NOW, size=1, flags=["\\Seen", *keywords])
        assert lessons.teach_marked(tx, account, box, [(1, 9)]) == (side is not None)
        assert [each.side for each in lessons.waiting(tx, 10)] == ([side] if side is not None else [])

    in_one(tmp_path, work)


# ---- bounds and forgetting ---------------------------------------------------------------------


def test_what_one_account_keeps_is_bounded_and_words_seen_once_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "WORDS_MOST", 20)

    def work(tx: Tx) -> None:
        for number in range(2):
            lessons.learn(tx, ALICE, b"%d" % number, Side.SPAM, keys("a", "b", "c"), NOW)
        for number in range(2, 50):
            lessons.learn(tx, ALICE, b"%d" % number, Side.HAM, keys(*(f"{number}/{at}" for at in range(9)), "a"), NOW)
            assert total(tx)[2] <= 20
        assert total(tx)[:2] == (2, 48)
        assert total(tx)[2] == len(tx.all("words_once_before", before=1 << 40, count=99)) + 3
        assert counts(tx, names="abc") == {"a": (2, 48), "b": (2, 0), "c": (2, 0)}
        lessons.learn(tx, ALICE, b"big", Side.HAM, keys(*(f"big{at}" for at in range(30)), "a"), NOW)
        assert counts(tx, names="a") == {"a": (2, 49)}, "more than there is room for at all: known words are counted all the same"
        assert total(tx)[2] <= 20

    in_one(tmp_path, work)


def test_words_that_came_once_and_never_again_are_forgotten(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        lessons.learn(tx, ALICE, b"1", Side.SPAM, keys("a", "b"), NOW)
        later = Millis(NOW + 100 * _DAY)
        lessons.learn(tx, ALICE, b"2", Side.SPAM, keys("b", "c"), later)
        assert lessons.forget_words(tx, Millis(NOW + 50 * _DAY)) == 1
        assert (counts(tx), total(tx)) == ({"b": (2, 0), "c": (1, 0)}, (2, 0, 2))
        assert lessons.forget_messages(tx, Millis(NOW + 50 * _DAY)) == 1
        assert not lessons.learn(tx, ALICE, b"2", Side.SPAM, keys("b", "c"), later), "the other one is still known"
        lessons.learn(tx, ALICE, b"2", Side.HAM, keys("a", "b", "c"), later)
        assert counts(tx) == {"a": (0, 1), "b": (1, 1), "c": (0, 1)}, "what is not there any more cannot become less"

    in_one(tmp_path, work)


def test_to_forget_is_at_once_and_the_rows_go_bit_by_bit(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        lessons.learn(tx, ALICE, b"1", Side.SPAM, keys("a", "b", "c"), NOW)
        lessons.learn(tx, ALICE, b"2", Side.SPAM, keys("d"), NOW)
        lessons.learn(tx, AccountId(8), b"1", Side.SPAM, keys("a"), NOW)
        lessons.teach(tx, ALICE, EnvelopeId(1), Side.HAM)
        assert lessons.forget(tx, ALICE)
        assert not lessons.forget(tx, ALICE)
        assert (lessons.learners(tx, [ALICE]), lessons.waiting(tx, 9)) == ({}, [])
        lessons.learn(tx, ALICE, b"1", Side.HAM, keys("a"), NOW)  # taught anew before the old rows are gone
        rounds = 0
        while lessons.drop_unlearned(tx, 2):
            rounds += 1
        assert rounds >= 3
        assert (counts(tx), counts(tx, AccountId(8))) == ({"a": (0, 1)}, {"a": (1, 0)})
        assert len(tx.all("words_once_before", before=1 << 40, count=99)) == 2

    in_one(tmp_path, work)


def test_an_account_that_is_removed_takes_what_it_taught_with_it(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        account, box = _box(tx, 2)
        lessons.learn(tx, account, b"1", Side.SPAM, keys("a"), NOW)
        lessons.teach_between(tx, account, box, [(1, 2)], Side.SPAM)
        (lesson, _) = lessons.waiting(tx, 9)
        accounts.remove_account(tx, account)
        assert not lessons.take(tx, lesson, b"2", keys("b"), NOW), "whoever was reading the message has read it in vain"
        assert lessons.all_learners(tx) == []
        while lessons.drop_unlearned(tx):
            pass
        assert tx.all("words_once_before", before=1 << 40, count=99) == []

    in_one(tmp_path, work)

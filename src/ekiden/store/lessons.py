"""What readers teach about mail: lessons that wait, and words that were counted. Functions of a transaction.

A lesson says on which side a message is; it is written in the transaction of the move that it comes from and learned later, once: counts,
what is known of the message and the end of the lesson are one transaction. To teach a message again changes nothing, to teach the opposite
takes the former counts back. What one learner keeps is bounded.
Source: docs/adr/0014-what-readers-teach.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ekiden.base import failpoints
from ekiden.base.clock import Millis
from ekiden.base.ids import AccountId, EnvelopeId, MailboxId
from ekiden.mail.bayes import Seen
from ekiden.store.columns import integer, string
from ekiden.store.database import Row, Tx
from ekiden.store.entries import UidRanges

EVERYBODY = AccountId(0)
"""Stands for all accounts: what the operator teaches."""
WORDS_MOST = 300_000
"""Words of one account; about ten thousand messages."""
WORDS_MOST_EVERYBODY = 2_000_000
_DAY_MS = 86_400_000
_KEPT = 3
_KEPT_AMONG = 500  # of the newest messages of INBOX


class Side(Enum):
    """What a message is."""

    SPAM = "spam"
    HAM = "ham"


_SEEN = {Side.SPAM: Seen(1, 0), Side.HAM: Seen(0, 1)}
_KEYWORD = {Side.SPAM: "$junk", Side.HAM: "$notjunk"}
KEYWORDS = frozenset(_KEYWORD.values())
"""Keywords that teach, in lower case (RFC 9051 §2.3.2)."""


class Lesson(NamedTuple):
    """What is to be learned."""

    account: AccountId
    message: EnvelopeId
    side: Side


@dataclass(frozen=True, slots=True)
class Learner:
    """Whose lessons are counted together. total: messages. words: how many different ones are kept."""

    account: AccountId
    id: int
    total: Seen
    words: int


# ---- lessons -----------------------------------------------------------------------------------


def teach(tx: Tx, account: AccountId, message: EnvelopeId, side: Side) -> None:
    """A lesson about one message, instead of another one about it that still waits."""
    tx.run("lesson_put", account=account, message=message, side=side.value)


def teach_between(tx: Tx, account: AccountId, mailbox: MailboxId, uids: UidRanges, side: Side) -> None:
    """The same about all messages of some ranges."""
    for first, last in uids:
        tx.run("lessons_between", account=account, mailbox=mailbox, first=first, last=last, side=side.value)


def teach_marked(tx: Tx, account: AccountId, mailbox: MailboxId, uids: UidRanges) -> int:
    """About those that carry $Junk or $NotJunk; with both of them a message is as if it had none (RFC 9051 §2.3.2). How many."""
    taught = 0
    for side, other in ((Side.SPAM, Side.HAM), (Side.HAM, Side.SPAM)):
        marks = {"with": f" {_KEYWORD[side]} ", "without": f" {_KEYWORD[other]} "}
        for first, last in uids:
            taught += tx.run("lessons_marked", account=account, mailbox=mailbox, first=first, last=last, side=side.value, **marks)
    return taught


def teach_kept(tx: Tx, account: AccountId) -> int:
    """Lessons from what the reader has read and left in INBOX, until there are three for each unwanted message; how many.

    Few people ever move wanted mail out of Junk, and who throws a message away has seen what he keeps. More than one for one, since what
    is wanted is of more kinds than what is not.
    """
    me = learners(tx, [account]).get(account)
    if me is None or me.total.ham >= _KEPT * me.total.spam:
        return 0
    without = f" {_KEYWORD[Side.SPAM]} "
    return tx.run(
        "lessons_of_kept", account=account, learner=me.id, side=Side.HAM.value, without=without, count=_KEPT_AMONG, most=_KEPT
    )  # fmt: skip


def waiting(tx: Tx, count: int) -> list[Lesson]:
    """Some lessons that are to be learned."""
    rows = tx.all("lessons_next", count=count)
    return [Lesson(AccountId(integer(row, 0)), EnvelopeId(integer(row, 1)), Side(string(row, 2))) for row in rows]


def take(tx: Tx, lesson: Lesson, sha256: bytes, keys: Collection[int], now: Millis) -> bool:
    """Learn a lesson if it is still to be learned; True if that has changed a count."""
    if not drop(tx, lesson):
        return False
    return learn(tx, lesson.account, sha256, lesson.side, keys, now)


def drop(tx: Tx, lesson: Lesson) -> bool:
    """The lesson waits no more; False if it does not wait any more as it is."""
    return tx.run("lesson_done", account=lesson.account, message=lesson.message, side=lesson.side.value) > 0


# ---- counts ------------------------------------------------------------------------------------


def learn(tx: Tx, account: AccountId, sha256: bytes, side: Side, keys: Collection[int], now: Millis) -> bool:
    """Count a message on one side and no more on the other; False if it was counted so already. sha256: of its content."""
    me = learners(tx, [account]).get(account)
    id, words = (me.id, me.words) if me is not None else (integer(tx.one("learner_new", account=account), 0), 0)
    row = tx.one("learned_get", learner=id, sha256=sha256)
    former = Side(string(row, 0)) if row is not None else None
    if former is side:
        return False
    day, packed, seen = now // _DAY_MS, _json(keys), _SEEN[side]
    change = seen
    before = words
    if former is not None:
        less = _SEEN[former]
        tx.run("words_less", learner=id, keys=packed, spam=less.spam, ham=less.ham)
        change = Seen(seen.spam - less.spam, seen.ham - less.ham)
    most = WORDS_MOST if account != EVERYBODY else WORDS_MOST_EVERYBODY
    new = len(keys) - integer(tx.one("words_known", learner=id, keys=packed), 0)
    if (over := words + new - most) > 0:
        words -= tx.run("words_drop_once", learner=id, start=next(iter(keys)), count=over)  # a hash: from anywhere
        new = len(keys) - integer(tx.one("words_known", learner=id, keys=packed), 0)
    if words + new <= most:
        tx.run("words_more", learner=id, keys=packed, spam=seen.spam, ham=seen.ham, day=day)
        words += new
    else:
        tx.run("words_more_of_known", learner=id, keys=packed, spam=seen.spam, ham=seen.ham, day=day)
    if failpoints.armed:
        failpoints.hit("K24")
    tx.run("learned_put", learner=id, sha256=sha256, side=side.value, day=day)
    tx.run("learner_count", learner=id, spam=change.spam, ham=change.ham, words=words - before)
    return True


def learners(tx: Tx, accounts: Iterable[AccountId]) -> dict[AccountId, Learner]:
    """Those of these accounts that have taught something."""
    return {each.account: each for each in map(_learner, tx.all("learners_of", accounts=_json(accounts)))}


def all_learners(tx: Tx) -> list[Learner]:
    """All, by account."""
    return [_learner(row) for row in tx.all("learners_all")]


def lessons_waiting(tx: Tx) -> dict[AccountId, int]:
    """How many lessons of each account are to be learned."""
    return {AccountId(integer(row, 0)): integer(row, 1) for row in tx.all("lessons_waiting")}


def counted(tx: Tx, learner_ids: Sequence[int], words: Mapping[int, str]) -> dict[int, dict[str, Seen]]:
    """By learner: each of these words that it has seen. words: by their keys."""
    found: dict[int, dict[str, Seen]] = {learner: {} for learner in learner_ids}
    for learner, key, spam, ham in tx.all("words_counted", learners=_json(learner_ids), keys=_json(words)):
        found[learner][words[key]] = Seen(spam, ham)  # type: ignore[index,arg-type]  # integers by the schema; thousands of rows
    return found


# ---- forgetting --------------------------------------------------------------------------------


def forget(tx: Tx, account: AccountId) -> bool:
    """All that an account has taught; False if that was nothing. Its rows go bit by bit, by drop_unlearned()."""
    waited = tx.run("lessons_delete", account=account)
    row = tx.one("learner_delete", account=account)
    if row is not None:
        tx.run("unlearned_put", learner=integer(row, 0))
    return waited > 0 or row is not None


def drop_unlearned(tx: Tx, count: int = 2000) -> bool:
    """Drop some rows of what was forgotten; False if there is nothing left."""
    row = tx.one("unlearned_one")
    if row is None:
        return False
    learner = integer(row, 0)
    words = tx.run("unlearned_words", learner=learner, count=count)
    if not words and not tx.run("unlearned_messages", learner=learner, count=count):
        tx.run("unlearned_done", learner=learner)
    return True


def forget_words(tx: Tx, before: Millis, count: int = 2000) -> int:
    """Forget words that were seen once, not after a time; how many."""
    rows = tx.all("words_once_before", before=before // _DAY_MS, count=count)
    by_learner: dict[int, list[int]] = {}
    for row in rows:
        by_learner.setdefault(integer(row, 0), []).append(integer(row, 1))
    for learner, keys in by_learner.items():
        gone = tx.run("words_delete", learner=learner, keys=_json(keys))
        tx.run("learner_count", learner=learner, spam=0, ham=0, words=-gone)
    return len(rows)


def forget_messages(tx: Tx, before: Millis, count: int = 2000) -> int:
    """Forget which messages were taught before a time; they stay counted. How many."""
    return tx.run("learned_forget", before=before // _DAY_MS, count=count)


def _learner(row: Row) -> Learner:
    return Learner(AccountId(integer(row, 0)), integer(row, 1), Seen(integer(row, 2), integer(row, 3)), integer(row, 4))


def _json(numbers: Iterable[int]) -> str:
    return json.dumps(list(numbers), separators=(",", ":"))

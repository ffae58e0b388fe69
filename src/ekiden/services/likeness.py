"""What readers have taught, asked about a message that has just come (policy.learned).

As long as no recipient's readers have taught enough, an answer costs a look into a dictionary, and a short read for each account now and
then. Else the words of the message are read once, in a thread if it is not small, and looked up in one statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

from ekiden.base.clock import Clock
from ekiden.base.errors import StoreError
from ekiden.base.ids import AccountId
from ekiden.mail.bayes import NEVER, Opinion, is_enough, judge
from ekiden.mail.headers import Headers
from ekiden.mail.words import keys_of, words_of
from ekiden.policy.learned import Learned, Likeness
from ekiden.policy.stage import Log
from ekiden.services.learning import LOOKED_AT
from ekiden.store import lessons
from ekiden.store.changes import Changes, taught_of
from ekiden.store.database import Database, Tx
from ekiden.store.lessons import EVERYBODY, Learner

ACCOUNTS_MOST = 20
"""How many accounts are asked about one message."""
_SMALL = 4096
_REMEMBER_S = 60.0
_REMEMBERED = 10_000
_WORDS_SHOWN = 5
_CHARACTERS = 60


class Likenesses:
    """What the accounts of this process's store have taught, remembered for a minute or until it changes."""

    def __init__(self, database: Database, changes: Changes, clock: Clock, log: Log) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._known: dict[AccountId, Learner | None] = {}
        self._known_until = 0.0
        self._heard = 0
        changes.on_poke(self._hear)

    def about(self, raw: bytes, headers: Headers, accounts: Collection[AccountId]) -> Learned:
        """Whoever asks about a message that goes to these accounts."""
        return _Asked(self, raw, headers, accounts)

    async def of(self, raw: bytes, headers: Headers, accounts: Iterable[AccountId]) -> tuple[Likeness, ...]:
        """The answer. That the store cannot tell is no opinion."""
        some = sorted(set(accounts))[:ACCOUNTS_MOST]
        try:
            taught = await self._taught([EVERYBODY, *some])
            asked = [account for account in some if _is_enough(taught, account)]
            if not asked:
                return ()
            if len(raw) <= _SMALL:
                words = words_of(raw, headers)
            else:
                words = await asyncio.to_thread(words_of, raw[:LOOKED_AT], headers if headers.body_at <= LOOKED_AT else None)
            return await self._database.read(lambda tx: _likenesses(tx, words, asked, taught))
        except StoreError as error:
            self._log("likeness-unknown", level="warning", error=error)
            return ()

    async def _taught(self, accounts: Sequence[AccountId]) -> dict[AccountId, Learner]:
        now = self._clock.monotonic()
        if now >= self._known_until or len(self._known) > _REMEMBERED:
            self._known.clear()
            self._known_until = now + _REMEMBER_S
        known = self._known
        unknown = [account for account in accounts if account not in known]
        if unknown:
            heard = self._heard
            found = await self._database.read(lambda tx: lessons.learners(tx, unknown))
            if heard != self._heard:  # what was read may be the past already: good for this message, and not for a minute
                return {**{each: learner for each in accounts if (learner := known.get(each)) is not None}, **found}
            for account in unknown:
                known[account] = found.get(account)
        return {account: learner for account in accounts if (learner := known.get(account)) is not None}

    def _hear(self, account: AccountId) -> None:
        if account <= taught_of(EVERYBODY):
            self._heard += 1
            self._known.pop(AccountId(taught_of(EVERYBODY) - account), None)


class _Asked:
    """Asks once, whoever asks."""

    __slots__ = ("_accounts", "_found", "_headers", "_raw", "_service")

    def __init__(self, service: Likenesses, raw: bytes, headers: Headers, accounts: Collection[AccountId]) -> None:
        self._service = service
        self._raw = raw
        self._headers = headers
        self._accounts = accounts
        self._found: tuple[Likeness, ...] | None = None

    async def likeness(self) -> tuple[Likeness, ...]:
        """One for each account that has taught enough."""
        if self._found is None:
            self._found = await self._service.of(self._raw, self._headers, self._accounts)
        return self._found


def opinion(tx: Tx, words: Sequence[str], account: AccountId) -> Opinion | None:
    """What an account's readers (EVERYBODY: only what was taught for all) would say of these words; None: too little was taught."""
    return next((each for _, each in _opinions(tx, words, [account], lessons.learners(tx, [EVERYBODY, account]))), None)


def _likenesses(tx: Tx, words: Sequence[str], accounts: Sequence[AccountId], taught: dict[AccountId, Learner]) -> tuple[Likeness, ...]:
    return tuple(
        Likeness(account, found.probability, tuple(map(_printable, found.reasons[:_WORDS_SHOWN])))
        for account, found in _opinions(tx, words, accounts, taught)
    )


def _opinions(
    tx: Tx, words: Sequence[str], accounts: Sequence[AccountId], taught: dict[AccountId, Learner]
) -> list[tuple[AccountId, Opinion]]:
    counts = lessons.counted(tx, [each.id for each in taught.values()], keys_of(words))
    everybody = taught.get(EVERYBODY)
    theirs, their_total = (counts[everybody.id], everybody.total) if everybody is not None else ({}, NEVER)
    common: Opinion | None = None  # of all who have taught nothing themselves
    found = []
    for account in accounts:
        me = taught.get(account) if account != EVERYBODY else None
        if me is not None:
            told = judge(words, counts[me.id], me.total, theirs, their_total)
        else:
            told = common = common or judge(words, {}, NEVER, theirs, their_total)
        if told is not None:
            found.append((account, told))
    return found


def _is_enough(taught: dict[AccountId, Learner], account: AccountId) -> bool:
    own, everybody = taught.get(account), taught.get(EVERYBODY)
    return is_enough(own.total if own is not None else NEVER, everybody.total if everybody is not None else NEVER)


def _printable(word: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in word[:_CHARACTERS])

"""What has ended processes while policies judged it: noted before, counted after, put off from the third time on.

A policy of an operator's can hang (the watchdog ends the process then) or break the interpreter, and whoever sent the message gets
no answer and sends it again. So a process notes what its policies are asked about, and who comes after it counts what it finds there.
Suspects are judged one at a time, so that the next death accuses only who did it. From the third time on the answer is 451, without
asking: the message stays with its sender, whose server tells him in the end, and nothing that is innocent is lost.
Source: reliability.md F-54; docs/adr/0007.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from ekiden.base.clock import Clock
from ekiden.base.errors import StoreError
from ekiden.base.ids import AccountId
from ekiden.mail.address import format_path
from ekiden.policy.stage import Context, Log, MessageContext, RecipientContext, SenderContext, Stage
from ekiden.policy.verdict import Defer
from ekiden.services.bounce import Reports
from ekiden.services.ward import TIMES, Notes
from ekiden.smtp import replies
from ekiden.store import poison
from ekiden.store.changes import JUDGED, Changes
from ekiden.store.database import Database, Tx
from ekiden.store.inwork import key_of, left

_KEPT_MS = 7 * 24 * 3_600_000
"""Longer than others try to hand a message over (RFC 5321 §4.5.4.1)."""
_SHOWN = 5


class Judging:
    """The policy.chain.Guard of one process. notes: None if nothing can be noted."""

    def __init__(self, database: Database, reports: Reports, clock: Clock, changes: Changes, log: Log, notes: Notes | None) -> None:
        self._database = database
        self._reports = reports
        self._clock = clock
        self._changes = changes
        self._log = log
        self._notes = notes
        self._times: dict[bytes, int] = {}
        self._stale = False
        self._alone = asyncio.Lock()
        changes.on_poke(self._hear)

    async def look_back(self, *, fresh: bool) -> None:
        """Before the doors open: count what died before us was judging. fresh: the whole server starts; if it had ended in good order,
        an operator has perhaps changed the policies, and all is forgotten. Raises StoreError.
        """
        if self._notes is None:
            return
        with left(self._notes.folder, poison.JUDGED) as found:
            now = self._clock.now()
            if found:
                counted = await self._database.write(
                    lambda tx: [(each, poison.count(tx, poison.JUDGED, each.key, now, each.about)) for each in found]
                )
                for each, times in counted:
                    self._log("judging-suspect", level="warning", about=each.about, times=times)
                    if times == TIMES:
                        await self._tell(each.about, times)
                self._changes.poke(JUDGED)
            elif fresh:
                await self._database.write(lambda tx: poison.forget(tx, poison.JUDGED))
        await self._load()

    def __call__(self, stage: Stage, context: Context) -> AbstractAsyncContextManager[Defer | None]:
        """Around the question of one stage."""
        return self._around(stage, context)

    @asynccontextmanager
    async def _around(self, stage: Stage, context: Context) -> AsyncIterator[Defer | None]:
        if self._notes is None:
            yield None
            return
        key, about = _named(stage, context)
        if self._stale:
            await self._load_if_possible()
        times = self._times.get(key, 0)
        if times >= TIMES:
            self._log("judging-put-off", level="warning", about=about, times=times)
            yield Defer(replies.BREAKS_US, f"{times} processes ended while this was judged")
            return
        async with self._alone if times else nullcontext():
            number = self._notes.mine.begin(key, about)
            try:
                yield None
            finally:
                self._notes.mine.end(number)
        if times:  # it came to its end
            self._times.pop(key, None)
            self._database.later(lambda tx: poison.forget(tx, poison.JUDGED, key))

    async def _load(self) -> None:
        """What all processes have counted, without what is long ago by whatever clock."""
        now = self._clock.now()

        def work(tx: Tx) -> dict[bytes, int]:
            times = {}
            for each in poison.known(tx, poison.JUDGED):
                if abs(now - each.at) > _KEPT_MS:
                    poison.forget(tx, poison.JUDGED, each.key)
                else:
                    times[each.key] = each.times
            return times

        self._times = await self._database.write(work)
        self._stale = False

    async def _load_if_possible(self) -> None:
        try:
            await self._load()
        except StoreError as error:  # then what we knew before has to do
            self._log("judging-unknown", level="warning", error=error)

    async def _tell(self, about: str, times: int) -> None:
        told = await self._reports.to_postmaster("report.put-off-subject", "report.put-off", about=about, times=times)
        if told is not None:
            for account in await self._database.write(told):
                self._changes.poke(account)

    def _hear(self, account: AccountId) -> None:
        self._stale = self._stale or account == JUDGED


def _named(stage: Stage, context: Context) -> tuple[bytes, str]:
    """What policies are asked about: a digest of all that they may look at, and words for people."""
    peer = context.peer
    match context:
        case MessageContext():  # not of the peer: the next try may come from another address
            sender, to = format_path(context.envelope.sender), [format_path(each.path) for each in context.recipients]
            parts = [context.headers.block, context.size.to_bytes(8, "big")]
        case RecipientContext():
            sender, to = format_path(context.sender), [format_path(context.recipient)]
            parts = [str(peer.ip).encode(), peer.hello.encode()]
        case SenderContext():
            sender, to = format_path(context.sender), []
            parts = [str(peer.ip).encode(), peer.hello.encode()]
        case _:
            sender, to, parts = "", [], []
    shown = ", ".join(to[:_SHOWN]) + (" …" if len(to) > _SHOWN else "")
    about = f"{stage.value}: <{sender}>{' → ' if to else ''}{shown} [{peer.ip}]"
    return key_of(stage.value.encode(), sender.encode(), *(each.encode() for each in to), *parts), about

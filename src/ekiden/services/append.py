"""APPEND: a message that a client puts into a mailbox itself, streamed as it comes.

Source: RFC 9051 §6.3.12, RFC 3502 §6.3.11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ekiden.base import failpoints
from ekiden.base.clock import Clock, Millis
from ekiden.base.ids import IdMaker
from ekiden.mail import journey
from ekiden.services.deposit import Analysis, analyse, new_message
from ekiden.services.intake import INLINE_BYTES, Intake, Intakes
from ekiden.services.intake import Stored as StoredContent
from ekiden.services.mailbox_values import Appended, MailboxLimits, MailboxRefused, Why
from ekiden.services.quota import room_in_quota
from ekiden.services.teaching import appended
from ekiden.store import accounts, journeys, mailboxes, messages
from ekiden.store.changes import LESSONS, Changes
from ekiden.store.database import Database, Tx


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
        del raw
        intake.let_go()
        now = self._clock.now()
        message = new_message(self._ids.envelope_id(), analysis, content.blob, content.inline, sender=None, prefix=b"", received_at=now)
        self._ended.append((message, tuple(flags), internal_date if internal_date is not None else now, intake))

    async def commit(self) -> Appended:
        """Puts all messages into the mailbox in one transaction; durable when it returns. Raises MailboxRefused, StoreError."""

        def work(tx: Tx) -> tuple[Appended, bool]:
            m = mailboxes.by_id(tx, self._target.id)
            if m is None:
                raise MailboxRefused(Why.TRY_CREATE, "the folder is gone")
            room_in_quota(tx, m.account, sum(message.blob.size for message, _, _, _ in self._ended))
            known = {name.lower() for name in mailboxes.keywords(tx, m.id)}
            wanted = {flag.lower() for _, flags, _, _ in self._ended for flag in flags if not flag.startswith("\\")}
            if len(known | wanted) > self._limits.keywords:
                raise MailboxRefused(Why.LIMIT, f"at most {self._limits.keywords} keywords")
            owner = accounts.account_by_id(tx, m.account)
            uids = []
            for message, flags, date, _ in self._ended:
                messages.insert(tx, message)
                uid, _ = messages.deposit(tx, m.id, message.id, internal_date=date, size=message.blob.size, flags=flags)
                uids.append(uid)
                journeys.begin(tx, message.id, [journey.Appended(message.received_at, owner.name if owner else "", m.name, uid)])
            is_lesson = appended(tx, m, [message.id for message, _, _, _ in self._ended])
            if failpoints.armed:
                failpoints.hit("K21")
            return Appended(m.uid_validity, tuple(uids)), is_lesson

        done, is_lesson = await self._database.write(work)
        if failpoints.armed:
            failpoints.hit("K21-after")
        for _, _, _, intake in self._ended:
            intake.kept()
        await self.abort()
        self._changes.poke(self._target.account)
        if is_lesson:
            self._changes.poke(LESSONS)
        return done

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

"""Mail that is refused or put off at its end keeps its journey, so that "where is my mail?" has an answer; of its content nothing stays.

Whoever floods us with what we refuse must not fill the disk: so many a minute and process, each with so many bytes, for some days,
and in all no more than a number of rows. The reply names the id only where the journey is there.
Source: house.md §1 (8).
"""

from __future__ import annotations

from collections.abc import Sequence

from ekiden.base.clock import Clock
from ekiden.base.errors import StoreError
from ekiden.base.ids import id_text
from ekiden.mail import journey
from ekiden.mail.address import format_path
from ekiden.mail.envelope import Envelope
from ekiden.policy.stage import Log
from ekiden.smtp import replies
from ekiden.smtp.replies import Reply
from ekiden.store import refused
from ekiden.store.database import Conflict, Database

A_MINUTE = 60
MOST_BYTES = 32 * 1024
_RECIPIENTS = 20
_SHOWN = 5
_SHOWN_CHARACTERS = 1000
_MINUTE_S = 60.0


class Refusals:
    """Those of one process. a_minute: how many are kept of those that come within a minute, the first ones."""

    def __init__(self, database: Database, clock: Clock, log: Log, a_minute: int = A_MINUTE) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._a_minute = a_minute
        self._minute = float("-inf")
        self._kept = 0

    async def keep(self, envelope: Envelope, steps: Sequence[journey.Step], reply: Reply) -> Reply:
        """Write the journey down, with its refusal; the reply as the peer is to hear it. steps: the journey so far."""
        if not self._has_room():
            return reply
        said = reply.text[:_SHOWN_CHARACTERS]
        now = self._clock.now()
        message_id = next((step.message_id for step in steps if isinstance(step, journey.ContentReceived)), "")
        recipients = ", ".join(format_path(each.path) for each in envelope.recipients[:_SHOWN])
        refusal = refused.Refusal(
            envelope.id,
            now,
            message_id,
            format_path(envelope.sender),
            recipients + (", …" if len(envelope.recipients) > _SHOWN else ""),
            said,
        )
        row = bounded(steps, journey.Refused(now, said))
        try:
            await self._database.write(lambda tx: refused.keep(tx, refusal, row))
        except (StoreError, Conflict) as error:  # it is refused all the same; that the store is broken is told by whoever needs it
            self._log("refusal-not-kept", level="warning", envelope=id_text(envelope.id), because=str(error))
            return reply
        return replies.named(reply, envelope.id)

    def _has_room(self) -> bool:
        now = self._clock.monotonic()
        if now - self._minute >= _MINUTE_S:
            self._minute, self._kept = now, 0
        if self._kept >= self._a_minute:
            if self._kept == self._a_minute:
                self._kept += 1
                self._log("refusals-not-kept", level="warning", because=f"more than {self._a_minute} within a minute")
            return False
        self._kept += 1
        return True


def bounded(steps: Sequence[journey.Step], end: journey.Refused) -> bytes:
    """A journey as it is stored: the first recipients, and of what the DNS said nothing where it would be too much."""
    kept: list[journey.Step] = []
    recipients = 0
    for step in steps:
        recipients += isinstance(step, journey.RecipientGiven)
        if recipients <= _RECIPIENTS or not isinstance(step, journey.RecipientGiven):
            kept.append(step)
    row = journey.encode_steps([*kept, end])
    if len(row) > MOST_BYTES:
        row = journey.encode_steps([*(step for step in kept if not isinstance(step, journey.DnsAnswered)), end])
    return row if len(row) <= MOST_BYTES else journey.encode_steps([*kept[:1], end])

"""A load on an SMTP server: so many sessions, as fast as they can or at a given rate, with the time that everything took.

At a rate, messages are due at times that do not depend on the server, and the time of a message counts from when it was due:
a server that stands still for a second is charged with all that should have begun in that second (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field

from ekiden.app.load.spread import Spread
from ekiden.app.load.talker import Letter, Manner, Talker
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import EkidenError

HEADER = "Ekiden-Bench"
"""The field that marks our messages; its value is the name of the run."""
_PATIENCE_S = 60.0
_LOOK_S = 0.25
_AGAIN_S = 0.1
_FAREWELL_S = 2.0
_GRAIN_S = 0.001  # the loop's timers know no shorter time; less would be a busy wait
_FEWEST_TRIES = 20


class LoadFailed(EkidenError):
    """The load could not be put on the server at all, or the server fell silent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send where. messages or seconds ends it, whichever is first; None: no such end. rate: a second, None as fast as it goes.

    recipients take turns. size: bytes of one message with its header; per_connection: messages before a new connection.
    """

    server: Endpoint
    manner: Manner
    run: str
    sender: str
    recipients: tuple[str, ...]
    sessions: int = 10
    messages: int | None = 1000
    seconds: float | None = None
    rate: float | None = None
    size: int = 4096
    per_connection: int = 100
    patience_s: float = _PATIENCE_S

    def total(self) -> int | None:
        """How many messages, where that is known before."""
        by_rate = None if self.rate is None or self.seconds is None else int(self.rate * self.seconds)
        known = [number for number in (self.messages, by_rate) if number is not None]
        return min(known) if known else None


@dataclass(slots=True)
class Result:
    """What came of it so far. lost: messages whose connection ended before their answer. troubles: why connections ended."""

    accepted: int = 0
    refused: int = 0
    lost: int = 0
    in_flight: int = 0
    connections: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    latest_start_s: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    connect: Spread = field(default_factory=Spread)
    mail: Spread = field(default_factory=Spread)
    dot: Spread = field(default_factory=Spread)
    whole: Spread = field(default_factory=Spread)

    @property
    def done(self) -> int:
        """Messages whose fate is known."""
        return self.accepted + self.refused + self.lost

    @property
    def rate(self) -> float:
        """Accepted messages a second."""
        return self.accepted / self.seconds if self.seconds else 0.0


def auth_plain(user: str, password: str) -> bytes:
    """The initial response of AUTH PLAIN (RFC 4616 §2)."""
    return base64.b64encode(f"\0{user}\0{password}".encode())


class Load:
    """One run. Await run() in a running loop; result may be read meanwhile."""

    def __init__(self, plan: Plan) -> None:
        self.result = Result()
        self._plan = plan
        self._total = plan.total()
        self._loop = asyncio.get_running_loop()
        self._now = time.perf_counter
        self._open: set[Talker] = set()
        self._idle: deque[Talker] = deque()
        self._dials: set[asyncio.Task[None]] = set()
        self._given = 0
        self._start = 0.0
        self._heard_at = 0.0
        self._failed_in_a_row = 0
        self._cannot = ""
        self._all_done = asyncio.Event()
        self._emptied = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        head = (
            f"From: <{plan.sender}>\r\nSubject: {HEADER} {plan.run}\r\n{HEADER}: {plan.run}\r\n"
            f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime())}\r\nMessage-ID: <"
        ).encode("ascii")
        self._head, self._rest_of_head = head, f".{plan.run}@{plan.manner.hello}>\r\n\r\n".encode("ascii")
        room = max(0, plan.size - len(head) - len(self._rest_of_head) - 10)
        line = b"The quick brown fox jumps over the lazy dog, 0123456789 times a second.\r\n"
        self._body = (line * (room // len(line) + 1))[: max(0, room - 2)].rstrip(b"\r\n") + b"\r\n"
        self._mail = f"MAIL FROM:<{plan.sender}>\r\n".encode("ascii")
        self._rcpt = [f"RCPT TO:<{recipient}>\r\n".encode("ascii") for recipient in plan.recipients]

    async def run(self) -> Result:
        """Put the load on; what came of it. Raises LoadFailed."""
        self._start = self._heard_at = self._now()
        cpu = time.process_time()
        for _ in range(self._plan.sessions):
            self._dial()
        try:
            while not self._is_over():
                try:
                    async with asyncio.timeout(_LOOK_S):
                        await self._all_done.wait()
                except TimeoutError:
                    self._look()
        finally:
            self.result.seconds = self._now() - self._start
            self.result.cpu_s = time.process_time() - cpu
            await self._end()
        return self.result

    # ---- what talkers say ----------------------------------------------------------------------------

    def ready(self, talker: Talker) -> None:
        self._failed_in_a_row = 0
        self.result.connect.add(self._now() - talker.dialled_at)
        self._give(talker)

    def replied(self, code: int) -> None:
        self.result.codes[code] += 1

    def mail_took(self, seconds: float) -> None:
        self.result.mail.add(seconds)

    def dot_took(self, seconds: float) -> None:
        self.result.dot.add(seconds)

    def finished(self, talker: Talker, accepted: bool) -> None:
        result, now = self.result, self._now()
        self._heard_at = now
        result.in_flight -= 1
        if accepted:
            result.accepted += 1
            result.whole.add(now - talker.due)
        else:
            result.refused += 1
        if talker.sent >= self._plan.per_connection:
            talker.quit()
        else:
            self._give(talker)
        self._notice_end()

    def gone(self, talker: Talker, because: str) -> None:
        self._open.discard(talker)
        if not self._open:
            self._emptied.set()
        if talker.is_sending:
            self.result.lost += 1
            self.result.in_flight -= 1
        if because:
            self.result.troubles[because] += 1
            if not talker.sent:
                self._failed_in_a_row += 1
        if talker in self._idle:
            self._idle.remove(talker)
        self._notice_end()
        if self._has_more() and not self._cannot:
            self._dial(_AGAIN_S if because else 0.0)

    # ---- giving work out -----------------------------------------------------------------------------

    def _has_more(self) -> bool:
        plan = self._plan
        if self._total is not None and self._given >= self._total:
            return False
        if plan.seconds is None or (plan.rate is not None and self._total is not None):
            return True  # at a rate, all that was due within the time is sent, however late
        return self._now() - self._start < plan.seconds

    def _give(self, talker: Talker) -> None:
        if not self._has_more():
            talker.quit()
            return
        now = self._now()
        due = now if self._plan.rate is None else self._start + self._given / self._plan.rate
        if due > now:
            self._idle.append(talker)
            self._wake_at(due)
            return
        self.result.latest_start_s = max(self.result.latest_start_s, now - due)
        number = self._given
        self._given += 1
        self.result.in_flight += 1
        content = self._head + b"%09d" % number + self._rest_of_head + self._body
        talker.send(Letter(self._mail, self._rcpt[number % len(self._rcpt)], content), due)

    def _wake_at(self, due: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(max(_GRAIN_S, due - self._now()), self._wake)

    def _wake(self) -> None:
        self._timer = None
        for _ in range(len(self._idle)):
            if self._timer is not None:
                return  # the next one is not due yet
            self._give(self._idle.popleft())

    def _dial(self, after_s: float = 0.0) -> None:
        task = self._loop.create_task(self._connect(after_s))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _connect(self, after_s: float) -> None:
        if after_s:
            await asyncio.sleep(after_s)
        talker = Talker(self._plan.manner, self, self._now)
        server = self._plan.server
        try:
            async with asyncio.timeout(self._plan.patience_s):
                await self._loop.create_connection(lambda: talker, server.host, server.port)
        except (OSError, TimeoutError) as error:
            self.gone(talker, os.strerror(error.errno or 0) if error.errno in errno.errorcode else str(error) or "no answer")
            return
        self._open.add(talker)
        self._emptied.clear()
        self.result.connections += 1

    # ---- the end ---------------------------------------------------------------------------------------

    def _notice_end(self) -> None:
        if not self.result.in_flight and not self._has_more():
            self._all_done.set()

    def _is_over(self) -> bool:
        if self._cannot:
            raise LoadFailed(self._cannot)
        return self._all_done.is_set()

    def _look(self) -> None:
        now = self._now()
        self.result.seconds = now - self._start
        self._notice_end()
        if self._failed_in_a_row > max(_FEWEST_TRIES, 2 * self._plan.sessions):
            self._cannot = max(self.result.troubles, key=self.result.troubles.__getitem__)
        quiet = now - self._heard_at
        waits = self.result.in_flight or not self._idle
        if waits and quiet > self._plan.patience_s:
            self._cannot = f"silent for {quiet:.0f} s"

    async def _end(self) -> None:
        self._cannot = self._cannot or "over"
        if self._timer is not None:
            self._timer.cancel()
        for talker in list(self._idle):
            talker.quit()
        for task in list(self._dials):
            task.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._emptied.wait()
        for talker in list(self._open):
            talker.abort("over")

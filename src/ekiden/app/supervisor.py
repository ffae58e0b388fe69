"""The process above the others: it holds the listening sockets, starts the others, replaces those that die or hang, and parses no mail.

A new configuration means new processes: they are started on the same sockets, and when all of them serve, the former ones are
told to retire. So nobody who connects is turned away, and a configuration with which they do not start changes nothing.
Source: house.md §11; reliability.md F-54 … F-59.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ekiden.app.channel import Told
from ekiden.app.clock import SystemClock
from ekiden.app.config import Config, show
from ekiden.app.data_dir import lock_data_dir, outwait_former, prepare_data_dir
from ekiden.app.expiry import Standing
from ekiden.app.notify import Notifier
from ekiden.app.privileges import acting_as, drop_privileges
from ekiden.app.reload import Outcomes, Reread, what_can_change
from ekiden.app.roles import Part, parts
from ekiden.app.sockets import Holder, open_all, stop_listening, take_inherited
from ekiden.app.staff import Member, NotStarted, start
from ekiden.app.telemetry import make_log
from ekiden.app.watch import TOLD, Board, BoardThread
from ekiden.base import measures
from ekiden.base.errors import ConfigError
from ekiden.store.blobs.temporary import remove_left

_LOOK_S = 0.5
_START_S = 60.0
"""A process that does not serve by then hangs."""
_PAUSES_S = (0.0, 0.5, 2.0, 5.0, 10.0, 30.0)
_LONG_LIFE_S = 60.0
_CERTIFICATE_S = 60.0
_SHUT_AFTER = 2
_AT_THE_END_S = 15.0
"""Beyond what conversations have: for the queue and the store."""


def serve(config: Config, reread: Reread, environ: MutableMapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. reread: for SIGHUP. Raises ConfigError."""
    notifier = Notifier(environ)
    inherited = take_inherited(environ)
    if config.processes == 1:
        from ekiden.app.worker import run  # all that a server needs, which a supervisor does not

        return run(config, reread=reread, inherited=inherited, notifier=notifier)
    data = Path(config.data_dir)
    locks: list[int] = []
    try:
        with acting_as(config.user, data):
            prepare_data_dir(data, development=False)
            locks.append(lock_data_dir(data))
            locks.append(outwait_former(data))
        with _Signals() as signals:  # before anybody can connect: who sees the doors open may want them shut
            holder = open_all(config, config.processes, reuse_port=True, held=inherited)
            if config.user is not None and os.geteuid() == 0:
                drop_privileges(config.user)
            remove_left(data / "blobs")
            return Supervisor(config, holder, reread, notifier, locks[1]).run(signals)
    finally:
        for lock in locks:
            os.close(lock)


@dataclass(slots=True)
class Place:
    """One part's place: its sockets stay, whoever sits there. deaths: in a row, of members that did not live long."""

    part: Part
    member: Member | None = None
    deaths: int = 0
    wanted_at: float = 0.0
    shut: bool = False
    fresh: bool = False


@dataclass(slots=True)
class Shift:
    """All places of one configuration."""

    config: Config
    holder: Holder
    generation: int
    effective: Path
    places: list[Place] = field(default_factory=list)

    def serves(self) -> bool:
        """All members do."""
        return all(place.member is not None and place.member.serves for place in self.places)


class Supervisor:
    """Its loop. on_told: what hears the messages of the others (app/channel.py)."""

    def __init__(self, config: Config, holder: Holder, reread: Reread, notifier: Notifier, lock: int) -> None:
        self.on_told: dict[str, Told] = {}
        self._lock = lock
        self._blobs = Path(config.data_dir) / "blobs"
        self._reread = reread
        self._notifier = notifier
        self._log = make_log(config.log)
        self._run_dir = Path(config.data_dir) / "run"
        self._shift = self._make_shift(config, holder, 0)
        for place in self._shift.places:
            place.fresh = place.part.seat <= 1  # one courier, one door: what to forget need be forgotten once
        self._next: Shift | None = None
        self._next_since = 0.0
        self._wanted = config
        """As it was read last, with what only a new start can change."""
        self._standing = Standing(SystemClock())
        self._standing_due = 0.0
        self._retired: list[Member] = []
        self._reload_wanted = False
        self._stopping = False
        self._said_ready = False
        self._selector = selectors.DefaultSelector()
        self._board = Board(place.part.name for place in self._shift.places)
        self.on_told[TOLD] = self._board.hear
        self._shown = BoardThread(self._board, config.listeners.metrics, self._log)

    def run(self, signals: _Signals) -> int:
        """Until SIGTERM or SIGINT; the exit status."""
        self._selector.register(signals.fileno(), selectors.EVENT_READ, None)
        self._outcomes = Outcomes(self._run_dir.parent)
        self._log("supervising", processes=len(self._shift.places))
        self._shown.start()
        while not self._stopping:
            for number in signals.came():
                self._reload_wanted |= number == signal.SIGHUP
                self._stopping |= number in (signal.SIGTERM, signal.SIGINT)
            if not self._stopping:
                self.look()
                self._hear(_LOOK_S)
        return self._end()

    def look(self) -> None:
        """Everything once: who is there, who answers, what is to be done."""
        now = time.monotonic()
        if now >= self._standing_due:
            self._standing_due = now + _CERTIFICATE_S
            self._standing.take(self._shift.config.tls.certificate)  # the others take a renewed one by themselves
        for place in self._shift.places:
            self._look_after(place, self._shift, now)
        self._retired = [member for member in self._retired if self._still_retires(member, now)]
        if self._next is not None:
            self._look_at_next(self._next, now)
        elif self._reload_wanted and not self._retired:
            self._reload_wanted = False
            self._begin_reload(now)
        if not self._said_ready and self._shift.serves():
            self._said_ready = True
            self._notifier.ready(self._state())
        if any(place.member is not None and not self._hangs(place.member, self._shift, now) for place in self._shift.places):
            self._notifier.alive()

    # ---- members ---------------------------------------------------------------------------------------

    def _look_after(self, place: Place, shift: Shift, now: float) -> None:
        """Start a member that is not there, end one that hangs; where they die young, ever more slowly."""
        member = place.member
        if member is not None:
            status = member.process.poll()
            if status is None:
                if self._hangs(member, shift, now):
                    self._end_hung(member, now)
                elif member.serves and now - member.started_at > _LONG_LIFE_S:
                    place.deaths = 0
                if member.serves and place.shut:
                    place.shut = False
                    self._log("doors-open-again", process=place.part.name)
                return
            self._hear_member(member)
            measures.WORKER_DEATHS.of().value += 1
            self._board.lost(place.part.name, member.process.pid)
            self._log("worker-failed", process=place.part.name, pid=member.process.pid, status=status, problems=member.problems)
            place.deaths = place.deaths + 1
            place.wanted_at = now + _PAUSES_S[min(place.deaths - 1, len(_PAUSES_S) - 1)]
            self._forget(member)
            place.member = None
            if not member.serves:
                self._shut_after_failures(place, shift)
        if now >= place.wanted_at:
            self._start(place, shift, now)

    def _start(self, place: Place, shift: Shift, now: float) -> None:
        try:
            place.member = start(
                place.part, shift.config, shift.holder, shift.effective, shift.generation, fresh=place.fresh, lock=self._lock
            )
        except NotStarted as error:
            place.deaths += 1
            place.wanted_at = now + _PAUSES_S[min(place.deaths, len(_PAUSES_S) - 1)]
            self._log("worker-not-started", level="error", process=place.part.name, error=error, again_in_s=place.wanted_at - now)
            self._shut_after_failures(place, shift)
            return
        place.fresh = False
        measures.WORKER_STARTS.of().value += 1
        self._selector.register(place.member.channel, selectors.EVENT_READ, place.member)

    def _shut_after_failures(self, place: Place, shift: Shift) -> None:
        """Who does not come up twice in a row gets no connections, so that nobody waits for him; he opens his sockets himself again."""
        if place.deaths >= _SHUT_AFTER and not place.shut and place.part.door is not None:
            place.shut = True
            if shift.config.processes == len(shift.places) - 1 and not shift.holder.inherited:
                stop_listening(shift.holder.share(place.part.door, shift.config.processes))
            self._log("doors-shut", level="error", process=place.part.name, failures=place.deaths)

    def _hangs(self, member: Member, shift: Shift, now: float) -> bool:
        if not member.serves:
            return now - member.started_at > _START_S
        return now - member.heard_at > float(shift.config.timeouts.hang)

    def _end_hung(self, member: Member, now: float) -> None:
        """First so that it writes down where it hangs, then for sure."""
        if member.killed_at is None:
            silent_s = round(now - member.heard_at, 1)
            self._log("worker-hangs", level="error", process=member.part.name, pid=member.process.pid, silent_s=silent_s)
            member.killed_at = now
            member.process.send_signal(signal.SIGABRT)
        elif now - member.killed_at > 1.0:
            member.process.kill()

    def _forget(self, member: Member) -> None:
        """It is dead: its end of the channel, and what it was receiving."""
        remove_left(self._blobs, member.process.pid)
        with suppress(KeyError):
            self._selector.unregister(member.channel)
        member.channel.close()

    def _hear(self, timeout_s: float) -> None:
        """Wait for messages, signals or the time; hand on what has been told."""
        for key, _ in self._selector.select(timeout_s):
            member = key.data
            if not isinstance(member, Member):
                continue
            self._hear_member(member)
            if member.channel.ended:
                self._selector.unregister(member.channel)

    def _hear_member(self, member: Member) -> None:
        for kind, payload in member.channel.hear():
            member.heard_at = time.monotonic()
            if kind == "serving":
                member.serves = True
            elif kind == "failed":
                member.problems = [str(each) for each in payload] if isinstance(payload, list) else [str(payload)]
            elif kind in self.on_told:
                self.on_told[kind](member.part.name, payload)

    # ---- another configuration ---------------------------------------------------------------------------

    def _make_shift(self, config: Config, holder: Holder, generation: int) -> Shift:
        self._run_dir.mkdir(mode=0o700, exist_ok=True)
        effective = self._run_dir / f"effective-{generation % 2}.toml"
        effective.write_text(show(config), "utf-8")
        return Shift(config, holder, generation, effective, [Place(part) for part in parts(config.processes)])

    def _begin_reload(self, now: float) -> None:
        self._notifier.reloading()
        self._outcomes.begun()
        try:
            self._wanted = self._reread()
            config = what_can_change(self._shift.config, self._wanted, self._log)
            self._standing.check(config.tls.certificate)
            holder = open_all(config, config.processes, reuse_port=True, held=self._shift.holder)
        except ConfigError as error:
            self._reload_failed(error.problems)
            return
        self._next = self._make_shift(config, holder, self._shift.generation + 1)
        self._next_since = now
        for place in self._next.places:
            self._start(place, self._next, now)

    def _look_at_next(self, shift: Shift, now: float) -> None:
        """The new ones serve: the former may go. One of them does not come up: the new ones go."""
        if shift.serves():
            former, self._shift, self._next = self._shift, shift, None
            for place in former.places:
                if place.member is not None:
                    place.member.channel.tell("retire", None)
                    place.member.retires_until = now + 2 * float(former.config.timeouts.shutdown) + _AT_THE_END_S
                    self._retired.append(place.member)
            former.holder.close_except(shift.holder)
            self._log = make_log(shift.config.log)
            self._show_elsewhere(former.config, shift)
            self._standing.take(shift.config.tls.certificate)
            self._outcomes.done(former.config, shift.config, self._wanted)
            self._log("reloaded", generation=shift.generation)
            self._notifier.ready(self._state())
            return
        for place in shift.places:
            if place.member is not None:
                self._hear_member(place.member)
        gone = [place for place in shift.places if place.member is None or place.member.process.poll() is not None]
        if not gone and now - self._next_since < _START_S:
            return
        problems = [problem for place in gone if place.member is not None for problem in place.member.problems]
        for place in shift.places:
            if place.member is not None:
                place.member.process.kill()
                place.member.process.wait()
                self._forget(place.member)
        shift.holder.close_except(self._shift.holder)
        self._next = None
        self._shift.generation += 2  # the numbers of the failed ones are free again, those of ours stay ours
        self._reload_failed(problems or ["the new processes did not start"])

    def _show_elsewhere(self, former: Config, shift: Shift) -> None:
        """The metrics of the new members, and where they are now wanted."""
        self._board.expected = frozenset(place.part.name for place in shift.places)
        if former.listeners.metrics != shift.config.listeners.metrics:
            self._shown.stop()
            self._shown = BoardThread(self._board, shift.config.listeners.metrics, self._log)
            self._shown.start()

    def _reload_failed(self, problems: list[str]) -> None:
        self._outcomes.failed(problems)
        self._log("reload-failed", because="; ".join(problems), serving="the former configuration")
        self._notifier.ready(self._state())

    def _still_retires(self, member: Member, now: float) -> bool:
        if member.process.poll() is None:
            if now > member.retires_until:
                self._log("worker-does-not-end", level="error", process=member.part.name, pid=member.process.pid)
                member.process.kill()
            return True
        if member.process.returncode:
            self._log("worker-failed", process=member.part.name, pid=member.process.pid, status=member.process.returncode, retired=True)
        self._forget(member)
        return False

    # ---- the end -----------------------------------------------------------------------------------------

    def _end(self) -> int:
        """Nobody new; the others finish."""
        self._board.stopping = True
        self._notifier.stopping()
        self._shift.holder.close_except()
        members = [place.member for place in self._shift.places if place.member is not None] + self._retired
        if self._next is not None:
            self._next.holder.close_except()
            members += [place.member for place in self._next.places if place.member is not None]
        for member in members:
            if member.process.poll() is None:
                member.process.terminate()
        deadline = time.monotonic() + float(self._shift.config.timeouts.shutdown) + _AT_THE_END_S
        worst = 0
        while waiting := [member for member in members if member.process.poll() is None]:
            if time.monotonic() > deadline:
                for member in waiting:
                    self._log("worker-does-not-end", level="error", process=member.part.name, pid=member.process.pid)
                    member.process.kill()
                    member.process.wait()
                worst = 1
            self._notifier.alive()
            self._hear(0.05)
        # The signal itself ends only who has not begun to serve or has finished: in between there is a handler for it.
        statuses = [abs(member.process.returncode) for member in members if member.process.returncode != -signal.SIGTERM]
        self._log("stopped", status=max([worst, *statuses], default=0))
        return max([worst, *statuses], default=0)

    def _state(self) -> str:
        return f"Serving with {len(self._shift.places)} processes"


class _Signals:
    """SIGTERM, SIGINT and SIGHUP as bytes on a socket, so that waiting for them and for messages is one."""

    _NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __enter__(self) -> _Signals:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, lambda *_: None) for number in self._NUMBERS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._read.close()
        self._write.close()

    def fileno(self) -> int:
        """To be waited for."""
        return self._read.fileno()

    def came(self) -> bytes:
        """The numbers of the signals that have come."""
        with suppress(BlockingIOError):
            return self._read.recv(256)
        return b""



"""One process that serves: what its roles ask for, as tasks of one event loop.

A Service is one configuration in service: its objects, its listeners, its background work. A process that is alone changes
its configuration by starting a second Service on the same sockets and letting the first one finish; a process under a supervisor
has one Service, and its supervisor starts another process instead.
Source: house.md §11; reliability.md F-54 … F-58.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import select
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ekiden.app.channel import Channel, Tell, nobody
from ekiden.app.config import Config
from ekiden.app.data_dir import lock_data_dir, outwait_former, prepare_data_dir
from ekiden.app.expiry import Standing, watch_expiry, watch_files
from ekiden.app.notify import Notifier
from ekiden.app.privileges import acting_as, drop_privileges
from ekiden.app.reload import Outcomes, Reread, what_can_change
from ekiden.app.roles import EVERYTHING, Role
from ekiden.app.sockets import Holder, Sockets, open_all
from ekiden.app.status_door import Page, StatusDoor
from ekiden.app.telemetry import make_log
from ekiden.app.watch import State, Watch, open_doors
from ekiden.app.wiring import House, Mode
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import ConfigError, EkidenError
from ekiden.net.listener import Listener
from ekiden.policy.stage import Log
from ekiden.services.hands import Hands, NoThreads
from ekiden.store.blobs.temporary import remove_left

_BEAT_S = 1.0
_LOOK_S = 0.1
_COURIER_S = 10.0
_ORPHAN_S = 1.0
"""What a worker has for finishing when its supervisor has died."""

Around = Callable[[], AbstractAsyncContextManager[Mode]]
Ready = Callable[[House], Awaitable[int | None]]


@asynccontextmanager
async def production() -> AsyncIterator[Mode]:
    """Nothing around: the world is the world."""
    yield Mode()


@dataclass(slots=True)
class Given:
    """What a process is given beside its configuration.

    sockets: already listening, by door. own: where the server as a whole listens, if that is more. fresh: no other process of
    ours has served from the directory since it was locked. channel: to the supervisor; None for a process that is alone.
    reread: reads the configuration again. ready: awaited once all doors are open; a number that it returns ends the process.
    """

    holder: Holder
    roles: Role = EVERYTHING
    sockets: Sockets = field(default_factory=dict)
    own: Sequence[Endpoint] = ()
    node: int = 0
    fresh: bool = True
    channel: Channel | None = None
    reread: Reread | None = None
    ready: Ready | None = None
    notifier: Notifier = field(default_factory=lambda: Notifier({}))


def run(
    config: Config,
    *,
    around: Around = production,
    development: bool = False,
    ready: Ready | None = None,
    reread: Reread | None = None,
    inherited: Holder | None = None,
    notifier: Notifier | None = None,
) -> int:
    """Serve alone until SIGTERM or SIGINT; the exit status.

    around: what stands around the house while it lives, and the mode that follows from it. inherited: sockets of systemd's.
    Raises ConfigError for what makes serving impossible.
    """
    data = Path(config.data_dir)
    locks: list[int] = []
    former: dict[signal.Signals, Any] = {}
    try:
        with acting_as(config.user, data):
            prepare_data_dir(data, development=development)
            locks.append(lock_data_dir(data))
            locks.append(outwait_former(data))
        former = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGINT)}  # until the loop has its own
        holder = open_all(config, 1, held=inherited)
        if config.user is not None and os.geteuid() == 0:
            drop_privileges(config.user)
        remove_left(data / "blobs")
        given = Given(holder, sockets=holder.share(0, 1), reread=reread, ready=ready, notifier=notifier or Notifier({}))
        return run_loop(serve(config, given, around))
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        for lock in locks:
            os.close(lock)


def _leave(*_: object) -> None:
    """End at once: the doors may be open already, but nobody has been let in, so there is nothing to bring to an end."""
    os._exit(0)


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run the event loop of a process. Raises NoThreads where the system has given too few for beginning."""
    statuses: list[int] = []

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(Hands())
        statuses.append(await work)

    try:
        if sys.platform == "win32":
            asyncio.run(main())
        else:
            import uvloop  # not on every system

            uvloop.run(main())
    except RuntimeError as error:
        if "start new thread" not in str(error):  # the one thing by which the interpreter tells it
            raise
        if not statuses:
            raise NoThreads from error
        # The loop wanted one more thread for ending the others, which end with the process.
    finally:
        work.close()  # where the loop could not even begin with it
    return statuses[0]


async def serve(config: Config, given: Given, around: Around = production) -> int:
    """What a process does from its start to its end; the exit status."""
    async with around() as mode:
        return await Process(config, given, mode).serve()


class Service:
    """One configuration in service. Make it in a running loop; start(); in the end stop() or retire(), once."""

    def __init__(
        self, config: Config, log: Log, mode: Mode, given: Given, sockets: Sockets, node: int, on_fatal: Callable[[], None]
    ) -> None:
        tell: Tell = given.channel.tell if given.channel is not None else nobody
        self.config = config
        self.house = House(config, log, node=node, mode=mode, on_fatal=on_fatal, roles=given.roles, tell=tell)
        self._listeners = [
            Listener(sock.dup(), self.house.door(name), self.house.crowd, log) for name, group in sockets.items() for sock in group
        ]
        counts_queue = Role.KEEPER in given.roles
        self.watch = Watch(self.house.database, State(self.house.space), self.house.clock, log, self.house.kept, counts_queue=counts_queue)
        self.standing = Standing(self.house.clock)
        self.standing.take(config.tls.certificate)
        self._tell = tell if given.channel is not None else None
        self.house.own_listeners([*given.own, *(listener.endpoint for listener in self._listeners)])
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, fresh: bool) -> None:
        """Open the doors and begin the background work."""
        loop = asyncio.get_running_loop()
        house = self.house
        if house.certificate is not None:
            self._tasks.append(loop.create_task(watch_files(house.certificate, self.standing, house.clock, house.log)))
            if Role.KEEPER in house.roles:
                told = Path(house.config.data_dir) / "run" / "certificate-notice"
                self._tasks.append(loop.create_task(watch_expiry(house.certificate.chain, house.clock, house.log, told)))
        await house.judging.look_back(fresh=fresh)
        if fresh and Role.DOOR in house.roles:
            await house.mailboxes.forget_maildrop_locks()
        self._tasks += [loop.create_task(work) for work in house.background(fresh=fresh)]
        for listener in self._listeners:
            await listener.start()
        self.watch.state.opened = True
        self._tasks.append(loop.create_task(self.watch.run(self._tell)))

    async def retire(self, hurry: asyncio.Event) -> None:
        """Accept no more; conversations may come to their own end until the grace is over or hurry is set, then as stop() does."""
        grace_s = float(self.config.timeouts.shutdown)
        for listener in self._listeners:
            listener.stop_accepting()
        waiting = asyncio.get_running_loop().create_task(hurry.wait())
        try:
            for _ in range(int(grace_s / _LOOK_S)):
                if not any(listener.sessions for listener in self._listeners) or hurry.is_set():
                    break
                await asyncio.wait({waiting}, timeout=_LOOK_S)
        finally:
            waiting.cancel()
            await self.stop(grace_s)

    async def stop(self, grace_s: float) -> None:
        """Accept no more; who is between two commands hears goodbye, the others have grace_s to come there; then all is closed."""
        closing = [listener.close(grace_s) for listener in self._listeners]
        await asyncio.gather(*closing, self.house.stop_courier(min(grace_s, _COURIER_S)))
        await self.house.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.house.close()


class Process:
    """One process: its service, the one that retires, its signs of life."""

    def __init__(self, config: Config, given: Given, mode: Mode) -> None:
        self._config = config
        self._given = given
        self._mode = mode
        self._log = make_log(config.log)
        self._loop = asyncio.get_running_loop()
        self._stop: asyncio.Future[int] = self._loop.create_future()
        self._grace_s = float(config.timeouts.shutdown)
        self._generation = 0
        self._service: Service | None = None
        self._wants_reload = asyncio.Event()
        self._hurry = asyncio.Event()
        self._retiring: asyncio.Task[None] | None = None
        self._retires = False
        self._status_doors: list[StatusDoor] = []
        self._beating: asyncio.TimerHandle | None = None

    async def serve(self) -> int:
        """Until somebody ends it; the exit status. Raises ConfigError, StoreError if it cannot begin."""
        given = self._given
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, 0)
        self._loop.add_signal_handler(signal.SIGHUP, self._wants_reload.set)
        if given.channel is not None:
            self._loop.add_reader(given.channel, self._hear, given.channel)
            threading.Thread(target=_outlive_nobody, args=(given.channel.fileno(),), daemon=True).start()
        tasks: list[asyncio.Task[None]] = []
        try:
            self._service = await self._begin(self._config, given.sockets, fresh=given.fresh)
            if given.channel is None:
                self._status_doors = await open_doors(self._config.listeners.metrics, self._pages, self._log)
            gc.collect()
            gc.freeze()  # what is there now stays; looking through it again and again costs 5 % of each message
            gc.set_threshold(10_000, 20, 20)
            self._tell_that_we_serve()
            if given.ready is not None:
                tasks.append(self._loop.create_task(self._when_ready(given.ready, self._service.house)))
            if given.reread is not None:
                tasks.append(self._loop.create_task(self._reload_when_asked(given.reread)))
            status = await self._stop
        finally:
            given.notifier.stopping()
            given.holder.close_except()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._finish()
        self._log("stopped", status=status)
        return status

    async def _begin(self, config: Config, sockets: Sockets, *, fresh: bool) -> Service:
        """A service that has begun; nothing is left of one that could not. Raises ConfigError, StoreError."""
        node = self._given.node + self._generation % 2
        service = Service(config, make_log(config.log), self._mode, self._given, sockets, node, lambda: self._end(1))
        try:
            await service.start(fresh=fresh)
        except BaseException:
            await service.stop(0.0)
            raise
        return service

    async def _finish(self) -> None:
        """The end, within the grace that there is; what retires already has no longer."""
        endings = []
        if self._retiring is not None:
            self._hurry.set()
            endings.append(self._retiring)
        if self._service is not None:
            ending = self._service.retire(self._hurry) if self._retires else self._service.stop(self._grace_s)
            endings.append(self._loop.create_task(ending))
        await asyncio.gather(*endings)
        for door in self._status_doors:
            await door.close()
        if self._beating is not None:
            self._beating.cancel()
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _tell_that_we_serve(self) -> None:
        given = self._given
        listening = ", ".join(f"{name}={sock.getsockname()[1]}" for name, group in given.sockets.items() for sock in group)
        self._log("serving", hostname=self._config.hostname, listeners=listening)
        if hasattr(signal, "setitimer"):
            faulthandler.register(signal.SIGALRM, chain=True)
            self._beat()
        if given.channel is not None:
            given.channel.tell("serving", None)
        given.notifier.ready("Serving")

    def _beat(self) -> None:
        """We live: for the supervisor, for systemd, and for the kernel, which ends us if we hang and nobody else sees to it."""
        hang_s = float(self._config.timeouts.hang)
        if self._given.channel is not None:
            self._given.channel.tell("alive", None)
            hang_s *= 2.0
        self._given.notifier.alive()
        signal.setitimer(signal.ITIMER_REAL, hang_s)
        self._beating = self._loop.call_later(min(_BEAT_S, hang_s / 4), self._beat)

    def _end(self, status: int) -> None:
        if self._service is not None:
            self._service.watch.state.stopping = True
        if not self._stop.done():
            self._stop.set_result(status)
        else:
            self._hurry.set()

    def _hear(self, channel: Channel) -> None:
        for kind, _ in channel.hear():
            if kind == "retire":
                self._retires = True
                self._end(0)
        if channel.ended:
            self._loop.remove_reader(channel)
            self._grace_s = _ORPHAN_S
            self._hurry.set()
            self._end(0)

    # ---- another configuration, in a process that is alone -------------------------------------------

    async def _reload_when_asked(self, reread: Reread) -> None:
        outcomes = Outcomes(Path(self._config.data_dir))
        while True:
            await self._wants_reload.wait()
            self._wants_reload.clear()
            self._given.notifier.reloading()
            outcomes.begun()
            former = self._config
            try:
                wanted = await self._reload(reread)
                outcomes.done(former, self._config, wanted)
            except EkidenError as error:
                problems = error.problems if isinstance(error, ConfigError) else [str(error)]
                outcomes.failed(problems)
                self._log("reload-failed", because="; ".join(problems), serving="the former configuration")
            self._given.notifier.ready("Serving")

    async def _reload(self, reread: Reread) -> Config:
        """A second service beside the first, and then without it; the configuration as it was read.

        Raises ConfigError, StoreError, and then nothing has changed.
        """
        if self._retiring is not None:
            await self._retiring  # two of them would be one too many for the numbers of their files
        wanted = reread()
        config = what_can_change(self._config, wanted, self._log)
        if self._service is not None:
            self._service.standing.check(config.tls.certificate)
        holder = open_all(config, 1, held=self._given.holder)
        self._generation += 1
        try:
            service = await self._begin(config, holder.share(0, 1), fresh=False)
        except BaseException:
            self._generation += 1
            holder.close_except(self._given.holder)
            raise
        former, self._service = self._service, service
        self._given.holder.close_except(holder)
        self._given.holder, self._given.sockets = holder, holder.share(0, 1)
        if config.listeners.metrics != self._config.listeners.metrics:
            for door in self._status_doors:
                await door.close()
            self._status_doors = await open_doors(config.listeners.metrics, self._pages, self._log)
        self._config, self._grace_s = config, float(config.timeouts.shutdown)
        if former is not None:
            self._retiring = self._loop.create_task(former.retire(self._hurry))
        self._log("reloaded")
        return wanted

    def _pages(self, path: str, accept: str) -> Page | None:
        return self._service.watch.pages(path, accept) if self._service is not None else None

    async def _when_ready(self, ready: Ready, house: House) -> None:
        try:
            status = await ready(house)
        except Exception as error:  # the border of what the caller wants to be done: the server ends, with the reason
            house.log("start-failed", error=error)
            status = 1
        if status is not None:
            self._end(status)


def _outlive_nobody(fd: int) -> None:
    """A worker whose supervisor has died must not serve on: its sockets could not be had by a new one. The loop has heard of it too."""
    gone = select.poll()
    gone.register(fd, 0)  # only that the other end is closed
    gone.poll()
    time.sleep(_ORPHAN_S + 0.7)
    os._exit(1)

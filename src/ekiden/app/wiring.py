"""The only place that builds the objects of a process and passes them on.

Source: house.md §2 (floor 8), §11.
"""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any

from ekiden.app.channel import Tell, nobody
from ekiden.app.clock import SystemClock
from ekiden.app.config import Config
from ekiden.app.data_dir import vault_of
from ekiden.app.doors import Behind
from ekiden.app.outbound import attempt_settings, courier_settings
from ekiden.app.pressure import Pressure
from ekiden.app.roles import EVERYTHING, Role
from ekiden.app.rules import rules_of
from ekiden.app.watch import Kept
from ekiden.app.ways import ways_of
from ekiden.base.endpoint import Endpoint
from ekiden.base.errors import ConfigError, StoreError
from ekiden.base.ids import AccountId, IdMaker
from ekiden.mail.address import Ip, parse_mailbox
from ekiden.mail.address import Path as MailPath
from ekiden.mail.headers import HeaderLimits
from ekiden.net.dial import OwnListeners
from ekiden.net.listener import Door
from ekiden.net.resolver import DnsResolver, ResolverSettings, system_servers
from ekiden.net.tls import Certificate, client_context
from ekiden.policy.chain import Chain
from ekiden.policy.loader import load as load_policies
from ekiden.policy.stage import Log, Policy, World
from ekiden.sasl.passwords import Passwords
from ekiden.servers.imap.session import Seats
from ekiden.services.arrive import Arrivals, Outside
from ekiden.services.attempt import Attempts
from ekiden.services.bounce import Reports
from ekiden.services.courier import Courier
from ekiden.services.dmarc_counts import Counts, Judged
from ekiden.services.dmarc_inbox import ReportInbox
from ekiden.services.dmarc_reports import DailyReports, Reporter
from ekiden.services.forwarding import Forwarding
from ekiden.services.intake import Intakes
from ekiden.services.judging import Judging
from ekiden.services.learning import Learning
from ekiden.services.likeness import Likenesses
from ekiden.services.login import Guesses, Logins
from ekiden.services.mailbox import Mailboxes, MailboxLimits
from ekiden.services.origins import Origins
from ekiden.services.routing import Router
from ekiden.services.sealing import Sealing
from ekiden.services.signing import Signing
from ekiden.services.space import Floor, Space
from ekiden.services.upkeep import Retention, Upkeep
from ekiden.services.ward import Notes
from ekiden.store import poison
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.changes import QUEUE, Changes
from ekiden.store.database import Options, open_database
from ekiden.store.evidence import DAMAGE
from ekiden.store.inwork import InWork


@dataclass(frozen=True, slots=True)
class Mode:
    """What distinguishes development from production.

    whole_way: mail to our own domains goes through queue and DNS. hold_outside: why mail to other domains is held, or "".
    may_dial: listeners of ours that the courier may dial all the same, because the way ends there. name_servers: asked
    instead of the configured ones.
    """

    whole_way: bool = False
    hold_outside: str = ""
    may_dial: frozenset[tuple[Ip, int]] = frozenset()
    name_servers: tuple[Endpoint, ...] = ()


class House:
    """All objects of one process. Build it inside a running event loop; close() gives everything back."""

    def __init__(
        self,
        config: Config,
        log: Log,
        *,
        node: int = 0,
        mode: Mode = Mode(),
        on_fatal: Callable[[], None] = lambda: None,
        roles: Role = EVERYTHING,
        tell: Tell = nobody,
    ) -> None:
        self.config = config
        self.roles = roles
        self.tell = tell
        self.log = log
        self.clock = SystemClock()
        self.mode = mode
        judges = load_policies(config.policies, _import_file)  # what the configuration may have wrong, before anything is opened
        self.certificate = _certificate(config)
        self.ids = IdMaker(self.clock, node)
        self._node = node
        self._owner = f"{config.hostname}/{node}"
        self.courier: Courier | None = None
        self._open_store(on_fatal)
        self.changes = Changes(Path(config.data_dir) / "run", node)
        servers = mode.name_servers or config.dns.servers or system_servers()
        self.resolver = DnsResolver(ResolverSettings(servers, frozenset(config.dns.trusted)), self.clock)
        self.pressure = Pressure(config, roles, self.space, log)
        self.crowd = self.pressure.crowd
        self.world = World(self.clock, self.resolver, _Counts(self.clock), log, rules_of(config, self.clock))
        self._prepare_keys()
        self.router = Router(
            self.database, self.clock, config.hostname, config.domains, whole_way=mode.whole_way, forwarding=self.forwarding
        )
        self.logins = Logins(self.database, Passwords(), self.clock, secrets.token_bytes(32), self._guesses())
        self.intakes = Intakes(self.blobs, self.pressure.room)
        self.arrivals = self._make_arrivals()
        self.reports = Reports(self.arrivals, self.router, self.ids, self.clock, config.hostname, log, self.signing)
        self._notes: list[Notes] = []
        self._appoint(judges)
        keep = Retention(reports_ms=config.dmarc.keep * 1000)
        self.upkeep = Upkeep(self.database, self.blobs, self.clock, log, owner=self._owner, keep=keep)
        self.dmarc_counts = Counts(self.database, self.clock, log) if config.dmarc.reports else None
        self.seats = Seats()
        self.mailboxes = self._make_mailboxes()
        self._own: list[tuple[Ip, int]] = []
        self._wakers: list[Callable[[], None]] = []

    def _make_arrivals(self) -> Arrivals:
        config = self.config
        return Arrivals(
            self.database,
            self.changes,
            self.clock,
            self.world,
            config.hostname,
            outside=_outside(config, self.mode),
            on_queued=self.wake,
            judging_s=float(config.timeouts.smtp.judging),
            origins=Origins(self.resolver, ways_of(config), self._count_for_report),
            hops=config.limits.hops,
            headers=HeaderLimits(config.limits.header, config.limits.header_fields, config.limits.header_field),
            signing=self.signing,
            forwarding=self.forwarding,
            seals=config.forwarding.seal,
            router=self.router,
            likenesses=Likenesses(self.database, self.changes, self.clock, self.log),
        )

    def _appoint(self, judges: Sequence[Policy]) -> None:
        """Who judges what strangers and what our own people send."""
        own = judges
        if "builtin:sender" not in self.config.policies:  # nobody may be another person, whatever else is configured
            own = [*load_policies(["builtin:sender"], _import_file), *judges]
        notes = self._notes_of(Role.DOOR, poison.JUDGED)
        self.judging = Judging(self.database, self.reports, self.clock, self.changes, self.log, notes)
        self.policies = Chain(judges, asyncio.timeout, self.judging)
        self.own_people = Chain(own, asyncio.timeout, self.judging)

    def _count_for_report(self, seen: Judged | None) -> None:
        if self.dmarc_counts is not None:
            self.dmarc_counts.note(seen)

    def _prepare_keys(self) -> None:
        """What signs our mail, and what rewrites senders of forwarded mail."""
        config, vault = self.config, vault_of(self.config)
        self.signing = Signing(self.database, vault, self.changes, self.clock)
        self.forwarding = Forwarding(
            self.database,
            vault,
            self.clock,
            config.hostname,
            config.domains,
            rewrites=config.forwarding.rewrite_sender,
            domain=config.forwarding.sender_domain or "",
        )
        name = config.authentication.authserv_id or config.hostname
        self.sealing = Sealing(self.signing, self.resolver, self.clock, name, self.log) if config.forwarding.seal else None

    def _make_mailboxes(self) -> Mailboxes:
        limits = self.config.limits
        return Mailboxes(
            self.database,
            self.blobs,
            self.changes,
            self.clock,
            self.ids,
            MailboxLimits(limits.mailboxes, limits.keywords, limits.mailbox_name, limits.mailbox_levels, limits.message_size),
            space=self.space,
            log=self.log,
            intakes=self.intakes,
        )

    def _open_store(self, on_fatal: Callable[[], None]) -> None:
        """The database, the files of large messages, and the eye on their disks."""
        config, log, loop = self.config, self.log, asyncio.get_running_loop()

        def fatal(error: BaseException) -> None:
            log("store-fatal", level="error", error=error)
            if (blobs := getattr(self, "blobs", None)) is not None:
                blobs.keep_what_is_there()  # a row that could not be synced may be there after all, and names its file
            loop.call_soon_threadsafe(on_fatal)

        self.kept = kept = _kept(config)
        floor = Floor(config.limits.free_space, config.limits.free_percent)
        self.space = Space(kept.folders, floor, log, note=(kept.database or kept.blobs).parent / DAMAGE)
        self.database = open_database(config.store_url, Options(on_fatal=fatal, on_damage=self.space.damaged))
        self.blobs = FileBlobs(kept.blobs, on_fatal=fatal)
        self.space.look()

    def _guesses(self) -> Guesses:
        limits = self.config.limits
        return Guesses(self.clock, limits.failed_logins_per_minute, limits.failed_logins_per_day)

    def _notes_of(self, role: Role, kind: str) -> Notes | None:
        """Where this process notes what it has in work of one kind; None where it has none, or cannot."""
        if role not in self.roles:
            return None
        run_dir = Path(self.config.data_dir) / "run"
        try:
            notes = Notes(run_dir, InWork(run_dir, kind, self._node))
        except OSError as error:
            self.log("notes-impossible", level="warning", kind=kind, because=error.strerror)
            return None
        self._notes.append(notes)
        return notes

    def wake(self) -> None:
        """Something has been put into the queue."""
        for waker in self._wakers:
            waker()

    def on_queue(self, waker: Callable[[], None]) -> None:
        """Call waker after each commit that put something into the queue."""
        self._wakers.append(waker)

    def close(self) -> None:
        """Give files and threads back; blocks until what was asked of the store has been done."""
        self.logins.close()
        self.changes.close()
        for notes in self._notes:
            notes.mine.close()
        self.database.close()

    def own_listeners(self, endpoints: Sequence[Endpoint]) -> None:
        """Where this server itself listens: never dialled by its courier (loops)."""
        self._own = [(ip_address(endpoint.host), endpoint.port) for endpoint in endpoints]

    def background(self, *, fresh: bool = True) -> list[Coroutine[Any, Any, None]]:
        """Work that runs beside the doors as long as the process lives; own_listeners() must have been called.

        fresh: no other process of ours has served since the directory was locked.
        """
        work = [self.space.run(), self.pressure.memory.run()]
        if Role.COURIER in self.roles:
            self.courier = self._make_courier(fresh)
            self.on_queue(self.courier.wake)
            work += [self.courier.run(), self.courier.beat()]
        else:
            self.on_queue(lambda: self.changes.poke(QUEUE))  # the courier is another process
            self.changes.poke(QUEUE)  # whom we replace may have died after a commit, before it could say so
        if self.dmarc_counts is not None:
            work.append(self.dmarc_counts.run())
        if Role.KEEPER in self.roles:
            work.append(self.upkeep.run())
            work.append(Learning(self.database, self.blobs, self.changes, self.clock, self.log).run())
            work += self._report_work()
        return work

    def _report_work(self) -> list[Coroutine[Any, Any, None]]:
        """What the keeper does about reports of DMARC: those that we owe others, and theirs."""
        chosen, work = self.config.dmarc, []
        if chosen.reports:
            work.append(self.daily_reports().run())
        if chosen.inbox is not None:
            address = parse_mailbox(chosen.inbox)
            inbox = ReportInbox(self.database, self.blobs, self.router, self.changes, self.clock, self.log, address, owner=self._owner)
            work.append(inbox.run())
        return work

    def daily_reports(self) -> DailyReports:
        """Who writes the reports that domains ask for."""
        chosen, hostname = self.config.dmarc, self.config.hostname

        def sent(accounts: Sequence[AccountId], queued: bool) -> None:
            for account in accounts:
                self.changes.poke(account)
            if queued:
                self.wake()

        async def sign(raw: bytes, sender: MailPath) -> bytes:
            return (await self.signing.sign(b"", raw)).fields + raw

        return DailyReports(
            self.database,
            self.resolver,
            self.arrivals,
            self.router,
            self.ids,
            self.clock,
            self.log,
            Reporter(hostname, chosen.organisation or hostname, parse_mailbox(chosen.contact or f"postmaster@{hostname}")),
            owner=self._owner,
            sent=sent,
            sign=sign,
        )

    async def stop_courier(self, grace_s: float) -> None:
        """Begin no attempt any more, and give those that run so much time."""
        if self.courier is not None:
            await self.courier.stop(grace_s)

    async def stop(self) -> None:
        """End the background work in good order."""
        await self.stop_courier(0.0)
        if self.dmarc_counts is not None:
            await self.dmarc_counts.flush()
        if Role.KEEPER in self.roles:
            with suppress(StoreError):  # then the lease runs out
                await self.upkeep.close()
        await self.resolver.close()

    def _make_courier(self, fresh: bool) -> Courier:
        config = self.config
        own = OwnListeners(self._own)
        settings = attempt_settings(config, own_names=() if self.mode.may_dial else (config.hostname,))
        settings = replace(settings, is_ours=lambda ip, port: own(ip, port) and (ip, port) not in self.mode.may_dial)
        contexts = {verify: client_context(verify=verify) for verify in (False, True)}
        attempts = Attempts(settings, self.resolver, self.clock, self.blobs, contexts.__getitem__, sealing=self.sealing)
        courier = courier_settings(config, f"courier-{self._node}", self.pressure.shares.deliveries)
        if fresh:
            courier = replace(courier, former=("courier-0", "courier-1"))
        notes = self._notes_of(Role.COURIER, poison.COPIES)
        return Courier(courier, self.database, self.blobs, attempts, self.reports, self.clock, self.changes, self.log, notes=notes)

    # ---- doors -----------------------------------------------------------------------------------

    def door(self, name: str) -> Door:
        """The door of one kind of listener (app.doors.DOORS)."""
        behind = Behind(
            config=self.config,
            log=self.log,
            clock=self.clock,
            ids=self.ids,
            world=self.world,
            certificate=self.certificate,
            pressure=self.pressure,
            policies=self.policies,
            own_people=self.own_people,
            router=self.router,
            arrivals=self.arrivals,
            intakes=self.intakes,
            logins=self.logins,
            mailboxes=self.mailboxes,
            seats=self.seats,
            space=self.space,
        )
        return behind.door(name)


class _Counts:
    """Counters over a sliding window, in this process."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._times: dict[str, list[float]] = {}

    async def __call__(self, key: str, per_s: int) -> int:
        now = self._clock.monotonic()
        times = [at for at in self._times.get(key, ()) if now - at <= per_s]
        times.append(now)
        self._times[key] = times
        return len(times)


def _outside(config: Config, mode: Mode) -> Outside:
    if config.outbound.hold:
        return Outside("held", "outbound.hold is set")
    if mode.hold_outside and config.outbound.smarthost.server is None:
        return Outside("held", mode.hold_outside)
    return Outside()


def _kept(config: Config) -> Kept:
    """Where mail goes to; each folder may lie on a disk of its own."""
    data = Path(config.data_dir)
    scheme, _, rest = config.store_url.partition("://")
    database = Path(rest) if scheme == "sqlite" else None
    folders = [data, data / "blobs", *([database.parent] if database is not None else [])]
    return Kept(database, data / "blobs", list(dict.fromkeys(folders)))


def _certificate(config: Config) -> Certificate | None:
    if config.tls.certificate is None or config.tls.key is None:
        return None
    return Certificate(Path(config.tls.certificate), Path(config.tls.key))


def _import_file(path: str) -> ModuleType:
    """An operator's own file of policies. Raises ConfigError if it cannot be imported."""
    spec = importlib.util.spec_from_file_location(f"ekiden_policies_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError([f"policies: {path} is not a Python file"])
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever an operator's file does when it is imported, the answer names the file
        raise ConfigError([f"policies: {path}: {type(error).__name__}: {error}"]) from error
    return module

"""What each kind of listener opens: a machine with the operator's limits, a session with its services, deadlines.

Source: house.md §4, §11.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import Any

from ekiden.app.config import Config
from ekiden.app.pressure import Pressure
from ekiden.base.clock import Clock
from ekiden.base.errors import ConfigError
from ekiden.base.ids import IdMaker
from ekiden.base.machine import Machine
from ekiden.imap import machine as imap_machine
from ekiden.net.listener import Door
from ekiden.net.tls import Certificate
from ekiden.policy.chain import Chain
from ekiden.policy.stage import Log, World
from ekiden.pop3.machine import Pop3Settings
from ekiden.sasl import offers
from ekiden.servers.imap import session as imap
from ekiden.servers.imap.session import ImapServices, Seats
from ekiden.servers.imap.table import command_table
from ekiden.servers.pop3 import session as pop3
from ekiden.servers.pop3.session import Pop3Services
from ekiden.servers.smtp import mx, submission
from ekiden.servers.smtp.session import Rules, SmtpServices, session_of
from ekiden.services.arrive import Arrivals
from ekiden.services.intake import Intakes
from ekiden.services.login import Logins
from ekiden.services.mailbox import Mailboxes
from ekiden.services.routing import Router
from ekiden.services.space import Space
from ekiden.smtp import replies
from ekiden.smtp.server import ServerSettings, SmtpServer

DOORS = ("mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s")
_SECURE = frozenset({"submissions", "imaps", "pop3s"})


@dataclass(frozen=True, slots=True)
class Behind:
    """All that lies behind the doors. policies: for what strangers send; own_people: for what accounts send."""

    config: Config
    log: Log
    clock: Clock
    ids: IdMaker
    world: World
    certificate: Certificate | None
    pressure: Pressure
    policies: Chain
    own_people: Chain
    router: Router
    arrivals: Arrivals
    intakes: Intakes
    logins: Logins
    mailboxes: Mailboxes
    seats: Seats
    space: Space

    def door(self, name: str) -> Door:
        """The door of one kind of listener (DOORS). Raises ConfigError for another."""
        self.context(name)  # now: by the first handshake other files may lie there
        if name == "mx":
            return self._smtp_door(mx.MX, secure=False)
        if name in ("submission", "submissions"):
            rules = submission.SUBMISSION if name == "submission" else submission.SUBMISSIONS
            return self._smtp_door(rules, secure=name in _SECURE)
        if name in ("imap", "imaps"):
            return self._imap_door(name, secure=name in _SECURE)
        if name in ("pop3", "pop3s"):
            return self._pop3_door(name, secure=name in _SECURE)
        raise ConfigError([f"listeners.{name}: there is no such door"])

    def context(self, service: str) -> ssl.SSLContext | None:
        """The TLS context of a service now, None where no certificate is configured."""
        return self.certificate.context(service) if self.certificate is not None else None

    def _smtp_door(self, rules: Rules, *, secure: bool) -> Door:
        timeouts, crowd = self.config.timeouts.smtp, self.pressure.crowd
        settings, strict = smtp_settings(self.config, rules.listener)
        mechanisms = offers.names(tls=True) if rules.needs_login else ()
        has_tls = self.certificate is not None

        def make_machine() -> Machine[Any]:
            chosen = strict if crowd.strained else settings
            return SmtpServer(chosen, secure=secure, offers_starttls=has_tls and not secure, offers_auth=mechanisms)

        services = SmtpServices(
            rules=rules,
            policies=self.own_people if rules.needs_login else self.policies,
            world=self.world,
            router=self.router,
            arrivals=self.arrivals,
            intakes=self.intakes,
            logins=self.logins,
            ids=self.ids,
            clock=self.clock,
            tls=lambda: self.context(rules.listener),
            mechanisms=offers.begin,
            space=self.space,
            implicit_tls=secure,
        )
        deadlines = {
            "command": float(timeouts.command),
            "auth": float(timeouts.auth),
            "message": float(timeouts.message),
            "rate": float(timeouts.data_rate),
            "handshake": float(timeouts.handshake),
        }
        short = float(timeouts.strained_command)
        return Door(
            rules.listener,
            make_machine,
            session_of(services),
            self.pressure.deadlines(deadlines, command=short, auth=short),
            replies.TOO_MANY_CONNECTIONS.encode(),
            secure,
            _say_421,
            replies.SERVER_FULL.encode(),
        )

    def _pop3_door(self, name: str, *, secure: bool) -> Door:
        limits, timeouts = self.config.limits, self.config.timeouts.pop3
        services = Pop3Services(
            name, self.mailboxes, self.logins, self.log, lambda: self.context(name), offers.begin, implicit_tls=secure
        )
        deadlines = {
            "login": float(timeouts.login),
            "idle": float(timeouts.idle),
            "write": float(timeouts.write),
            "handshake": float(timeouts.handshake),
        }
        short = float(self.config.timeouts.smtp.strained_command)
        settings = Pop3Settings(self.config.hostname, limits.pop3_line, limits.hard_errors, limits.pop3_failed_logins)
        return pop3.door_of(services, settings, offers.names(tls=True), self.pressure.deadlines(deadlines, login=short))

    def _imap_door(self, name: str, *, secure: bool) -> Door:
        limits, timeouts = self.config.limits, self.config.timeouts.imap
        machine_limits = imap_machine.Limits(
            command_bytes_before_login=limits.imap_command_before_login,
            command_bytes=limits.imap_command,
            literals=limits.imap_literals,
            message_bytes=limits.message_size,
            errors=limits.hard_errors,
            commands_before_login=limits.imap_commands_before_login,
        )
        commands = command_table()

        def make_machine() -> Machine[Any]:
            return imap_machine.ImapServer(commands, machine_limits, secure=secure)

        services = ImapServices(
            listener=name,
            mailboxes=self.mailboxes,
            logins=self.logins,
            clock=self.clock,
            log=self.log,
            tls=lambda: self.context(name),
            mechanisms=offers.begin,
            offers=lambda tls: offers.names(tls=tls),
            seats=self.seats,
            implicit_tls=secure,
        )
        deadlines = {
            "login": float(timeouts.login),
            "command": float(timeouts.idle),
            "idle": float(timeouts.idle),
            "write": float(timeouts.write),
            "handshake": float(timeouts.handshake),
        }
        short = float(self.config.timeouts.smtp.strained_command)
        deadlines = self.pressure.deadlines(deadlines, login=short)
        return Door(name, make_machine, imap.session_of(services, commands), deadlines, b"* BYE Too many connections\r\n", secure, _say_bye)


def smtp_settings(config: Config, listener: str) -> tuple[ServerSettings, ServerSettings]:
    """What an SMTP machine is told, and what it is told while the server is strained."""
    limits = config.limits
    settings = ServerSettings(
        hostname=config.hostname,
        listener=listener,
        message_bytes=limits.message_size,
        command_bytes=limits.smtp_command,
        auth_bytes=limits.smtp_auth_line,
        dropped_bytes=limits.overlong_discard,
        excess_bytes=limits.message_excess,
        line_bytes=limits.text_line,
        recipients=limits.recipients,
        messages=limits.messages_per_connection,
        errors_soft=limits.soft_errors,
        errors_hard=limits.hard_errors,
        idle_commands=limits.junk_commands,
    )
    hard_errors = min(limits.hard_errors, limits.strained_hard_errors)
    strict = replace(
        settings,
        errors_soft=min(limits.soft_errors, hard_errors),
        errors_hard=hard_errors,
        idle_commands=min(limits.junk_commands, limits.strained_junk_commands),
    )
    return settings, strict


def _say_421(machine: Machine[Any]) -> None:
    if isinstance(machine, SmtpServer):
        machine.say(replies.SHUTTING_DOWN)


def _say_bye(machine: Machine[Any]) -> None:
    if isinstance(machine, imap_machine.ImapServer):
        machine.shut_down()

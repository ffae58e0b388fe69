"""What the configuration says of mail that goes out, as the courier and its attempts want to hear it."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from pathlib import Path

from ekiden.app.clock import boot_id
from ekiden.app.config import Config
from ekiden.base.errors import ConfigError
from ekiden.dns.mx import is_public
from ekiden.net.dial import Sources
from ekiden.services.attempt import AttemptSettings
from ekiden.services.conversation import DEADLINES, Manner
from ekiden.services.courier import CourierSettings
from ekiden.services.schedule import Schedule
from ekiden.smtp.reply_reader import ReplyLimits


def attempt_settings(config: Config, own_names: tuple[str, ...]) -> AttemptSettings:
    """own_names: hosts that are this server, where mail is not sent to. Raises ConfigError for a password that cannot be read."""
    outbound = config.outbound
    manner = Manner(
        config.hostname,
        tls=outbound.smarthost.tls if outbound.smarthost.server is not None else "opportunistic",
        login=_smarthost_login(config),
        own_names=own_names,
        deadlines=_deadlines(config),
        replies=ReplyLimits(config.limits.reply_line, config.limits.reply_lines, config.limits.reply),
    )
    return AttemptSettings(
        manner,
        port=outbound.port,
        smarthost=outbound.smarthost.server,
        sources=_sources(config),
        connect_s=float(config.timeouts.outbound.connect),
        attempt_s=float(config.queue.attempt_time),
        may_dial=(lambda ip: True) if outbound.private_addresses else is_public,
        own_names=own_names,
    )


def courier_settings(config: Config, owner: str, deliveries: int) -> CourierSettings:
    """owner: whose its leases are. deliveries: how many may run at once."""
    wanted = config.queue
    schedule = Schedule(
        tuple(wanted.retry), wanted.jitter_percent / 100, wanted.lifetime, wanted.report_lifetime, wanted.delay_notice
    )
    return CourierSettings(
        owner, schedule, wanted.lease, wanted.attempt_time, deliveries, wanted.concurrency_per_hop, boot=boot_id()
    )


def _smarthost_login(config: Config) -> tuple[str, str] | None:
    smarthost = config.outbound.smarthost
    if smarthost.user is None or smarthost.password_file is None:
        return None
    try:
        password = Path(smarthost.password_file).read_text("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"outbound.smarthost.password_file: {error}"]) from error
    return smarthost.user, password


def _sources(config: Config) -> Sources:
    four = six = None
    for text in reversed(config.outbound.source_addresses):
        ip = ip_address(text)
        if isinstance(ip, IPv4Address):
            four = ip
        else:
            six = ip
    return Sources(four, six)


def _deadlines(config: Config) -> dict[str, float]:
    """Our settings under the names that the client machine gives to its waits."""
    t = config.timeouts.outbound
    return {
        **DEADLINES,
        "banner": float(t.banner),
        "hello": float(t.hello),
        "starttls": float(t.handshake),
        "handshake": float(t.handshake),
        "mail": float(t.mail),
        "rcpt": float(t.rcpt),
        "data-start": float(t.data_start),
        "write": float(t.data_block),
        "final": float(t.data_end),
        "reset": float(t.quit),
        "quit": float(t.quit),
    }

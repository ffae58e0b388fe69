"""The configuration: one typed tree from ekiden.toml and from environment variables that begin with EKIDEN_.

Every key has a type, a unit where it needs one, a default and a sentence that explains it; docs/settings.md is printed from
here. EKIDEN_LIMITS__MESSAGE_SIZE=25MB sets limits.message_size and wins over the file; a list is written a,b,c.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, TypeAlias

from ekiden.app.config_authentication import AuthenticationSettings
from ekiden.app.config_dmarc import DmarcSettings
from ekiden.app.config_score import ScoreSettings, check_score
from ekiden.base.endpoint import Endpoint, parse_endpoint, parse_host_name, parse_ip
from ekiden.base.errors import BadValue, ConfigError
from ekiden.base.settings import Entry, FromEnvironment, Problem, Setting, convert, entries, nearest, to_table, toml_text
from ekiden.base.texts import text
from ekiden.base.tomllines import Place, find_lines
from ekiden.base.units import Bytes, Seconds, size_text
from ekiden.mail.address import parse_domain

_FILE_BYTES = 1_048_576
_PREFIX = "EKIDEN_"
_OTHER_VARIABLES = frozenset(
    {
        "EKIDEN_CONFIG",
        "EKIDEN_CONFORMANCE",
        "EKIDEN_FAILPOINT",
        "EKIDEN_NIGHTLY",
        "EKIDEN_PEERS",
        "EKIDEN_PEERS_DIR",
        "EKIDEN_WORKER",
    }
)
TLS_LISTENERS = ("submission", "submissions", "imap", "imaps", "pop3", "pop3s")
"""Doors at which passwords are given, so that they make no sense without a certificate."""

Doors: TypeAlias = tuple[Endpoint, ...]


def _door(doc: str) -> Setting:
    return Setting(doc, parse=parse_endpoint, expects="endpoint")


def _name_server(given: str) -> Endpoint:
    return parse_endpoint(given, 53)


def _store_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.isascii() or not scheme.isalpha() or not rest:
        raise BadValue("store URL", url)
    return url


def _domain(name: str) -> str:
    return parse_domain(name).ascii


def _policy(name: str) -> str:
    module, colon, function = name.rpartition(":")
    if not colon or not function.isidentifier() or not (module == "builtin" or module.endswith(".py")):
        raise BadValue("policy", name)
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """The doors: which addresses each protocol listens on. An empty list keeps a door shut."""

    mx: Annotated[Doors, _door("SMTP from other servers, usually port 25.")] = (Endpoint("0.0.0.0", 25), Endpoint("::", 25))
    submission: Annotated[Doors, _door("SMTP from people, with STARTTLS, usually port 587.")] = ()
    submissions: Annotated[Doors, _door("SMTP from people, with TLS from the first byte, usually port 465.")] = ()
    imap: Annotated[Doors, _door("IMAP with STARTTLS, usually port 143.")] = ()
    imaps: Annotated[Doors, _door("IMAP with TLS from the first byte, usually port 993.")] = ()
    pop3: Annotated[Doors, _door("POP3 with STLS, usually port 110.")] = ()
    pop3s: Annotated[Doors, _door("POP3 with TLS from the first byte, usually port 995.")] = ()
    metrics: Annotated[
        Doors,
        _door("HTTP for Prometheus and probes: /metrics, /health, /ready. Without sign-in, so keep it on this machine."),
    ] = (Endpoint("127.0.0.1", 9325),)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The certificate that every door shows. Both files are read again when they change."""

    certificate: Annotated[str | None, Setting("PEM file with the certificate and its chain.", expects="path")] = None
    key: Annotated[str | None, Setting("PEM file with the private key; only its owner may read it.", expects="path")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """Which name servers are asked."""

    servers: Annotated[
        tuple[Endpoint, ...],
        Setting(
            "Resolvers to ask, as address:port. Empty: those of /etc/resolv.conf at start.",
            parse=_name_server,
            expects="endpoint",
        ),
    ] = ()
    trusted: Annotated[
        tuple[str, ...],
        Setting(
            "Addresses of resolvers that validate DNSSEC and that nobody can stand in for: what they say is proved counts as proved.",
            parse=parse_ip,
            expects="ip",
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where mail, accounts and the queue are kept."""

    url: Annotated[
        str | None,
        Setting("The database. Not set: the file ekiden.db in data_dir.", parse=_store_url, expects="store-url"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Smarthost:
    """A server that takes all outgoing mail. Not set: mail goes straight to the servers of its domain."""

    server: Annotated[Endpoint | None, Setting("Host and port of the server.", parse=parse_endpoint, expects="server")] = None
    tls: Annotated[
        str,
        Setting(
            "starttls and implicit need a valid certificate, opportunistic takes what there is, none never asks for TLS.",
            choices=("starttls", "implicit", "opportunistic", "none"),
        ),
    ] = "starttls"
    user: Annotated[str | None, Setting("The name to sign in with. Not set: no AUTH.")] = None
    password_file: Annotated[str | None, Setting("A file whose first line is the password.", expects="path")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """How mail leaves."""

    port: Annotated[int, Setting("The port of other mail servers.", low=1, high=65535)] = 25
    source_addresses: Annotated[
        tuple[str, ...],
        Setting("Local addresses to send from: the first of each family is used. Empty: the system chooses.", parse=parse_ip, expects="ip"),
    ] = ()
    private_addresses: Annotated[
        bool, Setting("Also call servers whose address is private or of this machine. Never one of our own listeners.")
    ] = True
    hold: Annotated[bool, Setting("Keep all outgoing mail in the queue as held until somebody releases it.")] = False
    smarthost: Smarthost = field(default_factory=Smarthost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """How secrets are kept: signing keys and what sends bounces of forwarded mail back lie in the store, encrypted."""

    master_file: Annotated[
        str | None,
        Setting(
            "The file with the master key, such as a credential of systemd. Not set: master.key in data_dir, made when it is needed.",
            expects="path",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwards:
    """How aliases send mail on to other servers."""

    rewrite_sender: Annotated[
        bool, Setting("Send on under a sender of ours (SRS), so that SPF passes; bounces go back to the real sender.")
    ] = True
    seal: Annotated[bool, Setting("Also seal it (ARC, RFC 8617) with a key of the alias's domain, if there is one.")] = False
    sender_domain: Annotated[
        str | None,
        Setting(
            "The domain of such senders; its MX must be this server. Not set: the domain of the alias.", parse=_domain, expects="domain"
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """When mail that could not be handed over is tried again, and when it is given up (RFC 5321 §4.5.4)."""

    retry: Annotated[tuple[Seconds, ...], Setting("Waits between one attempt and the next; the last one repeats.", low=1, high=86_400)] = (
        300,
        600,
        1200,
        2400,
        3600,
        7200,
        10_800,
        14_400,
    )
    jitter_percent: Annotated[int, Setting("Each wait is made longer or shorter by up to this share.", high=50)] = 10
    lifetime: Annotated[Seconds, Setting("After this time a message goes back to its sender.", low=60, high=2_592_000)] = 432_000
    report_lifetime: Annotated[
        Seconds, Setting("After this time a message with the null sender (a report) is given up.", low=60, high=2_592_000)
    ] = 172_800
    delay_notice: Annotated[Seconds, Setting("After this time the sender hears that a message still waits; 0 never.", high=2_592_000)] = (
        14_400
    )
    attempt_time: Annotated[Seconds, Setting("The longest that one delivery attempt may take.", low=10, high=7200)] = 1800
    lease: Annotated[Seconds, Setting("How long a courier may keep a delivery before another one may take it.", low=20, high=14_400)] = 2100
    concurrency: Annotated[int, Setting("Delivery attempts at the same time, each process.", low=1, high=10_000)] = 100
    concurrency_per_hop: Annotated[int, Setting("Delivery attempts at the same time to one destination.", low=1, high=1000)] = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of anything is taken from anybody."""

    smtp_command: Annotated[Bytes, Setting("One SMTP command line with its CRLF.", low=512, high=65_536)] = 4096
    smtp_auth_line: Annotated[Bytes, Setting("One line of an AUTH exchange.", low=12_288, high=65_536)] = 12_288
    overlong_discard: Annotated[
        Bytes, Setting("How much of an overlong line is thrown away before the connection is closed.", low=1024, high=1_048_576)
    ] = 65_536
    text_line: Annotated[Bytes, Setting("One line of a message as received.", low=1000, high=10_000_000)] = 65_536
    recipients: Annotated[int, Setting("Recipients of one message; more get 452 4.5.3.", low=100, high=100_000)] = 1000
    messages_per_connection: Annotated[int, Setting("Messages over one SMTP connection.", low=1, high=1_000_000)] = 100
    message_size: Annotated[Bytes, Setting("One message; announced with SIZE.", low=65_536, high=2_000_000_000)] = 50_000_000
    message_excess: Annotated[
        Bytes, Setting("How much more than message_size is read before the connection is closed.", high=1_000_000_000)
    ] = 1_048_576
    header: Annotated[Bytes, Setting("The header of a message; larger ones get 552 5.3.4.", low=65_536, high=100_000_000)] = 1_048_576
    header_fields: Annotated[int, Setting("Fields of a header; more get 552 5.3.4.", low=200, high=10_000)] = 2000
    header_field: Annotated[
        Bytes, Setting("One field of a header with its folds; longer ones get 552 5.3.4.", low=998, high=100_000_000)
    ] = 262_144
    hops: Annotated[int, Setting("Received fields from which on a message is taken for a loop.", low=100, high=10_000)] = 100
    soft_errors: Annotated[int, Setting("Errors of a client after which it is answered slowly.", low=1, high=1000)] = 10
    hard_errors: Annotated[int, Setting("Errors of a client after which its connection ends.", low=1, high=10_000)] = 20
    junk_commands: Annotated[int, Setting("NOOP, VRFY, RSET and the like before a message.", low=10, high=100_000)] = 100
    reply_line: Annotated[Bytes, Setting("One line of a reply that another server gives us.", low=512, high=65_536)] = 4096
    reply_lines: Annotated[int, Setting("Lines of such a reply.", low=10, high=10_000)] = 100
    reply: Annotated[Bytes, Setting("Such a reply as a whole.", low=4096, high=1_048_576)] = 65_536
    imap_command_before_login: Annotated[
        Bytes, Setting("One IMAP command with its literals, before sign-in.", low=1024, high=1_048_576)
    ] = 8192
    imap_command: Annotated[
        Bytes, Setting("The same after sign-in; the message of APPEND counts against message_size.", low=8192, high=16_777_216)
    ] = 65_536
    imap_literals: Annotated[int, Setting("Literals of one IMAP command.", low=10, high=10_000)] = 100
    imap_commands_before_login: Annotated[
        int, Setting("IMAP commands before sign-in; then the connection ends.", low=10, high=100_000)
    ] = 100
    failed_logins_per_minute: Annotated[
        int, Setting("Wrong passwords from one network in a minute; then it has to wait.", low=1, high=10_000)
    ] = 10
    failed_logins_per_day: Annotated[int, Setting("The same in a day.", low=1, high=1000)] = 50
    pop3_failed_logins: Annotated[int, Setting("Wrong passwords after which a POP3 connection ends.", low=1, high=100)] = 3
    mailboxes: Annotated[int, Setting("Mailboxes of one account.", low=10, high=1_000_000)] = 10_000
    keywords: Annotated[int, Setting("Different keywords in one mailbox.", low=10, high=10_000)] = 256
    mailbox_name: Annotated[Bytes, Setting("The name of a mailbox with all its levels.", low=64, high=8192)] = 1024
    mailbox_levels: Annotated[int, Setting("Mailboxes within mailboxes.", low=5, high=200)] = 50
    pop3_line: Annotated[Bytes, Setting("One POP3 command line with its CRLF.", low=255, high=65_536)] = 512
    free_space: Annotated[
        Bytes, Setting("With less than this free on the disk, new mail gets 452 4.3.1; reading and sending go on.", high=10**15)
    ] = 536_870_912
    free_percent: Annotated[int, Setting("The same with less than this share of the disk, or of its inodes, free.", high=90)] = 5
    connections: Annotated[
        int,
        Setting("Connections at the same time, each process; fewer where the system gives too few descriptors.", low=10, high=1_000_000),
    ] = 5000
    connections_per_address: Annotated[int, Setting("The same from one address.", low=1, high=1_000_000)] = 50
    strained_percent: Annotated[
        int, Setting("From this share of connections on, clients have less time and fewer errors; 0 never.", high=100)
    ] = 90
    strained_hard_errors: Annotated[int, Setting("Then instead of hard_errors, if that is more.", low=1, high=10_000)] = 3
    strained_junk_commands: Annotated[int, Setting("Then instead of junk_commands, if that is more.", low=1, high=100_000)] = 10
    memory: Annotated[
        Bytes,
        Setting(
            "What a process may use; 0: its part of half the machine, unless a control group or RLIMIT_AS says less.", high=10**15
        ),
    ] = 0
    memory_percent: Annotated[
        int, Setting("From this share of it on, no more mail (452 4.3.1) and no more connections (421 4.3.2).", low=10, high=100)
    ] = 80
    content_memory: Annotated[
        Bytes, Setting("What the content of all messages under way may take, each process; 0: a quarter of memory.", high=10**15)
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpTimeouts:
    """How long an SMTP client may take (RFC 5321 §4.5.3.2)."""

    command: Annotated[Seconds, Setting("From a reply to the end of the next whole command line.", low=10, high=3600)] = 300
    strained_command: Annotated[Seconds, Setting("The same while there are nearly too many connections.", low=1, high=3600)] = 10
    message: Annotated[Seconds, Setting("One whole message.", low=60, high=86_400)] = 1800
    data_rate: Annotated[
        Bytes, Setting("Content of a message in each second, averaged over a minute; who is slower is cut off.", high=1_000_000)
    ] = 500
    handshake: Annotated[Seconds, Setting("A TLS handshake.", low=5, high=600)] = 60
    auth: Annotated[Seconds, Setting("One answer in an AUTH exchange.", low=10, high=3600)] = 300
    judging: Annotated[
        Seconds, Setting("From the end of a message to the verdict of all policies; then 451 and nothing is kept.", low=1, high=600)
    ] = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundTimeouts:
    """How long another server may take (RFC 5321 §4.5.3.2)."""

    connect: Annotated[Seconds, Setting("Opening a connection to one address.", low=1, high=600)] = 30
    banner: Annotated[Seconds, Setting("The greeting.", low=5, high=3600)] = 300
    hello: Annotated[Seconds, Setting("The answer to EHLO or HELO.", low=5, high=3600)] = 300
    handshake: Annotated[Seconds, Setting("STARTTLS and the TLS handshake.", low=5, high=600)] = 60
    mail: Annotated[Seconds, Setting("The answer to MAIL.", low=5, high=3600)] = 300
    rcpt: Annotated[Seconds, Setting("The answer to RCPT.", low=5, high=3600)] = 300
    data_start: Annotated[Seconds, Setting("The answer to DATA.", low=5, high=3600)] = 120
    data_block: Annotated[Seconds, Setting("Taking one block of a message.", low=5, high=3600)] = 180
    data_end: Annotated[Seconds, Setting("The answer to the final dot.", low=60, high=7200)] = 600
    quit: Annotated[Seconds, Setting("The answer to RSET or QUIT.", low=1, high=600)] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapTimeouts:
    """How long an IMAP client may take (RFC 9051 §5.4)."""

    login: Annotated[Seconds, Setting("From the greeting to a sign-in.", low=10, high=3600)] = 60
    idle: Annotated[Seconds, Setting("Silence after sign-in.", low=1800, high=86_400)] = 1800
    write: Annotated[Seconds, Setting("A client that reads nothing.", low=10, high=3600)] = 300
    handshake: Annotated[Seconds, Setting("A TLS handshake.", low=5, high=600)] = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3Timeouts:
    """How long a POP3 client may take (RFC 1939 §3)."""

    login: Annotated[Seconds, Setting("From the greeting to a sign-in.", low=10, high=3600)] = 60
    idle: Annotated[Seconds, Setting("Silence after sign-in.", low=600, high=86_400)] = 600
    write: Annotated[Seconds, Setting("A client that reads nothing.", low=10, high=3600)] = 300
    handshake: Annotated[Seconds, Setting("A TLS handshake.", low=5, high=600)] = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long anybody may take."""

    smtp: SmtpTimeouts = field(default_factory=SmtpTimeouts)
    outbound: OutboundTimeouts = field(default_factory=OutboundTimeouts)
    imap: ImapTimeouts = field(default_factory=ImapTimeouts)
    pop3: Pop3Timeouts = field(default_factory=Pop3Timeouts)
    shutdown: Annotated[Seconds, Setting("From a stop signal until open conversations are cut.", high=600)] = 20
    hang: Annotated[Seconds, Setting("A process that gives no sign of life for so long is killed and replaced.", low=2, high=600)] = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is written to standard error."""

    level: Annotated[str, Setting("The least important kind of line that is written.", choices=("debug", "info", "warning", "error"))] = (
        "info"
    )
    format: Annotated[str, Setting("Lines for people, or JSON for programs.", choices=("text", "json"))] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that an operator decides."""

    hostname: Annotated[
        str,
        Setting("The name of this server: greeting, Received fields, EHLO to others.", parse=parse_host_name, expects="host-name"),
    ]
    domains: Annotated[
        tuple[str, ...],
        Setting("Domains whose mail is for us. Further ones may be added with `ekiden domain add`.", parse=_domain, expects="domain"),
    ] = ()
    data_dir: Annotated[str, Setting("The folder of the store; only the server's user may enter it.", expects="path")] = "/var/lib/ekiden"
    processes: Annotated[
        int, Setting("Processes for the doors, beside a supervisor and one for the queue; 1 does everything in one.", low=1, high=100)
    ] = 1
    user: Annotated[str | None, Setting("The system user to become after the doors are open, when started as root.")] = None
    language: Annotated[str, Setting("The language of the command line and of reports to people.", choices=("en", "ja"))] = "en"
    policies: Annotated[
        tuple[str, ...],
        Setting(
            "What judges mail, in this order: builtin:NAME, or FILE.py:FUNCTION beside the configuration.", parse=_policy, expects="policy"
        ),
    ] = ("builtin:authentication", "builtin:dmarc", "builtin:score")
    listeners: Listeners = field(default_factory=Listeners)
    tls: TlsFiles = field(default_factory=TlsFiles)
    dns: Dns = field(default_factory=Dns)
    authentication: AuthenticationSettings = field(default_factory=AuthenticationSettings)
    dmarc: DmarcSettings = field(default_factory=DmarcSettings)
    score: ScoreSettings = field(default_factory=ScoreSettings)
    store: Store = field(default_factory=Store)
    outbound: Outbound = field(default_factory=Outbound)
    keys: Keys = field(default_factory=Keys)
    forwarding: Forwards = field(default_factory=Forwards)
    queue: Queue = field(default_factory=Queue)
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    log: Log = field(default_factory=Log)

    @property
    def store_url(self) -> str:
        """store.url, or the SQLite file in data_dir."""
        return self.store.url or f"sqlite://{Path(self.data_dir).absolute() / 'ekiden.db'}"



def load(path: Path | None, environ: Mapping[str, str], lang: str = "en") -> Config:
    """The configuration of a file (None: environment alone); relative paths start at its folder. Raises ConfigError."""
    source = _read(path, lang) if path is not None else ""
    name = str(path) if path is not None else ""
    try:
        table: dict[str, object] = tomllib.loads(source)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([_of_file(name, lang, text("config.not-toml", lang, error=str(error)))]) from error
    variables = _overlay(table, environ)
    config, problems = convert(Config, table)
    if config is not None:
        if path is not None:
            config = _absolute(config, path.absolute().parent)
        problems = check(config)
    if config is None or problems:
        lines = find_lines(source)
        raise ConfigError([_sentence(problem, name, lines, variables, lang) for problem in problems])
    return config


def check(config: Config) -> list[Problem]:
    """What no single value shows: settings that need or exclude one another."""
    problems: list[Problem] = []
    tls, smarthost = config.tls, config.outbound.smarthost
    if (tls.certificate is None) != (tls.key is None):
        given, absent = ("key", "certificate") if tls.certificate is None else ("certificate", "key")
        problems.append(Problem(("tls", given), "certificate-without-key", {"given": given, "absent": absent}))
    taken: dict[Endpoint, str] = {}
    for each in fields(config.listeners):
        endpoints: tuple[Endpoint, ...] = getattr(config.listeners, each.name)
        if endpoints and each.name in TLS_LISTENERS and tls.certificate is None and tls.key is None:
            problems.append(Problem(("listeners", each.name), "needs-tls", {"listener": each.name}))
        for position, endpoint in enumerate(endpoints):
            if endpoint in taken and endpoint.port:
                clash = {"endpoint": str(endpoint), "first": taken[endpoint], "second": each.name}
                problems.append(Problem(("listeners", each.name, position), "same-address", clash))
            taken[endpoint] = each.name
    if smarthost.password_file is not None and smarthost.user is None:
        problems.append(Problem(("outbound", "smarthost", "password_file"), "password-without-user"))
    if smarthost.user is not None and smarthost.password_file is None:
        problems.append(Problem(("outbound", "smarthost", "user"), "user-without-password"))
    return problems + check_score(config.score, config.policies)


def show(config: Config) -> str:
    """The effective configuration as a TOML document that load() would read as the same tree."""
    return toml_text(config)


def as_table(config: Config) -> dict[str, object]:
    """The effective configuration as plain JSON values."""
    return to_table(config)


def settings() -> list[Entry]:
    """Every key of the configuration with its type, default, range and explanation, in the order of the file."""
    return list(entries(Config))


def unknown_variables(environ: Mapping[str, str], lang: str = "en") -> list[str]:
    """A sentence for each EKIDEN_ variable that sets nothing. They do not stop a start: other programs set such names too."""
    known = list(_variables())
    found = []
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known and name not in _OTHER_VARIABLES:
            near = nearest(name, known)
            key = "config.unknown-variable-near" if near else "config.unknown-variable"
            found.append(text(key, lang, name=name, nearest="".join(near)))
    return found


def _read(path: Path, lang: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES + 1)
    except OSError as error:
        reason = text("config.unreadable", lang, error=error.strerror or str(error))
        raise ConfigError([_of_file(str(path), lang, reason)]) from error
    if len(raw) > _FILE_BYTES:
        raise ConfigError([_of_file(str(path), lang, text("config.too-big", lang, limit=size_text(_FILE_BYTES)))])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([_of_file(str(path), lang, text("config.not-utf8", lang))]) from error


def _of_file(path: str, lang: str, reason: str) -> str:
    return text("config.problem-of-file", lang, where=path, reason=reason)


def _variables() -> dict[str, tuple[str, ...]]:
    """The environment variable of each setting, with the way to it."""
    plain = [entry for entry in entries(Config) if entry.kind != "table" and not entry.repeated]
    return {_PREFIX + "__".join(entry.place).upper(): entry.place for entry in plain}


def _overlay(table: dict[str, object], environ: Mapping[str, str]) -> dict[Place, str]:
    """Put the values of environment variables into the table; returns which variable each place came from."""
    used: dict[Place, str] = {}
    for variable, place in _variables().items():
        if variable not in environ:
            continue
        level = table
        for key in place[:-1]:
            inner = level.setdefault(key, {})
            if not isinstance(inner, dict):
                break  # the file has a wrong type here; convert() says so
            level = inner
        else:
            level[place[-1]] = FromEnvironment(environ[variable])
            used[place] = variable
    return used


def _absolute(config: Config, folder: Path) -> Config:
    """Relative paths start at the folder of the file, wherever the command was called."""
    from dataclasses import replace

    def fixed(given: str | None) -> str | None:
        return None if given is None else str(folder / given)

    smarthost = replace(config.outbound.smarthost, password_file=fixed(config.outbound.smarthost.password_file))
    return replace(
        config,
        data_dir=str(folder / config.data_dir),
        tls=replace(config.tls, certificate=fixed(config.tls.certificate), key=fixed(config.tls.key)),
        outbound=replace(config.outbound, smarthost=smarthost),
        authentication=replace(config.authentication, public_suffix_list=fixed(config.authentication.public_suffix_list)),
        keys=replace(config.keys, master_file=fixed(config.keys.master_file)),
        policies=tuple(name if name.startswith("builtin:") else str(folder / name) for name in config.policies),
    )


def _sentence(problem: Problem, file: str, lines: Mapping[Place, int], variables: Mapping[Place, str], lang: str) -> str:
    place = problem.place
    where = variables.get(place, file)
    if place not in variables:
        known = next((place[:length] for length in range(len(place), 0, -1) if place[:length] in lines), None)
        where = f"{file}:{lines[known]}" if known is not None else file
    given = dict(problem.fields)
    if "expected" in given:
        given["expected"] = text("config.expects-" + given["expected"], lang)
    reason = text("config." + problem.reason, lang, **given)
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    return text("config.problem", lang, where=where or "ekiden.toml", key=key, reason=reason)

"""What is counted while the server works: every number by its name, with a sentence that explains it.

One set of numbers a process, as there is one process to look at; app.metrics reads them and tells others. Whoever does the work
keeps the cell of its labels, and then counting is `cell.value += 1`: 0.04 µs. Each cell is written by one thread only.
Source: the naming rules of Prometheus: unit in the name, base units, _total for what only grows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache


class Join(Enum):
    """What becomes of the numbers of several processes: added, the largest, or one each with the label "worker"."""

    SUM = "sum"
    MAX = "max"
    EACH = "each"


class Cell:
    """One number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Bins:
    """How often a quantity fell between two bounds. counts has one place more than there are bounds: what is above them all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, quantity: float) -> None:
        """Count one; a quantity on a bound belongs below it."""
        self.counts[bisect_left(self.bounds, quantity)] += 1
        self.total += quantity


@dataclass(frozen=True, slots=True)
class About:
    """What a measure is. name: without the prefix "ekiden_". values: for the page, what the labels may be."""

    name: str
    doc: str
    labels: tuple[str, ...] = ()
    values: str = ""
    join: Join = Join.SUM


class Counter:
    """Only grows, from the start of its process."""

    kind = "counter"

    def __init__(self, about: About) -> None:
        self.about = about
        self.cells: dict[tuple[str, ...], Cell] = {}
        if not about.labels:
            self.of()

    def of(self, *labels: str) -> Cell:
        """The cell of these labels, made when it is first asked for; labels come from us, never from a peer. Raises ValueError."""
        cell = self.cells.get(labels)
        if cell is None:
            if len(labels) != len(self.about.labels):
                raise ValueError(f"{self.about.name} has the labels {self.about.labels}, not {labels}")
            cell = self.cells[labels] = Cell()
        return cell


class Gauge(Counter):
    """Goes up and down."""

    kind = "gauge"


class Histogram:
    """How quantities are spread."""

    kind = "histogram"

    def __init__(self, about: About, bounds: tuple[float, ...]) -> None:
        self.about = about
        self.bounds = bounds
        self.cells: dict[tuple[str, ...], Bins] = {}
        if not about.labels:
            self.of()

    def of(self, *labels: str) -> Bins:
        """The bins of these labels, as Counter.of()."""
        bins = self.cells.get(labels)
        if bins is None:
            if len(labels) != len(self.about.labels):
                raise ValueError(f"{self.about.name} has the labels {self.about.labels}, not {labels}")
            bins = self.cells[labels] = Bins(self.bounds)
        return bins


Measure = Counter | Histogram

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
_DOORS = "mx, submission, submissions, imap, imaps, pop3, pop3s"

# ---- doors -----------------------------------------------------------------------------------------

CONNECTIONS = Counter(About("connections_total", "Connections that were taken.", ("door",), _DOORS))
CONNECTIONS_OPEN = Gauge(About("connections_open", "Connections that are open now.", ("door",), _DOORS))
CONNECTIONS_REFUSED = Counter(
    About("connections_refused_total", "Connections turned away: too many in all, or from one address.", ("door",), _DOORS)
)
ACCEPT_PAUSES = Counter(
    About("accept_pauses_total", "How often accepting had to pause, because the system gave no descriptor or memory.", ("door",), _DOORS)
)
STRAINED = Gauge(
    About("strained", "1 while there are so many connections that clients have less time and fewer errors.", join=Join.EACH)
)
TLS_HANDSHAKES = Counter(
    About("tls_handshakes_total", "TLS handshakes that worked.", ("side", "version"), "side: server, client; version: TLSv1.2, TLSv1.3")
)
TLS_FAILURES = Counter(About("tls_failures_total", "TLS handshakes that did not.", ("side",), "server, client"))
CERTIFICATE_ENDS_AT = Gauge(
    About("tls_certificate_end_time_seconds", "When our certificate ends, in seconds since 1970; 0 without one.", join=Join.MAX)
)
CERTIFICATE_REFUSED = Gauge(
    About("tls_certificate_refused", "1 while the files of the certificate are no good and the former one is served.", join=Join.MAX)
)
CERTIFICATE_NOTICES = Counter(
    About("tls_certificate_notices_total", "Notices that our certificate ends, each given once.", ("days",), "21, 7, 1, 0 (it has ended)")
)
LOGINS = Counter(
    About(
        "logins_total",
        "Attempts to sign in.",
        ("door", "mechanism", "result"),
        "mechanism: PLAIN, LOGIN, … (command: a command that is not SASL); result: ok, wrong, too-many, busy, broken",
    )
)

# ---- SMTP ------------------------------------------------------------------------------------------

SMTP_REPLIES = Counter(
    About("smtp_replies_total", "Replies of our SMTP doors by the first digit of their code.", ("door", "code"), "code: 2xx, 3xx, 4xx, 5xx")
)
MESSAGES = Counter(
    About(
        "messages_total",
        "Messages at their final dot, by what we said to them.",
        ("door", "result"),
        "result: accepted (2xx), deferred (4xx), refused (5xx)",
    )
)
RECEIVED_BYTES = Counter(About("messages_received_bytes_total", "Content of messages that came to their final dot.", ("door",), _DOORS))
DOT_SECONDS = Histogram(
    About("smtp_final_reply_seconds", "From the final dot of a message to our reply to it.", ("door",), "mx, submission, submissions"),
    _SECONDS,
)

# ---- the store -------------------------------------------------------------------------------------

COMMITS = Histogram(About("store_commit_functions", "Functions that one commit of the store carried."), _SIZES)
COMMIT_SECONDS = Histogram(About("store_commit_seconds", "One commit of the store, from its beginning to after the sync."), _SECONDS)
STORE_BYTES = Gauge(About("store_database_bytes", "The database with its log, without the files of large messages.", join=Join.MAX))
BLOB_BYTES = Gauge(About("store_blob_bytes", "The files of large messages; counted anew every 10 minutes.", join=Join.MAX))
DISK_FREE = Gauge(
    About("store_disk_free_bytes", "What is free for us on the disk of the store; of two, where there is less.", join=Join.MAX)
)
TAKES_MAIL = Gauge(
    About("store_takes_mail", "1 while new mail is taken, 0 while the disk is too full or the store is damaged.", join=Join.EACH)
)

# ---- the queue -------------------------------------------------------------------------------------

QUEUE_LENGTH = Gauge(
    About("queue_length", "Unfinished copies in the queue; looked at every 15 seconds.", ("status",), "due, held", Join.MAX)
)
QUEUE_OLDEST = Gauge(
    About("queue_oldest_seconds", "The age of the oldest unfinished copy; 0 without one.", join=Join.MAX)
)
DELIVERIES = Counter(
    About(
        "deliveries_total",
        "What became of copies that were tried.",
        ("result",),
        "delivered, deferred, failed, expired",
    )
)
ATTEMPTS = Counter(
    About("delivery_attempts_total", "Conversations of the courier with next hops.", ("result",), "reached, unreached")
)
REPORTS = Counter(About("reports_total", "Bounces and delay notices that we wrote."))
LEASES_LOST = Counter(About("delivery_leases_lost_total", "Outcomes that were not recorded, because another had taken the copy."))

# ---- DNS -------------------------------------------------------------------------------------------

DNS_ANSWERS = Counter(
    About("dns_answers_total", "Questions to name servers, by what came of them.", ("finding",), "found, nodata, nxdomain, failed")
)
DNS_HITS = Counter(About("dns_cache_hits_total", "Questions that were answered from memory."))

# ---- mailboxes -------------------------------------------------------------------------------------

IMAP_COMMANDS = Histogram(
    About("imap_command_seconds", "IMAP commands and how long they took; IDLE for as long as it lasted.", ("command",), "FETCH, …"),
    _SECONDS,
)

POP3_COMMANDS = Counter(
    About(
        "pop3_commands_total",
        "POP3 commands and how they were answered.",
        ("command", "result"),
        "command: RETR, …, other (no command of ours); result: ok (+OK), error (-ERR)",
    )
)
POP3_SECONDS = Histogram(
    About("pop3_command_seconds", "POP3 commands that need accounts or the store: how long they took.", ("command",), "PASS, RETR, …"),
    _SECONDS,
)

# ---- the process -----------------------------------------------------------------------------------

LOOP_LAG = Histogram(About("event_loop_lag_seconds", "How late the event loop came to what was due; looked at twice a second."), _SECONDS)
MEMORY = Gauge(About("process_resident_memory_bytes", "Memory that the process holds.", join=Join.EACH))
OPEN_FILES = Gauge(About("process_open_fds", "File descriptors that the process holds.", join=Join.EACH))
CPU_SECONDS = Counter(About("process_cpu_seconds_total", "Processor time of the process.", join=Join.EACH))
STARTED_AT = Gauge(About("process_start_time_seconds", "When the process started, in seconds since 1970.", join=Join.EACH))
WORKER_STARTS = Counter(About("worker_starts_total", "Processes that the supervisor has started, one after a death included."))
WORKER_DEATHS = Counter(About("worker_deaths_total", "Processes that ended although nobody had asked them to."))
LOGS_DROPPED = Counter(About("log_lines_dropped_total", "Log lines that were thrown away, because their reader was too slow or gone."))


def all_measures() -> Iterator[Measure]:
    """Every measure, in the order of this file."""
    for each in globals().values():
        if isinstance(each, Counter | Histogram):
            yield each


@cache
def code_cells(door: str) -> tuple[Cell, ...]:
    """The cells of SMTP_REPLIES for one door, by the first digit of a code; 0 and 1 are never used by a reply of ours."""
    unused = Cell()
    return (unused, unused, *(SMTP_REPLIES.of(door, f"{digit}xx") for digit in (2, 3, 4, 5)))


_RESULTS = ("", "", "accepted", "", "deferred", "refused")


class Dots:
    """What is counted at the final dot of the messages of one door."""

    __slots__ = ("_bins", "_cells")

    def __init__(self, door: str) -> None:
        self._bins = DOT_SECONDS.of(door)
        self._cells = tuple(MESSAGES.of(door, name) if name else Cell() for name in _RESULTS)

    def count(self, code: int, seconds: float) -> None:
        """One message was answered with code, so long after its dot."""
        self._cells[code // 100].value += 1
        self._bins.observe(seconds)


@cache
def dots_of(door: str) -> Dots:
    """The counts of one door, the same for all its sessions."""
    return Dots(door)

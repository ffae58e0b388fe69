"""A run: twenty SMTP clients, two IMAP clients, a remote host that takes, puts off and refuses, one server, and what happens to it.

Recipients are ours (with an alias that stands for two, and an account that soon is over its quota), and of the remote host, which
accepts, says 4xx or 5xx by address, and now and then takes a message and goes away without an answer.
Source: reliability.md §3.1.
"""

from __future__ import annotations

import imaplib
import random
import shutil
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.crash.ledger import collect
from tests.crash.ledger.clients import BROKEN, MOST_RECIPIENTS, Client, Kinds, Sender
from tests.crash.ledger.readers import Keeper, judge_imap, read_events
from tests.crash.ledger.verdict import Copy, Verdict, judge_copies
from tests.crash.ledger.writing import OFTEN, Heard, Ledger, Notes, read_message, read_states
from tests.doors.server import Ekiden, Settings
from tests.peers.process import until

from ekiden.testing.peers import CLOSE, Action, ScriptedHost

DOMAIN = "one.test"
ACCOUNTS = tuple(f"{name}@{DOMAIN}" for name in ("alice", "bob", "carol", "dave", "full"))
ALICE, BOB, CAROL, DAVE, FULL = ACCOUNTS
CREW = f"crew@{DOMAIN}"
WAYS = {CREW: (f"{CREW} for {CAROL}", f"{CREW} for {DAVE}")}
GOES_AWAY_EACH = 25
"""Each so many messages the remote host takes one and ends the connection."""
_TAKEN = "250 2.0.0 taken"
_QUIET_S = 40.0
_ENDS_EACH = 2
"""A fault may end two connections of a client: one to a worker, and one to an orphan, which lives a moment longer."""


def remote_addresses(ip: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Accepted, 4xx, 5xx."""
    return tuple(f"ok{number}@[{ip}]" for number in range(3)), (f"later@[{ip}]",), (f"never@[{ip}]",)


def remote_host() -> ScriptedHost:
    """The scripted remote; it logs each copy that it accepts, in this process, which nobody kills."""
    answers: list[Action] = [_TAKEN] * (GOES_AWAY_EACH - 1)
    made = ScriptedHost(says={"content": [*[*answers, CLOSE] * 400, _TAKEN]})
    _, later, never = remote_addresses(str(made.ip))
    made.recipients = {**dict.fromkeys(later, "451 4.3.0 later"), **dict.fromkeys(never, "550 5.1.1 nobody of that name")}
    return made


def settings(host: ScriptedHost, processes: int = 1) -> Settings:
    """Of a server for a run: many connections from one address, quick second tries and then a long wait."""
    more = {
        "": [f"processes = {processes}"],
        "limits": ["connections_per_address = 500", "soft_errors = 1000", "hard_errors = 10000", "junk_commands = 100000"],
        "queue": ["retry = ['1s', '1h']", "jitter_percent = 0"],
    }
    return Settings(accounts=(), doors=("mx", "submission", "submissions", "imaps"), outbound_port=host.port, more=more)


def prepare(folder: Path, certificate: tuple[Path, Path, Path]) -> Path:
    """A data directory with all accounts and the alias, closed in good order; begin() copies it."""
    server = Ekiden(folder, certificate, Settings(accounts=(), doors=("mx",)))
    _add_people(server)
    server.stop()
    return folder / "data"


def _add_people(server: Ekiden) -> None:
    for account in ACCOUNTS:
        quota = ("--quota", "40KB") if account == FULL else ()
        server.command("account", "add", account, *quota, "--password-stdin", input=server.settings.password + "\n")
    server.command("alias", "add", CREW, CAROL, DAVE)


def begin(people: Path, folder: Path) -> Path:
    """The folder of a new server that knows the people. Without it a Run makes them, which takes some seconds."""
    shutil.copytree(people, folder / "data")
    return folder


class Run:
    """Everything around one server. Use it with `with`: clients talk from enter to calm().

    happens(): what a test lets happen meanwhile ends with look(), so that the numbers of the mailboxes before and after can be compared.
    """

    def __init__(
        self, server: Ekiden, host: ScriptedHost, folder: Path, *, name: str = "run", senders: int = 20, often: Sequence[int] = OFTEN
    ) -> None:
        self.server = server
        self.host = host
        self.folder = folder
        self.database = server.folder / "data" / "ekiden.db"
        self.observations: list[Mapping[str, collect.Box]] = []
        self._stop = threading.Event()
        self._name = name
        self._often = often
        self._notes = ExitStack()
        self.senders: list[Sender] = []
        self.keepers: list[Keeper] = []
        if f"{ALICE} INBOX" not in collect.observe(self.database):
            _add_people(server)
        accepted, later, never = remote_addresses(str(host.ip))
        local: Kinds = [(ALICE,), (BOB, BOB.replace("@", "+tag@")), (CREW,), (FULL,)]
        outside: Kinds = [*((each,) for each in accepted), later, never, (ALICE, BOB, CREW)]
        for number in range(senders // 2):
            self.senders.append(self._sender(f"mx{number}", [*local, *([accepted] if number == 0 else [])], self._mx, ""))
            connect = self._submission if number % 2 else self._submissions
            self.senders.append(self._sender(f"submit{number}", outside, connect, ALICE))
        for number, account in enumerate((ALICE, BOB)):
            self.keepers.append(self._keeper(f"imap{number}", account))

    def _ledger(self, name: str, author: str) -> tuple[Ledger, Notes]:
        notes = Notes(self.folder / f"{name}.ledger")
        self._notes.callback(notes.close)
        full = f"{self._name}-{name}"
        return Ledger(full, random.Random(full), author=author or "somebody@two.test", notes=notes, often=self._often), notes

    def _sender(self, name: str, kinds: Kinds, connect: Callable[[], smtplib.SMTP], account: str) -> Sender:
        ledger, _ = self._ledger(name, account)
        return Sender(ledger, self._stop, kinds, connect, account or f"{ledger.name}@two.test")

    def _keeper(self, name: str, account: str) -> Keeper:
        ledger, notes = self._ledger(name, account)
        made = Keeper(ledger, self._stop, lambda: self.imap(account), notes)
        with self.imap(account) as client:
            for box in made.boxes:
                client.create(f'"{box}"')
        return made

    # ---- connections

    def _mx(self) -> smtplib.SMTP:
        client = smtplib.SMTP("127.0.0.1", self.server.ports["mx"], timeout=20)
        with _closed_if_it_fails(client.close):
            client.ehlo("client.two.test")
        return client

    def _submissions(self) -> smtplib.SMTP:
        client = smtplib.SMTP_SSL("localhost", self.server.ports["submissions"], timeout=20, context=self.server.trusted())
        with _closed_if_it_fails(client.close):
            client.login(ALICE, self.server.settings.password)
        return client

    def _submission(self) -> smtplib.SMTP:
        client = smtplib.SMTP("localhost", self.server.ports["submission"], timeout=20)
        with _closed_if_it_fails(client.close):
            client.starttls(context=self.server.trusted())
            client.login(ALICE, self.server.settings.password)
        return client

    def imap(self, account: str) -> imaplib.IMAP4_SSL:
        """Signed in."""
        client = imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=self.server.trusted(), timeout=20)
        with _closed_if_it_fails(client.shutdown):
            client.login(account, self.server.settings.password)
        return client

    # ---- while clients talk

    @property
    def clients(self) -> list[Client]:
        """All of them."""
        return [*self.senders, *self.keepers]

    @property
    def all_succeeded(self) -> bool:
        """Each client was told at least once that something is done."""
        return all(client.successes for client in self.clients)

    @property
    def acknowledged(self) -> int:
        """How many messages were acknowledged by SMTP so far."""
        return sum(sender.successes for sender in self.senders)

    def __enter__(self) -> Self:
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for client in self.clients:
            client.join(30)
        self._notes.close()

    def open_because_of(self, faults: int, verdict: Verdict) -> None:
        """AssertionError if more went unanswered than faults can explain: a server that just hangs up loses nothing, and is no good."""
        limit = faults * len(self.senders) * MOST_RECIPIENTS * _ENDS_EACH
        ends = sum((client.ends for client in self.clients), Counter[str]())
        assert verdict.open <= limit, f"{verdict.open} unanswered after {faults} faults; connections ended by {ends.most_common(20)}"

    def look(self) -> None:
        """Once it answers, keep the numbers of all mailboxes."""
        end = time.monotonic() + 20
        while True:
            try:
                with self.imap(ALICE) as client:
                    client.noop()
                break
            except BROKEN:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.observations.append(collect.observe(self.database))

    def calm(self) -> None:
        """No client talks any more; each has succeeded at something, and none met a bug of the test."""
        self._stop.set()
        for client in self.clients:
            client.join(30)
        assert [client.failure for client in self.clients if client.failure is not None] == []
        assert [client.name for client in self.clients if not client.successes] == [], "these were never taken seriously"

    # ---- afterwards

    def verdict(self) -> Verdict:
        """Wait until the queue is drained or parked, then hold everything against the ledgers. The server has to run."""
        until(lambda: collect.at_rest(self.database), "the queue is drained or parked", _QUIET_S)
        verdict = Verdict()
        self.look()
        copies: list[Copy] = []
        for account in ACCOUNTS:
            with self.imap(account) as client:
                validity, shown = collect.show(client, "INBOX")
                name = f"{account} INBOX"
                assert validity == self.observations[-1][name].validity
                collect.judge_shown(self.observations[-1][name], shown, name, verdict)
                copies += collect.copies_in(account, shown)
                self._judge_keepers(account, client, verdict)
        copies += collect.queued(self.database)
        copies += self._accepted()
        states = self._states()
        judge_copies(states, copies, verdict, ways=WAYS, events=collect.unknown_outcomes(self.database))
        collect.judge_observations(self.observations, verdict)
        collect.judge_store(self.database, verdict)
        return verdict

    def _accepted(self) -> list[Copy]:
        """The log of the remote host."""
        with self.host._lock:
            letters = list(self.host.messages)
        found = []
        for letter in letters:
            seen = read_message(letter.content)
            whole = seen.is_whole and seen.received == 1
            found += [Copy(seen.id, recipient, "remote", whole) for recipient in letter.recipients]
        return found

    def _states(self) -> dict[tuple[str, str], Heard]:
        found: dict[tuple[str, str], Heard] = {}
        for sender in self.senders:
            assert sender.ledger.notes is not None
            found.update(read_states(sender.ledger.notes.path))
        return found

    def _judge_keepers(self, account: str, client: imaplib.IMAP4, verdict: Verdict) -> None:
        for keeper, owner in zip(self.keepers, (ALICE, BOB), strict=True):
            if owner != account:
                continue
            validities, final = dict[str, int](), dict[str, dict[int, tuple[str, frozenset[str]]]]()
            for box in keeper.boxes:
                validities[box], shown = collect.show(client, box)
                known = self.observations[-1].get(f"{account} {box}")
                if known is None or not validities[box]:
                    verdict.imap_lost.append((f"{account} {box}", "the mailbox is gone"))
                else:
                    collect.judge_shown(known, shown, f"{account} {box}", verdict)
                final[box] = {uid: (each.seen.id if each.seen is not None else "", each.flags) for uid, each in shown.items()}
                for uid, each in shown.items():
                    if each.seen is None or not each.seen.is_whole or each.seen.received or each.seen.return_paths:
                        verdict.corrupt.append((each.seen.id if each.seen is not None else "", f"{account} {box} UID {uid}"))
            judge_imap(read_events(keeper.file), validities, final, verdict)


@contextmanager
def _closed_if_it_fails(close: Callable[[], None]) -> Iterator[None]:
    """A connection that is refused something at its beginning is nobody's, and warnings of it are errors."""
    with ExitStack() as unless:
        unless.callback(close)
        yield
        unless.pop_all()


def end(server: Ekiden) -> None:
    """Whatever is left of it."""
    with suppress(AssertionError, ProcessLookupError):
        server.kill()

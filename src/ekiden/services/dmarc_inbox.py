"""Reports that others send us: found in the mail that has arrived at one address, read, and kept for `ekiden dmarc report`.

The mail itself is delivered like any other, before anybody looks whether it is a report: this work reads what is stored, notes in the
transaction that keeps a report how far it has come, and changes no flag. Whatever is wrong with a report is a line in the log.
Anybody can write a report, so one counts only if its mail has come from whom it says (RFC 9990 wants reports to pass DMARC): the
journey knows what the checks found when it arrived.
Source: RFC 9990, RFC 8460 §5, RFC 5965; row AX-25.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from ekiden.base.clock import Millis, Timer
from ekiden.base.errors import BadValue, Damaged, StoreError
from ekiden.base.ids import AccountId, EnvelopeId, MailboxId, id_text
from ekiden.mail import journey
from ekiden.mail.address import Path, format_path
from ekiden.mailauth.dmarc_report import AggregateReport, parse_report
from ekiden.mailauth.feedback import Feedback, parse_feedback
from ekiden.mailauth.report_archive import files_of, unpack, whole
from ekiden.mailauth.tls_report import TlsReport, parse_tls_report
from ekiden.policy.stage import Log
from ekiden.services.content import content_of
from ekiden.services.routing import Local, Refused, Router
from ekiden.store import counters, dmarc, journeys, mailboxes
from ekiden.store.blob import BlobStore
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx
from ekiden.store.dmarc import Arrived

LARGEST = 40_000_000
"""Bytes of a mail that is looked into: more than 25 MB in base64."""
_AT_ONCE = 200
_LEASE = "dmarc-inbox"
_LEASE_MS = 180_000
_LOOK_S = 600.0
_PAUSE_MS = 1000
_NAMED = 5

AnyReport = AggregateReport | Feedback | TlsReport


class Found(NamedTuple):
    """What is in a file or mail. problems: why what looked like a report could not be read."""

    reports: tuple[AnyReport, ...]
    problems: tuple[str, ...]


def reports_in(raw: bytes) -> Found:
    """All reports in a mail, or in a file as it is attached to one. Never raises."""
    reports: list[AnyReport] = []
    problems: list[str] = []
    for file in files_of(raw):
        try:
            reports.append(_read(file.raw))
        except BadValue as error:
            problems.append(f"{file.name}: {error}" if file.name else str(error))
    feedback = parse_feedback(raw)
    if feedback is not None:
        reports.append(feedback)
    return Found(tuple(reports), tuple(problems))


def _read(packed: bytes) -> AnyReport:
    """One file, by how it begins when it is unpacked. Raises BadValue."""
    pieces = unpack(packed)
    first = next(pieces, b"")
    if first[:100].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith(b"{"):
        return parse_tls_report(whole(packed))
    return parse_report(chain([first], pieces))


def unproved(steps: Sequence[journey.Step]) -> str:
    """Why a mail may be from somebody else than it says; "" if it is not. steps: its journey.

    Our own people and our own reports are known.
    """
    checked = [step for step in steps if isinstance(step, journey.Authenticated)]
    dmarc_says = next((step for step in checked if step.method == "dmarc"), None)
    if dmarc_says is None:
        ours = any(isinstance(step, journey.SignedIn) for step in steps) or not any(isinstance(step, journey.Connected) for step in steps)
        return "" if ours else "nobody has checked who sent it: no policy here asks for DMARC"
    if dmarc_says.result == "pass":
        return ""
    author = _about(dmarc_says, "header.from")
    if dmarc_says.result == "none" and author:  # its domain has no policy, but may have signed all the same
        signers = [_about(step, "header.d") for step in checked if step.method == "dkim" and step.result == "pass"]
        if any(_belong(signer, author) for signer in signers if signer):
            return ""
    return f"dmarc={dmarc_says.result} header.from={author}" + (f" ({dmarc_says.because})" if dmarc_says.because else "")


def _about(step: journey.Authenticated, name: str) -> str:
    return next((value for part in step.about.split(" ") for key, _, value in [part.partition("=")] if key == name), "").lower()


def _belong(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or (other.endswith(f".{one}") and "." in one)


class ReportInbox:
    """Looks through what arrives at an address. owner: names the process, differently from all others on the same store."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        router: Router,
        changes: Changes,
        timer: Timer,
        log: Log,
        address: Path,
        *,
        owner: str,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._router = router
        self._timer = timer
        self._log = log
        self._address = address
        self._owner = owner
        self._accounts: frozenset[AccountId] = frozenset()
        self._poked = asyncio.Event()
        changes.on_poke(self._hear)

    async def run(self) -> None:
        """Look when something has come, and now and then without that, until cancelled."""
        while True:
            self._poked.clear()
            try:
                await self.look()
            except StoreError as error:  # the next look tries again
                self._log("dmarc-inbox-failed", level="error", error=error)
            await self._timer.sleep_until(Millis(self._timer.now() + _PAUSE_MS))
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._poked.wait()
            except TimeoutError:
                continue

    async def look(self) -> int:
        """Look at all that has come since the last time; how many reports were kept. Raises StoreError."""
        now = self._timer.now()
        until = Millis(now + _LEASE_MS)
        routes = await self._router.route(self._address, relay=False)
        if isinstance(routes, Refused):
            self._log("dmarc-inbox-unknown", level="warning", address=format_path(self._address), because=routes.because)
            return 0
        self._accounts = frozenset(route.account for route in routes if isinstance(route, Local))
        if not self._accounts or not await self._database.write(lambda tx: counters.take_lease(tx, _LEASE, self._owner, now, until)):
            return 0
        accounts = sorted(self._accounts)
        boxes = await self._database.read(lambda tx: [box.id for account in accounts for box in mailboxes.of_account(tx, account)])
        return sum([await self._look_in(box) for box in boxes])

    async def _look_in(self, mailbox: MailboxId) -> int:
        kept = 0
        while True:
            last, some = await self._database.read(lambda tx: _next(tx, mailbox))
            if not some:
                return kept
            for each in some:
                if self._is_ours(each):
                    kept += await self._take(mailbox, each)
                    last = each.uid
            if (end := some[-1].uid) != last:
                await self._database.write(lambda tx, end=end: _look_on(tx, mailbox, end))  # type: ignore[misc]  # binds end

    def _is_ours(self, one: Arrived) -> bool:
        return one.size <= LARGEST and one.delivered_to.lower() == format_path(self._address).lower()

    async def _take(self, mailbox: MailboxId, one: Arrived) -> int:
        """Read one mail, keep what is in it and note that it has been looked at."""
        found = await self._open(mailbox, one)
        now = self._timer.now()
        reports = [report for report in found.reports if isinstance(report, AggregateReport)]
        if reports and (because := unproved(await self._database.read(lambda tx: journeys.steps_of(tx, one.message)))):
            by = [report.organisation for report in reports]
            self._log("dmarc-report-unproved", level="warning", envelope=id_text(one.message), by=", ".join(by[:_NAMED]), because=because)
            reports = []

        def work(tx: Tx) -> list[bool]:
            _look_on(tx, mailbox, one.uid)
            return [dmarc.keep(tx, report, one.message, now) for report in reports]

        new = await self._database.write(work)
        self._tell(one.message, found.problems, list(zip(reports, new, strict=True)))
        return sum(new)

    async def _open(self, mailbox: MailboxId, one: Arrived) -> Found:
        row = await self._database.read(
            lambda tx: tx.one("contents_between", mailbox=mailbox, first=one.uid, last=one.uid, count=1)
        )
        if row is None:  # it has been removed meanwhile
            return Found((), ())
        try:
            raw = await content_of(row, self._blobs).read()
        except Damaged as error:
            return Found((), (str(error),))
        return await asyncio.to_thread(reports_in, raw)

    def _tell(self, message: EnvelopeId, problems: Sequence[str], kept: Sequence[tuple[AggregateReport, bool]]) -> None:
        for problem in problems:
            self._log("dmarc-report-unreadable", level="warning", envelope=id_text(message), because=problem)
        for report, is_new in kept:
            event = "dmarc-report-received" if is_new else "dmarc-report-known"
            self._log(event, domain=report.policy.domain, by=report.organisation, records=len(report.records), envelope=id_text(message))

    def _hear(self, account: AccountId) -> None:
        if account in self._accounts:
            self._poked.set()


def _next(tx: Tx, mailbox: MailboxId) -> tuple[int, Sequence[Arrived]]:
    """How far the mailbox has been looked through, and what comes next in it."""
    last = dmarc.looked(tx).get(int(mailbox), 0)
    return last, dmarc.arrived(tx, mailbox, last, _AT_ONCE)


def _look_on(tx: Tx, mailbox: MailboxId, uid: int) -> None:
    until = dmarc.looked(tx)
    until[int(mailbox)] = uid
    dmarc.look_on(tx, until)

"""The daily report to each domain that asks for one: what came here in its name and what became of it.

A day is a day of UTC. When it is over, each domain has a time of its own within the next hours, the same one after every restart, so
that a large server does not write all of its reports at midnight (and neither does the world to one reader). A report and the end of
its counts are one transaction, so that none is sent twice; the mail then goes the way of all mail.
Source: RFC 9990 (content, Subject, file name, Report-ID, size limits), RFC 6713 §3 (application/gzip); row AX-24.
"""

from __future__ import annotations

import asyncio
import binascii
import gzip
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address

from ekiden import __version__
from ekiden.base.clock import Millis, Timer, moment
from ekiden.base.errors import BadValue, EkidenError
from ekiden.base.ids import AccountId, IdMaker
from ekiden.base.texts import languages, text
from ekiden.dns.questions import NoAnswer, Resolver
from ekiden.mail.address import Domain, Path, format_path, parse_domain
from ekiden.mail.compose import address_field, id_field, text_part
from ekiden.mail.envelope import Envelope, Notify, Peer, Recipient
from ekiden.mail.trace import date_time
from ekiden.mailauth.dmarc_addresses import Destination, destinations, verified
from ekiden.mailauth.dmarc_record import DmarcRecord, Policy, parse_record
from ekiden.mailauth.dmarc_report import AggregateReport, Published, Reason, Record, Sender, Signature, write_report
from ekiden.policy.stage import Log
from ekiden.services.arrive import Arrivals
from ekiden.services.dmarc_counts import DAY_MS
from ekiden.services.routing import Refused, Remote, Route, Router
from ekiden.store import counters, dmarc
from ekiden.store.database import Database, Tx
from ekiden.store.dmarc import Detail, PolicyFound

SPREAD_S = 4 * 3600
"""Within this time after the day all reports about it are written."""
_SETTLE_S = 600  # until every process has written its counts
_EVERY_MS = 60_000
_LEASE = "dmarc-reports"
_LEASE_MS = 180_000
_AT_ONCE = 50
_AGAIN_MS = 30 * 60_000
_GIVEN_UP_DAYS = 3
_BASE64_LINE = 57
_HERE = Peer(IPv4Address("127.0.0.1"), 0, "house")
_REASONS = {
    "forwarded": "other",  # of RFC 7489; RFC 9990 has them no more
    "sampled_out": "other",
}
_OF_RFC_9990 = frozenset({"local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder"})

Sign = Callable[[bytes, Path], Awaitable[bytes]]
"""A message and who sends it, to the same message with signatures on top. Raises EkidenError where it must not leave without."""


async def unsigned(raw: bytes, sender: Path) -> bytes:
    """No signature."""
    return raw


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports. hostname: in A-labels. contact: where the reports come from."""

    hostname: str
    organisation: str
    contact: Path

    @property
    def owner(self) -> str:
        """The domain that the reports come from."""
        return self.contact.host.ascii if isinstance(self.contact.host, Domain) else self.hostname


def report_of(reporter: Reporter, day: int, domain: str, policy: PolicyFound, counts: Sequence[tuple[Detail, int]]) -> AggregateReport:
    """What is said of a domain and a day."""
    begin = day * DAY_MS // 1000
    record = parse_record(policy.record.encode("ascii", "replace")) or DmarcRecord(policy.record)
    digest = blake2b(f"{reporter.hostname} {domain} {day}".encode(), digest_size=12).hexdigest()
    return AggregateReport(
        organisation=reporter.organisation,
        email=format_path(reporter.contact),
        report_id=f"{begin}.{digest}@{reporter.hostname}",
        begin=begin,
        end=begin + 86_399,
        policy=_published(domain, record, policy.method),
        records=tuple(_record(domain, record, detail, count) for detail, count in counts),
        generator=f"Ekiden {__version__}",
        version="1.0",
    )


def _published(domain: str, record: DmarcRecord, method: str) -> Published:
    """The policy with its defaults filled in, as RFC 9990 wants it."""
    p = record.p or Policy.NONE
    sp = record.sp or p
    return Published(
        domain=domain,
        p=p.value,
        sp=sp.value,
        np=(record.np or sp).value,
        adkim="s" if record.adkim else "r",
        aspf="s" if record.aspf else "r",
        testing=record.testing,
        method=method,
        fo=":".join(record.fo),
    )


def _record(domain: str, record: DmarcRecord, mail: Detail, count: int) -> Record:
    aligned = mail.dkim_aligned or mail.spf_aligned
    policy, _ = record.asks(below=mail.header_from != domain)
    disposition = mail.disposition
    if aligned and disposition == "none" and policy is not Policy.NONE:
        disposition = "pass"  # RFC 9990: no action, for it passed a policy that could have asked for one
    return Record(
        source=mail.source,
        count=count,
        disposition=disposition,
        dkim="pass" if mail.dkim_aligned else "fail",
        spf="pass" if mail.spf_aligned else "fail",
        header_from=mail.header_from,
        envelope_from=mail.envelope_from,
        envelope_to=mail.envelope_to,
        reasons=tuple(_reason(*reason) for reason in mail.reasons),
        signatures=tuple(Signature(*signature) for signature in mail.signatures),
        # RFC 9990: the scope is mfrom, also where the null path made it the name in HELO (RFC 7208 §2.4).
        senders=(Sender(mail.spf[0], "mfrom", mail.spf[1]),) if mail.spf is not None else (),
    )


def _reason(type: str, comment: str) -> Reason:
    if type in _OF_RFC_9990:
        return Reason("policy_test_mode" if comment == "t=y" else type, comment)
    return Reason(_REASONS.get(type, "other"), f"{type}: {comment}" if comment else type)


def mail_of(reporter: Reporter, to: Path, report: AggregateReport, packed: bytes, now: Millis) -> bytes:
    """The mail that brings a report. packed: its XML, gzipped."""
    domain = report.policy.domain
    name = f"{reporter.hostname}!{domain}!{report.begin}!{report.end}.xml.gz"
    day = moment(Millis(report.begin * 1000)).strftime("%Y-%m-%d")
    messages = sum(record.count for record in report.records)
    words = "\n\n".join(
        text("dmarc.report-text", lang, domain=domain, day=day, messages=messages, organisation=reporter.organisation).strip("\n")
        for lang in languages()
    )
    lines = [binascii.b2a_base64(packed[at : at + _BASE64_LINE], newline=False) for at in range(0, len(packed), _BASE64_LINE)]
    boundary = b"report-" + blake2b(report.report_id.encode(), digest_size=12).hexdigest().encode()
    head = [
        address_field("From", [(reporter.organisation, reporter.contact)]),
        address_field("To", [("", to)]),
        f"Subject: Report Domain: {domain}\r\n Submitter: {reporter.hostname}\r\n Report-ID: <{report.report_id}>\r\n".encode("ascii"),
        f"Date: {date_time(now)}\r\n".encode("ascii"),
        id_field("Message-ID", report.report_id),
        b"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n",
        b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n',
    ]
    attached = [
        f'Content-Type: application/gzip;\r\n name="{name}"\r\nContent-Transfer-Encoding: base64\r\n'.encode("ascii"),
        f'Content-Disposition: attachment;\r\n filename="{name}"\r\n\r\n'.encode("ascii"),
        b"\r\n".join(lines) + b"\r\n",
    ]
    return b"".join(
        [*head, b"--", boundary, b"\r\n", text_part(words), b"--", boundary, b"\r\n", *attached, b"--", boundary, b"--\r\n"]
    )


class DailyReports:
    """Writes the reports of one server. owner: names the process, differently from all others on the same store.

    sent: called after each commit with the accounts to poke and whether something is in the queue now.
    """

    def __init__(
        self,
        database: Database,
        resolver: Resolver,
        arrivals: Arrivals,
        router: Router,
        ids: IdMaker,
        timer: Timer,
        log: Log,
        reporter: Reporter,
        *,
        owner: str,
        sent: Callable[[Sequence[AccountId], bool], None],
        sign: Sign = unsigned,
    ) -> None:
        self._database = database
        self._resolver = resolver
        self._arrivals = arrivals
        self._router = router
        self._ids = ids
        self._timer = timer
        self._log = log
        self._reporter = reporter
        self._owner = owner
        self._sent = sent
        self._sign = sign
        self._again: dict[tuple[int, str], int] = {}

    async def run(self) -> None:
        """A round each minute, until cancelled."""
        while True:
            try:
                await self.round()
            except EkidenError as error:  # the store or a key cannot be used; the next round tries again
                self._log("dmarc-reports-failed", level="error", error=error)
            await self._timer.sleep_until(Millis(self._timer.now() + _EVERY_MS))

    async def round(self) -> int:
        """What is due now, at most 50 domains; how many reports were sent. Raises StoreError."""
        now = self._timer.now()
        until = Millis(now + _LEASE_MS)
        if not await self._database.write(lambda tx: counters.take_lease(tx, _LEASE, self._owner, now, until)):
            return 0
        waiting = await self._database.read(lambda tx: dmarc.due(tx, now // DAY_MS))
        self._again = {key: at for key, at in self._again.items() if at > now}
        ready = [key for key in waiting if key not in self._again and now >= self.due_at(*key)]
        return sum([await self._report(day, domain) for day, domain in ready[:_AT_ONCE]])

    def due_at(self, day: int, domain: str) -> int:
        """When the report about a domain and a day is written."""
        drawn = int.from_bytes(blake2b(f"{self._reporter.hostname} {domain}".encode(), digest_size=4).digest(), "big")
        return (day + 1) * DAY_MS + (_SETTLE_S + drawn % SPREAD_S) * 1000

    async def _report(self, day: int, domain: str) -> int:
        """One domain and day; how many mails it made."""
        found = await self._database.read(lambda tx: dmarc.counted(tx, day, domain))
        if found is None:
            return 0
        policy, counts = found
        try:
            wanted = await self._wanted(domain, policy)
        except NoAnswer as error:
            if self._timer.now() // DAY_MS - day <= _GIVEN_UP_DAYS:
                self._again[day, domain] = self._timer.now() + _AGAIN_MS
                self._log("dmarc-report-waits", level="debug", domain=domain, because=error)
                return 0
            wanted = ()
        mails: list[tuple[Path, tuple[Route, ...], bytes]] = []
        if wanted and counts:
            report = report_of(self._reporter, day, domain, policy, counts)
            packed = await asyncio.to_thread(lambda: gzip.compress(write_report(report), mtime=0))
            mails = [mail for each in wanted if (mail := await self._mail(each, report, packed)) is not None]
        accounts = await self._database.write(self._end_of(day, domain, mails))
        if mails and accounts is not None:
            self._sent(accounts, any(isinstance(route, Remote) for _, routes, _ in mails for route in routes))
            self._log("dmarc-report-sent", domain=domain, to=", ".join(format_path(path) for path, _, _ in mails), kinds=len(counts))
        return len(mails) if accounts is not None else 0

    async def _wanted(self, domain: str, policy: PolicyFound) -> tuple[Destination, ...]:
        """Who gets the report. Raises NoAnswer."""
        try:
            parse_domain(domain)
        except BadValue:  # a name that has a record but cannot stand in a Subject
            return ()
        asked = destinations(policy.record)
        wanted = await self._resolver.resolve(verified(asked, domain, policy.organisation))
        if asked and not wanted:
            self._log("dmarc-report-unwanted", level="debug", domain=domain, asked=", ".join(format_path(each.path) for each in asked))
        return wanted

    async def _mail(self, wanted: Destination, report: AggregateReport, packed: bytes) -> tuple[Path, tuple[Route, ...], bytes] | None:
        """The mail to one address, None where it cannot go. Raises StoreError."""
        domain = report.policy.domain
        raw = await self._sign(mail_of(self._reporter, wanted.path, report, packed, self._timer.now()), self._reporter.contact)
        if wanted.most_bytes is not None and len(raw) > wanted.most_bytes:
            self._log("dmarc-report-too-big", domain=domain, to=format_path(wanted.path), size=len(raw), most=wanted.most_bytes)
            return None
        routes = await self._router.route(wanted.path, relay=True)
        if isinstance(routes, Refused):
            self._log("dmarc-report-undeliverable", domain=domain, to=format_path(wanted.path), because=routes.because)
            return None
        return wanted.path, routes, raw

    def _end_of(
        self, day: int, domain: str, mails: Sequence[tuple[Path, tuple[Route, ...], bytes]]
    ) -> Callable[[Tx], tuple[AccountId, ...] | None]:
        """The transaction that sends mails and ends the counts; it returns None if another process was faster."""
        now = self._timer.now()
        stores = []
        for path, routes, raw in mails:
            envelope = Envelope(self._ids.envelope_id(), self._reporter.contact, (Recipient(path, notify=Notify(0)),), _HERE, now)
            stores.append(self._arrivals.prepare(envelope, (routes,), raw, ()))

        def work(tx: Tx) -> tuple[AccountId, ...] | None:
            if not dmarc.reported(tx, day, domain, now):
                return None
            return tuple({account for store in stores for account in store(tx)})

        return work

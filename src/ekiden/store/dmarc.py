"""What DMARC said of mail, counted by day until it is reported; and the reports that others sent. Functions of a transaction.

Mail that is alike in everything that a report tells is one row with a count. What a stranger can make us keep is bounded: so many kinds
of mail for a domain, so many for a day; what is beyond is not counted.
Source: RFC 9990 (one report a policy domain and period), row AX-25.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from ekiden.base.clock import Millis
from ekiden.base.errors import StoreError
from ekiden.base.ids import EnvelopeId, MailboxId
from ekiden.mailauth.dmarc_report import AggregateReport
from ekiden.store.columns import integer, octets, string
from ekiden.store.database import Row, Tx

DOMAINS_MOST = 20_000
"""Domains of one day."""
KINDS_MOST = 20_000
"""Kinds of mail of one domain on one day."""
DAY_KINDS_MOST = 500_000
"""Kinds of mail of one day."""
_ROWS_AT_ONCE = 1000


class Detail(msgspec.Struct, frozen=True, array_like=True):
    """All that makes one kind of mail. disposition: what became of it, none, quarantine or reject.

    spf: (domain, result), None where SPF was not asked. signatures: (domain, selector, result). reasons: (type, comment).
    """

    source: str
    header_from: str
    envelope_from: str
    envelope_to: str
    disposition: str
    dkim_aligned: bool
    spf_aligned: bool
    spf: tuple[str, str] | None = None
    signatures: tuple[tuple[str, str, str], ...] = ()
    reasons: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyFound:
    """By what mail was judged. record: its text as published. method: psl or treewalk."""

    record: str
    organisation: str
    method: str


@dataclass(frozen=True, slots=True)
class Source:
    """Mail that is told of in reports of others: who sent it in whose name. reporters: how many tell of it."""

    domain: str
    source: str
    header_from: str
    dkim: str
    spf: str
    disposition: str
    count: int
    reporters: int

    @property
    def is_aligned(self) -> bool:
        """It passed."""
        return "pass" in (self.dkim, self.spf)


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all reports that were asked for."""

    reports: int
    messages: int
    passed: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Detail)


# ---- what we say -----------------------------------------------------------------------------------------


def add(tx: Tx, day: int, domain: str, policy: PolicyFound, counts: Mapping[Detail, int]) -> int:
    """Count mail of one domain and day; how many messages were not counted: too many kinds, or reported already."""
    size = tx.one("dmarc_size", day=day)
    domains, day_kinds = integer(size, 0), integer(size, 1)
    known = tx.one("dmarc_policy_known", day=day, domain=domain) is not None
    if not known and domains >= DOMAINS_MOST:
        return sum(counts.values())
    row = tx.one(
        "dmarc_policy_note", day=day, domain=domain, record=policy.record, organisation=policy.organisation, method=policy.method
    )
    if row is None:
        return sum(counts.values())
    had = kinds = integer(row, 0)
    lost = 0
    for detail, count in counts.items():
        packed = _encoder.encode(detail)
        key = blake2b(packed, digest_size=16).digest()
        if tx.run("dmarc_count_add", day=day, domain=domain, key=key, count=count):
            continue
        if kinds >= KINDS_MOST or day_kinds + kinds - had >= DAY_KINDS_MOST:
            lost += count
            continue
        tx.run("dmarc_count_insert", day=day, domain=domain, key=key, count=count, detail=packed)
        kinds += 1
    if kinds != had:
        tx.run("dmarc_policy_kinds", day=day, domain=domain, kinds=kinds)
    return lost


def due(tx: Tx, before: int, count: int = 1000) -> list[tuple[int, str]]:
    """(day, domain) of all that is not reported of days before one."""
    return [(integer(row, 0), string(row, 1)) for row in tx.all("dmarc_due", before=before, count=count)]


def counted(tx: Tx, day: int, domain: str) -> tuple[PolicyFound, list[tuple[Detail, int]]] | None:
    """All of a domain and day; None if it has been reported. Raises StoreError for what no version of ours wrote."""
    row = tx.one("dmarc_policy_one", day=day, domain=domain)
    if row is None:
        return None
    try:
        found = [(_decoder.decode(octets(each, 1)), integer(each, 0)) for each in tx.all("dmarc_counts", day=day, domain=domain)]
    except msgspec.DecodeError as error:
        raise StoreError(f"dmarc_count of {domain}: {error}") from error
    return PolicyFound(string(row, 0), string(row, 1), string(row, 2)), found


def reported(tx: Tx, day: int, domain: str, now: Millis) -> bool:
    """Nothing more to say of it; False if somebody else has been faster."""
    if not tx.run("dmarc_reported", day=day, domain=domain, now=now):
        return False
    tx.run("dmarc_counts_drop", day=day, domain=domain)
    return True


def forget(tx: Tx, before: int) -> int:
    """Forget days before one, reported or not; how many domains."""
    tx.run("dmarc_counts_forget", before=before)
    return tx.run("dmarc_policies_forget", before=before)


# ---- what others say -------------------------------------------------------------------------------------


def keep(tx: Tx, report: AggregateReport, message: EnvelopeId, now: Millis) -> bool:
    """Keep a report; False if there is one of that name already (RFC 9990: duplicates are told by their Report-ID)."""
    row = tx.one(
        "dmarc_report_insert",
        domain=report.policy.domain,
        organisation=report.organisation,
        report_id=report.report_id,
        email=report.email,
        begin=report.begin,
        end=report.end,
        policy=msgspec.json.encode(report.policy).decode(),
        message=message,
        now=now,
    )
    if row is None:
        return False
    id = integer(row, 0)
    for at in range(0, len(report.records), _ROWS_AT_ONCE):
        rows = [
            (
                id,
                at + seq,
                record.source,
                record.count,
                record.disposition,
                record.dkim,
                record.spf,
                record.header_from,
                record.envelope_from,
                msgspec.json.encode((record.reasons, record.signatures, record.senders)).decode(),
            )
            for seq, record in enumerate(report.records[at : at + _ROWS_AT_ONCE])
        ]
        tx.insert_all("dmarc_row_insert", rows)
    return True


def sources(tx: Tx, domain: str, since: int, most: int = 10_000) -> list[Source]:
    """Who sent mail in the name of a domain ("" for all), most first. since: seconds; reports of periods that ended before are left out."""
    return [_source(row) for row in tx.all("dmarc_sources", domain=domain, since=since, most=most)]


def _source(row: Row) -> Source:
    domain, source, header_from, dkim, spf, disposition = (string(row, at) for at in range(6))
    return Source(domain, source, header_from, dkim, spf, disposition, integer(row, 6), integer(row, 7))


def totals(tx: Tx, domain: str, since: int) -> Totals:
    """Of the same reports."""
    row = tx.one("dmarc_totals", domain=domain, since=since)
    return Totals(integer(row, 0), integer(row, 1), integer(row, 2))


def forget_received(tx: Tx, before: Millis, count: int = 20) -> int:
    """Forget reports that came before a time; how many."""
    found = [integer(row, 0) for row in tx.all("dmarc_reports_before", before=before, count=count)]
    for report in found:
        tx.run("dmarc_rows_delete", report=report)
        tx.run("dmarc_report_delete", report=report)
    return len(found)


# ---- how far mailboxes have been looked through ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """A copy in a mailbox that has not been looked at."""

    uid: int
    message: EnvelopeId
    delivered_to: str
    size: int


def looked(tx: Tx) -> dict[int, int]:
    """The last UID that was looked at, by mailbox."""
    row = tx.one("dmarc_looked_get")
    try:
        return msgspec.json.decode(string(row, 0), type=dict[int, int]) if row is not None else {}
    except msgspec.DecodeError:
        return {}


def look_on(tx: Tx, until: Mapping[int, int]) -> None:
    """Keep these instead."""
    tx.run("dmarc_looked_put", value=msgspec.json.encode(dict(until)).decode())


def arrived(tx: Tx, mailbox: MailboxId, after: int, count: int) -> Sequence[Arrived]:
    """The next ones in a mailbox."""
    return [
        Arrived(integer(row, 0), EnvelopeId(integer(row, 1)), string(row, 2), integer(row, 3))
        for row in tx.all("dmarc_mail_after", mailbox=mailbox, after=after, count=count)
    ]

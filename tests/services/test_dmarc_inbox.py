"""Reports of others: found in stored mail, read in the background, kept once; the mail stays as it is (row AX-25)."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message

from ekiden.base.clock import Millis
from ekiden.base.errors import StoreError
from ekiden.base.ids import AccountId, EnvelopeId, MailboxId
from ekiden.mail import journey
from ekiden.mail.address import parse_mailbox
from ekiden.mailauth.dmarc_report import AggregateReport, Published, Record, write_report
from ekiden.mailauth.feedback import Feedback
from ekiden.mailauth.tls_report import TlsReport
from ekiden.services.dmarc_inbox import ReportInbox, reports_in
from ekiden.services.routing import Router
from ekiden.store import accounts, counters, dmarc, journeys, mailboxes, messages
from ekiden.store.blobs.files import FileBlobs
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx, open_database
from ekiden.testing.clock import FakeClock

REPORT = AggregateReport(
    "Two", "a@two.test", "r1", 1000, 2000, Published("one.test", p="none"), (Record("192.0.2.1", 3, "none", "pass", "fail", "one.test"),)
)
TLS = b'{"date-range": {"start-datetime": "2026-01-01T00:00:00Z", "end-datetime": "2026-01-01T23:59:59Z"}, "policies": []}'


CONNECTED = journey.Connected(NOW, "192.0.2.1", 4000, "mx")


def said(method: str, result: str, about: str) -> journey.Step:
    return journey.Authenticated(NOW, method, result, about)


PROVED = (CONNECTED, said("dmarc", "pass", "header.from=two.test"))


def mail(*files: bytes, kind: bytes = b"application/gzip") -> bytes:
    head = b"--b\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n\r\n" % kind
    parts = b"".join(head + base64.encodebytes(file).replace(b"\n", b"\r\n") + b"\r\n" for file in files)
    return b"From: r@two.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"


def packed(report: AggregateReport = REPORT) -> bytes:
    return gzip.compress(write_report(report))


def test_every_kind_of_report_is_found() -> None:
    assert reports_in(mail(packed(), gzip.compress(TLS))).reports[0] == REPORT
    assert [type(each) for each in reports_in(mail(packed(), gzip.compress(TLS))).reports] == [AggregateReport, TlsReport]
    arf = b"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\r\n--b--\r\n"
    assert [type(each) for each in reports_in(b"Content-Type: multipart/report; boundary=b\r\n\r\n" + arf).reports] == [Feedback]
    for bare in (write_report(REPORT), packed(), TLS, gzip.compress(TLS)):
        assert len(reports_in(bare).reports) == 1


def test_what_cannot_be_read_is_told_beside_what_can() -> None:
    found = reports_in(mail(packed(), gzip.compress(b"<x/>"), b"\x1f\x8bnoise"))
    assert (found.reports, len(found.problems)) == ((REPORT,), 2)
    assert reports_in(b"Subject: hello\r\n\r\nhello\r\n") == ((), ())
    assert reports_in(b"") == ((), ())


# ---- in the mailbox -------------------------------------------------------------------------------------


@dataclass
class Scene:
    database: Database
    blobs: FileBlobs
    changes: Changes
    clock: FakeClock
    account: AccountId
    inbox: ReportInbox
    logged: list[str]
    number: int = 0

    async def arrives(
        self,
        raw: bytes,
        to: str = "dmarc@one.test",
        folder: str = "INBOX",
        *,
        in_file: bool = False,
        steps: Sequence[journey.Step] = PROVED,
    ) -> EnvelopeId:
        self.number += 1
        message = a_message(self.number, raw)
        if in_file:
            writer = self.blobs.create()
            writer.write(raw)
            message = message._replace(blob=writer.commit(), inline=None)
            writer.close()

        def work(tx: Tx) -> None:
            box = mailboxes.named(tx, self.account, folder)
            assert box is not None
            messages.insert(tx, message)
            journeys.begin(tx, message.id, steps)
            messages.deposit_all(tx, [messages.Copy(box.id, message.id, NOW, len(raw) + 60, to)])

        await self.database.write(work)
        return message.id

    async def totals(self) -> dmarc.Totals:
        return await self.database.read(lambda tx: dmarc.totals(tx, "", 0))

    async def box(self) -> mailboxes.Mailbox:
        found = await self.database.read(lambda tx: mailboxes.named(tx, self.account, "INBOX"))
        assert found is not None
        return found


def in_scene(folder: Path, work: Callable[[Scene], Awaitable[None]], address: str = "dmarc@one.test") -> None:
    async def main() -> None:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        blobs = FileBlobs(folder / "blobs")
        clock = FakeClock(NOW)
        changes = Changes()
        logged: list[str] = []

        def log(event: str, **_: object) -> None:
            logged.append(event)

        def people(tx: Tx) -> AccountId:
            alice = accounts.create_account(tx, "alice", ["alice@one.test"], "", NOW).id
            mailboxes.create(tx, alice, "Reports", now=NOW)
            accounts.add_alias(tx, "dmarc@one.test", ["alice@one.test"])
            accounts.add_alias(tx, "away@one.test", ["x@elsewhere.test"])
            return alice

        try:
            alice = await database.write(people)
            router = Router(database, clock, "mx.one.test", ["one.test"])
            inbox = ReportInbox(database, blobs, router, changes, clock, log, parse_mailbox(address), owner="me")
            await work(Scene(database, blobs, changes, clock, alice, inbox, logged))
        finally:
            changes.close()
            database.close()

    asyncio.run(main())


def test_a_report_that_has_arrived_at_the_alias_is_kept_and_its_mail_is_as_new_as_before(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.arrives(b"Subject: hello\r\n\r\nhello\r\n", "alice@one.test")
        id = await scene.arrives(mail(packed()), "DMARC@one.test")
        before = await scene.box()
        assert await scene.inbox.look() == 1
        assert await scene.totals() == dmarc.Totals(1, 3, 3)
        assert await scene.box() == before  # nothing seen, nothing recent taken, no modseq
        assert (await scene.database.read(lambda tx: messages.sendable(tx, id))) is not None
        assert await scene.inbox.look() == 0
        assert scene.logged == ["dmarc-report-received"]

    in_scene(tmp_path, work)


def test_mail_to_other_addresses_of_the_account_is_not_looked_into(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.arrives(mail(packed()), "alice@one.test")
        assert await scene.inbox.look() == 0
        assert (await scene.totals()).reports == 0

    in_scene(tmp_path, work)


def test_all_folders_are_looked_through_and_a_moved_report_is_kept_once(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.arrives(mail(packed()))
        await scene.arrives(mail(packed()), folder="Reports")
        await scene.arrives(mail(packed(replace(REPORT, report_id="r2"))), folder="Reports")
        assert await scene.inbox.look() == 2
        assert (await scene.totals()).reports == 2
        assert sorted(scene.logged) == ["dmarc-report-known", "dmarc-report-received", "dmarc-report-received"]

    in_scene(tmp_path, work)


def test_a_large_report_comes_out_of_its_file(tmp_path: Path) -> None:
    many = replace(REPORT, records=tuple(Record(f"10.0.{n >> 8}.{n & 255}", 1, "none", "fail", "fail", "one.test") for n in range(5000)))

    async def work(scene: Scene) -> None:
        await scene.arrives(mail(write_report(many), kind=b"text/xml"), in_file=True)
        assert await scene.inbox.look() == 1
        assert await scene.totals() == dmarc.Totals(1, 5000, 0)

    in_scene(tmp_path, work)


def test_hundreds_of_other_mails_are_passed_over(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        for _ in range(450):
            await scene.arrives(b"Subject: x\r\n\r\nx\r\n", "alice@one.test")
        await scene.arrives(mail(packed()))
        assert await scene.inbox.look() == 1
        box = await scene.box()
        assert await scene.database.read(dmarc.looked) == {int(box.id): 451}

    in_scene(tmp_path, work)


@pytest.mark.parametrize(("steps", "counts"), [
    (PROVED, True),
    ((CONNECTED, said("dmarc", "fail", "header.from=two.test")), False),
    ((CONNECTED, said("dmarc", "temperror", "header.from=two.test")), False),
    ((CONNECTED, said("dkim", "pass", "header.d=evil.test"), said("dmarc", "none", "header.from=two.test")), False),
    ((CONNECTED, said("dkim", "fail", "header.d=two.test"), said("dmarc", "none", "header.from=two.test")), False),
    ((CONNECTED, said("dkim", "pass", "header.d=test"), said("dmarc", "none", "header.from=two.test")), False),
    ((CONNECTED, said("dkim", "pass", "header.i=@two.test header.d=two.test"), said("dmarc", "none", "header.from=two.test")), True),
    ((CONNECTED, said("dkim", "pass", "header.d=Two.test"), said("dmarc", "none", "header.from=mx.two.test")), True),
    ((CONNECTED, said("dkim", "pass", "header.d=two.test"), said("dmarc", "fail", "header.from=two.test")), False),
    ((CONNECTED, said("spf", "pass", "smtp.mailfrom=two.test")), False),
    ((CONNECTED,), False),
    ((CONNECTED, journey.SignedIn(NOW, "alice", "PLAIN")), True),
    ((journey.ContentReceived(NOW, 100),), True),  # our own report
])
def test_only_reports_from_whom_they_say_count(tmp_path: Path, steps: tuple[journey.Step, ...], counts: bool) -> None:
    async def work(scene: Scene) -> None:
        await scene.arrives(mail(packed()), steps=steps)
        assert await scene.inbox.look() == int(counts)
        assert (await scene.totals()).reports == int(counts)
        assert scene.logged == ["dmarc-report-received" if counts else "dmarc-report-unproved"]
        assert await scene.inbox.look() == 0

    in_scene(tmp_path, work)


_BOMB = gzip.compress(bytes(60_000_000))
_LAUGHS = b'<?xml version="1.0"?><!DOCTYPE feedback [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><feedback>&b;</feedback>'
_ENTITY = b'<?xml version="1.0"?><!DOCTYPE feedback [<!ENTITY a SYSTEM "file:///etc/passwd">]><feedback>&a;</feedback>'


_ZIP = b"PK\x03\x04" + b"\xff" * 100


@pytest.mark.parametrize("hostile", [_BOMB, gzip.compress(_LAUGHS), _ENTITY, _ZIP], ids=["bomb", "laughs", "entity", "zip"])
def test_ax_25_what_is_hostile_is_a_line_in_the_log_and_the_mail_stays(tmp_path: Path, hostile: bytes) -> None:
    async def work(scene: Scene) -> None:
        await scene.arrives(mail(hostile))
        await scene.arrives(mail(packed()))
        assert await scene.inbox.look() == 1
        assert scene.logged == ["dmarc-report-unreadable", "dmarc-report-received"]
        assert (await scene.box()).messages == 2

    in_scene(tmp_path, work)


def test_damaged_content_is_told_and_does_not_stop_what_follows(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.arrives(mail(packed()), in_file=True)
        await scene.arrives(mail(packed()))
        (file,) = [each for each in (tmp_path / "blobs").rglob("*") if each.is_file()]
        file.chmod(0o600)
        file.write_bytes(b"x" * file.stat().st_size)
        assert await scene.inbox.look() == 1
        assert "dmarc-report-unreadable" in scene.logged

    in_scene(tmp_path, work)


def test_another_process_that_looks_is_left_to_it(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.arrives(mail(packed()))
        await scene.database.write(lambda tx: counters.take_lease(tx, "dmarc-inbox", "other", NOW, Millis(NOW + 1000)))
        assert await scene.inbox.look() == 0
        scene.clock.advance(seconds=2)
        assert await scene.inbox.look() == 1

    in_scene(tmp_path, work)


@pytest.mark.parametrize(("address", "events"), [("nobody@one.test", ["dmarc-inbox-unknown"]), ("away@one.test", [])])
def test_an_address_that_is_not_kept_here_is_told_or_left_alone(tmp_path: Path, address: str, events: list[str]) -> None:
    async def work(scene: Scene) -> None:
        assert await scene.inbox.look() == 0
        assert scene.logged == events

    in_scene(tmp_path, work, address)


def test_a_poke_makes_it_look_at_once_and_a_store_that_fails_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        def fail(tx: Tx, mailbox: MailboxId, after: int, count: int) -> list[dmarc.Arrived]:
            raise StoreError("no")

        monkeypatch.setattr(dmarc, "arrived", fail)
        running = asyncio.ensure_future(scene.inbox.run())
        await scene.clock.until_asleep()
        assert scene.logged == ["dmarc-inbox-failed"]
        monkeypatch.undo()
        await scene.arrives(mail(packed()))
        scene.changes.poke(scene.account)
        scene.clock.advance(seconds=1)
        await scene.clock.until_asleep()
        assert (await scene.totals()).reports == 1
        running.cancel()

    in_scene(tmp_path, work)

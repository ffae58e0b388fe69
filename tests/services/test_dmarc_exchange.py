"""A report the whole way: counted, written, signed, sent by the queue, received by SMTP, delivered, read in the background, kept."""

from __future__ import annotations

import asyncio
import smtplib
import time
from contextlib import AsyncExitStack
from pathlib import Path

import dkim
from tests.services.houses import SETTINGS, open_house, stored
from tests.services.signers import give_keys

from ekiden.base.ids import AccountId
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dmarc_report import AggregateReport
from ekiden.services.dmarc_counts import DAY_MS, Judged
from ekiden.services.dmarc_inbox import reports_in
from ekiden.services.keys import record_text
from ekiden.store import accounts, dmarc
from ekiden.store.dmarc import Detail, PolicyFound
from ekiden.testing.dns import FakeZone, ServedZone
from ekiden.testing.peers import Letter, ScriptedHost

_MORE = """
[dmarc]
reports = true
organisation = "Ekiden of the test"
contact = "dmarc@local.test"
inbox = "bob@local.test"
[outbound.smarthost]
server = "127.0.0.1:{port}"
tls = "none"
"""
_MAIL = Detail("192.0.2.1", "two.test", "two.test", "local.test", "none", True, False, ("two.test", "fail"), (("two.test", "s", "pass"),))


def test_a_report_goes_out_by_the_queue_and_what_comes_in_is_read_and_kept(tmp_path: Path) -> None:
    async def main(host: ScriptedHost) -> None:
        zone = FakeZone({"_dmarc.local.test": ["TXT v=DMARC1; p=reject"]})
        async with AsyncExitStack() as stack:
            dns = await stack.enter_async_context(ServedZone(zone))
            settings = 'policies = ["builtin:dmarc"]\n' + SETTINGS.replace("127.0.0.1:9", dns.address) + _MORE.format(port=host.port)
            running = await stack.enter_async_context(open_house(tmp_path, ("mx",), settings))
            await stack.enter_async_context(asyncio.timeout(50))
            house = running.house
            assert house.dmarc_counts is not None
            (key,) = await give_keys(house, "local.test", "ed", zone=zone)
            day = house.clock.now() // DAY_MS - 2
            policy = PolicyFound("v=DMARC1; p=reject; rua=mailto:r@two.test", "two.test", "treewalk")
            for _ in range(3):
                house.dmarc_counts.note(Judged(day, "two.test", policy, _MAIL))
            await house.dmarc_counts.flush()
            await house.daily_reports().round()  # or the one in the background has done it already
            letter = await asyncio.to_thread(_letter, host)
            assert (letter.sender, letter.recipients) == ("dmarc@local.test", ("r@two.test",))
            assert parse_headers(letter.content).count(b"dkim-signature") == 1
            assert dkim.DKIM(letter.content).verify(dnsfunc=lambda name, timeout=5: record_text(key).encode())
            (report,) = reports_in(letter.content).reports
            assert isinstance(report, AggregateReport)
            assert (report.organisation, report.policy.domain) == ("Ekiden of the test", "two.test")
            (record,) = report.records
            assert (record.count, record.disposition, record.dkim, record.spf) == (3, "pass", "pass", "fail")
            await asyncio.to_thread(_send, running.port("mx"), letter.content)
            bob = await house.database.read(lambda tx: accounts.account_named(tx, "bob"))
            assert bob is not None
            totals = await _totals(running.house, bob.id)
            assert totals == dmarc.Totals(1, 3, 3)
            assert len(await stored(running, "bob")) == 1
        assert [event for event, _ in running.lines if event.startswith("dmarc")] == ["dmarc-report-sent", "dmarc-report-received"]

    with ScriptedHost() as host:
        asyncio.run(main(host))
        assert len(host.messages) == 1


def _letter(host: ScriptedHost) -> Letter:
    """The first message that the host gets; it lives in threads."""
    deadline = time.monotonic() + 30
    while not host.messages and time.monotonic() < deadline:
        time.sleep(0.01)
    return host.messages[0]


def _send(port: int, content: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.sendmail("r@two.test", ["bob@local.test"], content)


async def _totals(house: object, account: AccountId) -> dmarc.Totals:
    from ekiden.app.wiring import House

    assert isinstance(house, House)
    while True:
        found = await house.database.read(lambda tx: dmarc.totals(tx, "", 0))
        if found.reports:
            return found
        await house.changes.wait(account, 0.1)

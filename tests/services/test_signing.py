"""Signatures of mail that leaves."""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dkim
import pytest
from tests.peers.process import until
from tests.services.houses import PASSWORD, SETTINGS, Running, open_house, stored
from tests.services.signers import account_of, give_keys

from ekiden.base.clock import Millis
from ekiden.mail import journey
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim import verify
from ekiden.mailauth.results import Result
from ekiden.services.keys import FILE
from ekiden.services.signing import author_domain
from ekiden.store import dkim_keys, journeys
from ekiden.store.changes import KEYS
from ekiden.store.database import Tx
from ekiden.testing.dns import FakeZone, ServedZone
from ekiden.testing.peers import ScriptedHost

LETTER = (
    b"From: Alice <alice@local.test>\r\nTo: bob@remote.test\r\nCc: c@remote.test\r\nSubject: a letter\r\n"
    b"Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@local.test>\r\nContent-Type: text/plain\r\n\r\nHello  \r\n\r\n"
)


@dataclass
class World:
    """A house, the host that takes its mail, and the DNS of both."""

    running: Running
    host: ScriptedHost
    zone: FakeZone

    async def submit(self, raw: bytes, sender: str = "alice", to: Sequence[str] = ("bob@remote.test",)) -> None:
        """Over STARTTLS, signed in."""
        await asyncio.to_thread(self._submit, raw, sender, to)

    def _submit(self, raw: bytes, sender: str, to: Sequence[str]) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", self.running.port("submission"), "client.test", timeout=20) as client:
            client.starttls(context=context)
            client.login(sender, PASSWORD.decode())
            client.sendmail(f"{sender}@local.test", list(to), raw)

    async def received(self, count: int = 1) -> list[bytes]:
        """What the host has been given, once it is so much."""
        await asyncio.to_thread(until, lambda: len(self.host.messages) >= count, "the host has been given the mail", 20)
        return [letter.content for letter in self.host.messages]

    def verdicts(self, raw: bytes) -> list[tuple[str, str, Result]]:
        """Ours on each signature."""
        outcomes = self.zone.run(verify(raw, parse_headers(raw), Millis(self.running.house.clock.now())))
        return [(outcome.selector, outcome.algorithm, outcome.result) for outcome in outcomes]

    def by_dkimpy(self, raw: bytes) -> list[bool]:
        """Those of dkimpy."""

        def txt(name: bytes, timeout: int = 5) -> bytes | None:
            records = self.zone.get(name.decode().rstrip("."), ())
            return str(records[0]).replace('" "', "").strip('"').encode() if records else None

        count = len(parse_headers(raw).all(b"dkim-signature"))
        return [bool(dkim.DKIM(raw).verify(idx=at, dnsfunc=txt)) for at in range(count)]


@asynccontextmanager
async def world(folder: Path, **says: str) -> AsyncIterator[World]:
    """All of it, running."""
    zone = FakeZone({"remote.test": ["MX 10 mx.remote.test."], "mx.remote.test": ["A 127.0.0.1"]})
    with ScriptedHost(says=says) as host:
        async with ServedZone(zone) as dns:
            settings = SETTINGS.replace("127.0.0.1:9", dns.address) + f"[outbound]\nport = {host.port}\n"
            async with open_house(folder, ("submission", "mx"), settings) as running, asyncio.timeout(60):
                yield World(running, host, zone)


def test_a_submitted_letter_is_signed_with_both_keys_and_others_can_verify_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as there:
            await give_keys(there.running.house, "local.test", "e1", "r1", zone=there.zone)
            await there.submit(LETTER)
            (raw,) = await there.received()
            assert there.verdicts(raw) == [("e1", "ed25519-sha256", Result.PASS), ("r1", "rsa-sha256", Result.PASS)]
            assert there.by_dkimpy(raw) == [True, True]
            assert raw.startswith(b"DKIM-Signature:")
            assert raw.endswith(LETTER), "the letter itself is as it was written"
            found = await there.running.house.database.read(lambda tx: journeys.find(tx, "1@local.test"))
            steps = await there.running.house.database.read(lambda tx: journeys.steps_of(tx, found[0]))
            signed = [(step.domain, step.selector) for step in steps if isinstance(step, journey.Signed)]
            assert signed == [("local.test", "e1"), ("local.test", "r1")]

    asyncio.run(work())


@pytest.mark.parametrize("name", [b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Content-Type"])
def test_a_field_that_is_added_breaks_the_signature_ax_18(tmp_path: Path, name: bytes) -> None:
    async def work() -> None:
        async with world(tmp_path) as there:
            await give_keys(there.running.house, "local.test", "e1", zone=there.zone)
            await there.submit(LETTER)
            (raw,) = await there.received()
            assert there.verdicts(b"X-Harmless: yes\r\n" + raw)[0][2] is Result.PASS
            assert there.verdicts(name + b": another\r\n" + raw)[0][2] is Result.FAIL

    asyncio.run(work())


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_what_we_complete_is_signed_as_it_is_sent(tmp_path: Path, size: int) -> None:
    """Date and Message-ID are ours, Bcc is gone; a large body is hashed elsewhere."""
    raw = b"From: alice@local.test\r\nBcc: x@remote.test\r\nSubject: s\r\n\r\n" + b"0123456789abcdef \r\n" * (size // 19 + size % 2)

    async def work() -> None:
        async with world(tmp_path) as there:
            await give_keys(there.running.house, "local.test", "r1", zone=there.zone)
            await there.submit(raw)
            (sent,) = await there.received()
            assert b"\r\nBcc:" not in sent
            assert there.verdicts(sent) == [("r1", "rsa-sha256", Result.PASS)]
            assert there.by_dkimpy(sent) == [True]

    asyncio.run(work())


def test_a_domain_without_keys_is_not_signed(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as there:
            await give_keys(there.running.house, "other.test", "e1")
            await there.submit(LETTER)
            assert there.verdicts((await there.received())[0]) == []

    asyncio.run(work())


def test_another_key_is_used_as_soon_as_it_is_active(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as there:
            for selector in ("e1", "e2"):
                await give_keys(there.running.house, "local.test", selector, zone=there.zone)
                await there.submit(LETTER)
            sent = await there.received(2)
            assert sorted(re.findall(rb"s=(e[0-9]);", b"".join(sent))) == [b"e1", b"e2"]
            keys = await there.running.house.database.read(dkim_keys.everything)
            await there.running.house.database.write(lambda tx: dkim_keys.remove(tx, keys))
            there.running.house.changes.poke(KEYS)
            await there.submit(LETTER)
            assert there.verdicts((await there.received(3))[2]) == []

    asyncio.run(work())


def test_without_its_master_key_nothing_leaves_unsigned(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as there:
            await give_keys(there.running.house, "local.test", "e1", zone=there.zone)
            (tmp_path / "data" / FILE).rename(tmp_path / "away")
            with pytest.raises(smtplib.SMTPDataError) as refused:
                await there.submit(LETTER)
            assert (refused.value.smtp_code, refused.value.smtp_error[:5]) == (451, b"4.3.5")
            assert await stored(there.running, "alice") == []
            ((_, told),) = [line for line in there.running.lines if line[0] == "keys-unusable"]
            assert "master.key cannot be read" in str(told["because"])
            (tmp_path / "away").rename(tmp_path / "data" / FILE)
            await there.submit(LETTER)
            (raw,) = await there.received()
            assert [result for *_, result in there.verdicts(raw)] == [Result.PASS]

    asyncio.run(work())


def test_a_damaged_key_puts_mail_off(tmp_path: Path) -> None:
    async def work() -> None:
        async with world(tmp_path) as there:
            await give_keys(there.running.house, "local.test", "e1", "r1", zone=there.zone)

            def damage(tx: Tx) -> None:
                (edwards, _) = dkim_keys.of_domain(tx, "local.test")
                dkim_keys.remove(tx, [edwards])
                dkim_keys.add(tx, [replace(edwards, sealed=edwards.sealed[:-1] + bytes([edwards.sealed[-1] ^ 1]))])

            await there.running.house.database.write(damage)
            there.running.house.changes.poke(KEYS)
            with pytest.raises(smtplib.SMTPDataError) as refused:
                await there.submit(LETTER)
            assert refused.value.smtp_code == 451

    asyncio.run(work())


@pytest.mark.parametrize("usable", [True, False])
def test_our_own_reports_are_signed_and_go_out_unsigned_only_in_need(tmp_path: Path, usable: bool) -> None:
    """Of the domain above that of the host name: mx.ekiden.test has no keys of its own."""

    async def work() -> None:
        async with world(tmp_path, RCPT="550 5.1.1 nobody") as there:
            house = there.running.house
            await give_keys(house, "ekiden.test", "r1", zone=there.zone)
            if not usable:
                (tmp_path / "data" / FILE).unlink()
            account = await account_of(house, "alice")
            await there.submit(LETTER)
            async with asyncio.timeout(20):
                while not (reports := await stored(there.running, "alice")):
                    await house.changes.wait(account, 0.5)
            assert b"report-type=delivery-status" in reports[0]
            expected = [("r1", "rsa-sha256", Result.PASS)] if usable else []
            assert there.verdicts(reports[0]) == expected
            assert ("report-unsigned" in [event for event, _ in there.running.lines]) is not usable

    asyncio.run(work())


@pytest.mark.parametrize(("field", "domain"), [
    (b"From: a@One.Test", "one.test"),
    (b"From: a@b.test, c@d.test", "b.test"),
    ("From: a@例え.test".encode(), "xn--r8jz45g.test"),
    (b"From: nobody", ""),
    (b"From: a@[192.0.2.1]", ""),
    (b"Subject: x", ""),
])
def test_the_author_decides_whose_keys_sign(field: bytes, domain: str) -> None:
    assert author_domain(parse_headers(field + b"\r\n\r\n")) == domain

"""Seals of mail that is sent on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.services.signers import give_keys
from tests.services.test_forwarding import chain
from tests.services.test_signing import LETTER

from ekiden.base.clock import Millis
from ekiden.mail import journey
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.arc import verify_chain
from ekiden.mailauth.results import Result
from ekiden.services.keys import FILE
from ekiden.store import journeys, messages, queue


async def in_pieces(raw: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    """As it comes from a file."""
    for at in range(0, len(raw), size):
        yield raw[at : at + size]


BIG = LETTER + b"0123456789abcdef\r\n" * 20_000


@pytest.mark.parametrize("raw", [LETTER, BIG], ids=["small", "big"])
def test_a_forwarded_letter_is_sealed_and_still_signed(tmp_path: Path, raw: bytes) -> None:
    async def work() -> None:
        async with chain(tmp_path, forwarding="seal = true") as there:
            await give_keys(there.two.house, "two.test", "e2", "r2", zone=there.zone)
            await there.at_one.submit(raw, to=["info@two.test"])
            (sent,) = await there.at_one.received()
            outcome = there.zone.run(verify_chain(sent, parse_headers(sent), Millis(there.two.house.clock.now())))
            assert (outcome.result, outcome.sealers) == (Result.PASS, ("two.test",))
            assert b"ARC-Authentication-Results: i=1; mx.two.test" in sent
            assert [result for *_, result in there.at_one.verdicts(sent)] == [Result.PASS, Result.PASS]
            assert sent.endswith(raw)
            spoilt = sent[:-4] + b"x" + sent[-3:]
            assert there.zone.run(verify_chain(spoilt, parse_headers(spoilt), Millis(there.two.house.clock.now()))).result is Result.FAIL

    asyncio.run(work())


def test_a_second_alias_adds_to_the_chain_of_the_first(tmp_path: Path) -> None:
    async def work() -> None:
        async with chain(tmp_path, forwarding="seal = true") as there:
            await give_keys(there.two.house, "two.test", "r2", zone=there.zone)
            await there.at_one.submit(LETTER, to=["info@two.test"])
            (sent,) = await there.at_one.received()
            once = sent.partition(b"\r\nDelivered-To:")[0] + b"\r\n" + sent.partition(b"\r\nDelivered-To: info@two.test\r\n")[2]
            sealing = there.two.house.sealing
            assert sealing is not None
            twice = (await sealing.seal(b"", in_pieces(once), "two.test")).fields + once
            outcome = there.zone.run(verify_chain(twice, parse_headers(twice), Millis(there.two.house.clock.now())))
            assert (outcome.result, outcome.sealers) == (Result.PASS, ("two.test", "two.test"))

    asyncio.run(work())


@pytest.mark.parametrize("setting", ["seal = false", "seal = true"])
def test_there_is_no_seal_unless_it_is_wanted_and_there_are_keys(tmp_path: Path, setting: str) -> None:
    async def work() -> None:
        async with chain(tmp_path, forwarding=setting) as there:
            if "false" in setting:
                await give_keys(there.two.house, "two.test", "r2", zone=there.zone)
            await there.at_one.submit(LETTER, to=["info@two.test"])
            (sent,) = await there.at_one.received()
            assert b"ARC-" not in sent

    asyncio.run(work())


def test_it_is_made_when_the_message_leaves_and_not_before(tmp_path: Path) -> None:
    """Nothing of it is stored, so an attempt after a crash makes it anew; the journey tells of it."""

    async def work() -> None:
        async with chain(tmp_path, forwarding="seal = true") as there:
            await give_keys(there.two.house, "two.test", "r2", zone=there.zone)
            await there.at_one.submit(LETTER, to=["info@two.test"])
            (sent,) = await there.at_one.received()
            database = there.two.house.database
            (envelope,) = await database.read(lambda tx: journeys.find(tx, "1@local.test"))
            waiting = await database.read(lambda tx: queue.envelope(tx, envelope))
            assert waiting is not None
            assert waiting.seal_by == "two.test"
            stored = await database.read(lambda tx: messages.sendable(tx, envelope))
            assert stored is not None
            assert b"ARC-" not in stored.prefix
            assert sent.partition(stored.prefix)[0].startswith(b"ARC-Seal: i=1;")
            steps: list[journey.AnyStep] = []
            while not any(isinstance(step, journey.Delivered) for step in steps):  # recorded after the host has said yes
                steps = await database.read(lambda tx: journeys.steps_of(tx, envelope))
            (sealed,) = [step for step in steps if isinstance(step, journey.Sealed)]
            assert (sealed.domain, sealed.selector, sealed.algorithm, sealed.chain) == ("two.test", "r2", "rsa-sha256", "none")

    asyncio.run(work())


def test_what_cannot_be_sealed_leaves_without(tmp_path: Path) -> None:
    async def work() -> None:
        async with chain(tmp_path, forwarding="seal = true\nrewrite_sender = false") as there:
            await give_keys(there.two.house, "two.test", "r2", zone=there.zone)
            (tmp_path / "two" / "data" / FILE).rename(tmp_path / "away")
            await there.at_one.submit(LETTER, to=["info@two.test"])
            (sent,) = await there.at_one.received()
            assert b"ARC-" not in sent
            assert [fields["domain"] for event, fields in there.two.lines if event == "seal-impossible"] == ["two.test"]

    asyncio.run(work())


def test_what_our_own_reader_breaks_at_leaves_without(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LETTER
        raise ValueError("a fault of ours")

    async def work() -> None:
        async with chain(tmp_path, forwarding="seal = true") as there:
            await give_keys(there.two.house, "two.test", "r2", zone=there.zone)
            sealing = there.two.house.sealing
            assert sealing is not None
            assert (await sealing.seal(b"", broken(), "two.test")).fields == b""

    asyncio.run(work())


def test_nothing_is_sealed_while_the_dns_cannot_tell_what_the_chain_is_worth(tmp_path: Path) -> None:
    async def work() -> None:
        async with chain(tmp_path, forwarding="seal = true") as there:
            await give_keys(there.two.house, "two.test", "r2", zone=there.zone)
            sealing = there.two.house.sealing
            assert sealing is not None
            once = (await sealing.seal(b"", in_pieces(LETTER), "two.test")).fields + LETTER
            there.zone["r2._domainkey.two.test"] = ["SERVFAIL"]
            there.two.house.resolver.forget()
            later = await sealing.seal(b"", in_pieces(once), "two.test")
            assert later.fields == b""
            assert [step.question for step in later.steps if isinstance(step, journey.DnsAnswered)] == ["r2._domainkey.two.test. TXT"]

    asyncio.run(work())

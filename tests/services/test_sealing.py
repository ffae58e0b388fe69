"""Seals of mail that is sent on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.services.signers import give_keys
from tests.services.test_forwarding import chain
from tests.services.test_signing import LETTER

from ekiden.base.clock import Millis
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.arc import verify_chain
from ekiden.mailauth.results import Result

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
            twice = await sealing.seal(b"", once, there.alias) + once
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

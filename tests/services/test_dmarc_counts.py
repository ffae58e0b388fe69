"""What DMARC said of each message is counted, cheaply and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.store.stores import NOW

from ekiden.base.clock import Millis
from ekiden.base.errors import StoreError
from ekiden.mailauth.dmarc import Disposition, DmarcOutcome, Override, OverrideType
from ekiden.mailauth.dmarc_record import parse_record
from ekiden.mailauth.results import Result
from ekiden.services import dmarc_counts
from ekiden.services.dmarc_counts import DAY_MS, Counts, Judged, judged
from ekiden.store import dmarc
from ekiden.store.database import Database, Tx, open_database
from ekiden.store.dmarc import Detail, PolicyFound
from ekiden.testing.clock import FakeClock

RECORD = parse_record(b"v=DMARC1; p=reject; rua=mailto:a@one.test")
IP = ip_address("192.0.2.1")


@dataclass(frozen=True)
class Seen:
    domain: str
    result: Result
    selector: str = "s"


def outcome(**changed: object) -> DmarcOutcome:
    values: dict[str, object] = {
        "result": Result.FAIL,
        "disposition": Disposition.REJECT,
        "author_domain": "news.one.test",
        "organisation": "one.test",
        "policy_domain": "one.test",
        "record": RECORD,
        **changed,
    }
    return DmarcOutcome(**values)  # type: ignore[arg-type]


def seen(found: DmarcOutcome, signatures: tuple[Seen, ...] = (), reasons: tuple[tuple[str, str], ...] = ()) -> Judged | None:
    spf = Seen("Bounce.One.Test", Result.SOFTFAIL)
    return judged(found, spf, signatures, IP, "bounce.one.test", "two.test", disposition="reject", now=NOW, reasons=reasons)


def test_all_that_a_report_tells_is_taken_over() -> None:
    overridden = outcome(overrides=(Override(OverrideType.LOCAL_POLICY, "t=y"),))
    assert RECORD is not None
    assert seen(overridden, (Seen("a.test", Result.FAIL),), (("trusted_forwarder", "x"),)) == Judged(
        NOW // DAY_MS,
        "one.test",
        PolicyFound(RECORD.text, "one.test", "treewalk"),
        Detail(
            "192.0.2.1", "news.one.test", "bounce.one.test", "two.test", "reject", False, False, ("bounce.one.test", "softfail"),
            (("a.test", "s", "fail"),), (("local_policy", "t=y"), ("trusted_forwarder", "x")),
        ),
    )


def test_of_many_signatures_those_that_matter_are_told() -> None:
    found = outcome(dkim_domains=("news.one.test", "one.test"))
    given = [*[Seen(f"x{n}.test", Result.FAIL) for n in range(9)], Seen("y.test", Result.PASS), Seen("one.test", Result.PASS)]
    made = seen(found, (*given, Seen("news.one.test", Result.PASS)))
    assert made is not None
    assert [domain for domain, _, _ in made.mail.signatures] == ["news.one.test", "one.test", "y.test", *(f"x{n}.test" for n in range(5))]


def test_what_other_filters_made_of_mail_that_passed_is_not_said() -> None:
    made = seen(outcome(result=Result.PASS, spf_aligned=True), reasons=(("local_policy", ""),))
    assert made is not None
    assert (made.mail.disposition, made.mail.reasons, made.mail.spf_aligned) == ("none", (), True)


@pytest.mark.parametrize("found", [
    outcome(record=None, result=Result.NONE),
    outcome(record=parse_record(b"v=DMARC1; p=reject")),
    outcome(result=Result.TEMPERROR),
])
def test_where_nobody_asks_for_reports_nothing_is_counted(found: DmarcOutcome) -> None:
    assert seen(found) is None


def with_counts(folder: Path, work: Callable[[Counts, Database, list[str], FakeClock], Awaitable[None]]) -> None:
    async def main() -> None:
        noted: list[str] = []
        clock = FakeClock(NOW)
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")

        def log(event: str, **_fields: object) -> None:
            noted.append(event)

        try:
            await work(Counts(database, clock, log), database, noted, clock)
        finally:
            database.close()

    asyncio.run(main())


def kind(number: int = 1, record: str = "v=DMARC1; p=none; rua=mailto:a@one.test") -> Judged:
    mail = Detail(f"192.0.2.{number}", "one.test", "", "", "none", True, True)
    return Judged(5, "one.test", PolicyFound(record, "one.test", "treewalk"), mail)


async def counted(database: Database) -> list[int]:
    found = await database.read(lambda tx: dmarc.counted(tx, 5, "one.test"))
    return sorted(count for _, count in found[1]) if found is not None else []


def test_counts_are_written_together_and_the_newest_policy_stays(tmp_path: Path) -> None:
    async def work(counts: Counts, database: Database, noted: list[str], _: FakeClock) -> None:
        for each in (kind(1), kind(1), kind(2), None, kind(1, "v=DMARC1; p=reject; rua=mailto:a@one.test")):
            counts.note(each)
        await counts.flush()
        await counts.flush()
        assert await counted(database) == [1, 3]
        found = await database.read(lambda tx: dmarc.counted(tx, 5, "one.test"))
        assert found is not None
        assert "reject" in found[0].record
        assert noted == []

    with_counts(tmp_path, work)


def test_they_are_written_every_half_minute(tmp_path: Path) -> None:
    async def work(counts: Counts, database: Database, _noted: list[str], clock: FakeClock) -> None:
        running = asyncio.ensure_future(counts.run())
        counts.note(kind())
        await clock.until_asleep()
        assert await counted(database) == []
        clock.advance(seconds=30)
        await clock.until_asleep()
        assert await counted(database) == [1]
        running.cancel()

    with_counts(tmp_path, work)


def test_a_store_that_fails_loses_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(counts: Counts, database: Database, noted: list[str], _: FakeClock) -> None:
        def full(*_: object) -> int:
            raise StoreError("full")

        counts.note(kind())
        with monkeypatch.context() as broken:
            broken.setattr(dmarc, "add", full)
            await counts.flush()
        counts.note(kind())
        await counts.flush()
        assert await counted(database) == [2]
        assert noted == ["dmarc-counts-kept-back"]

    with_counts(tmp_path, work)


def test_a_flood_of_kinds_is_not_remembered_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dmarc_counts, "_KINDS_MOST", 3)

    async def work(counts: Counts, database: Database, noted: list[str], _: FakeClock) -> None:
        for number in range(10):
            counts.note(kind(number))
        counts.note(kind(1))
        await counts.flush()
        assert await counted(database) == [1, 1, 2]
        assert noted == ["dmarc-not-counted"]

    with_counts(tmp_path, work)


def test_what_comes_after_the_report_is_said_to_be_lost(tmp_path: Path) -> None:
    async def work(counts: Counts, database: Database, noted: list[str], _: FakeClock) -> None:
        def report(tx: Tx) -> None:
            dmarc.add(tx, 5, "one.test", kind().policy, {kind().mail: 1})
            dmarc.reported(tx, 5, "one.test", Millis(1))

        await database.write(report)
        counts.note(kind())
        await counts.flush()
        assert noted == ["dmarc-not-counted"]

    with_counts(tmp_path, work)

"""Daily reports: what they say, when they are written, to whom they go."""

from __future__ import annotations

import asyncio
import email
import gzip
import re
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from ipaddress import ip_address
from pathlib import Path

import pytest

from ekiden.base.clock import Millis
from ekiden.base.errors import EkidenError, StoreError
from ekiden.base.ids import AccountId, IdMaker
from ekiden.dns.questions import Broken, Zone
from ekiden.dns.records import Txt
from ekiden.mail.address import Path as MailPath
from ekiden.mail.address import format_path, parse_mailbox
from ekiden.mailauth.dmarc_report import NAMESPACE, Published, Reason, Sender, Signature, parse_report, write_report
from ekiden.mailauth.report_archive import files_of, unpack
from ekiden.mailauth.results import Result
from ekiden.policy.stage import World
from ekiden.services.arrive import Arrivals
from ekiden.services.dmarc_counts import DAY_MS
from ekiden.services.dmarc_reports import SPREAD_S, DailyReports, Reporter, mail_of, report_of, unsigned
from ekiden.services.routing import Router
from ekiden.store import accounts, counters, dmarc, messages, queue
from ekiden.store.changes import Changes
from ekiden.store.database import Database, Tx, open_database
from ekiden.store.dmarc import Detail, PolicyFound
from ekiden.testing.clock import START, FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver

DAY = START // DAY_MS
REPORTER = Reporter("mx.one.test", "One, Inc. 一番", parse_mailbox("dmarc@one.test"))
RECORD = "v=DMARC1; p=reject; sp=none; fo=1:d; rua=mailto:a@two.test!1m, mailto:b@two.test"
POLICY = PolicyFound(RECORD, "two.test", "treewalk")
GOOD = Detail("192.0.2.1", "two.test", "two.test", "one.test", "none", True, False, ("two.test", "softfail"), (("two.test", "s", "pass"),))
BAD = Detail("2001:db8::1", "two.test", "", "one.test", "reject", False, False, ("helo.x.test", "none"))
KEPT = Detail("192.0.2.2", "two.test", "", "one.test", "none", False, False, reasons=(("local_policy", "t=y"), ("sampled_out", "pct=5")))
BELOW = Detail("192.0.2.3", "a.two.test", "", "one.test", "none", False, True)


def test_a_report_says_what_was_counted_with_the_policy_and_its_defaults() -> None:
    report = report_of(REPORTER, DAY, "two.test", POLICY, [(GOOD, 3), (BAD, 1), (KEPT, 2), (BELOW, 4)])
    assert (report.begin, report.end) == (DAY * 86_400, DAY * 86_400 + 86_399)
    assert report.policy == Published("two.test", "reject", "none", "none", "r", "r", method="treewalk", fo="1:d")
    good, bad, kept, below = report.records
    assert (good.count, good.disposition, good.dkim, good.spf) == (3, "pass", "pass", "fail")
    assert (good.signatures, good.senders) == ((Signature("two.test", "s", "pass"),), (Sender("two.test", "mfrom", "softfail"),))
    assert (bad.disposition, bad.dkim, bad.spf, bad.envelope_from) == ("reject", "fail", "fail", "")
    assert kept.reasons == (Reason("policy_test_mode", "t=y"), Reason("other", "sampled_out: pct=5"))
    assert below.disposition == "none"  # nothing could have been asked for: sp=none
    assert parse_report([write_report(report)]) == report


def test_the_same_report_has_the_same_id_and_others_have_others() -> None:
    ids = {report_of(REPORTER, day, domain, POLICY, []).report_id for day in (1, 2, 2) for domain in ("two.test", "three.test")}
    assert len(ids) == 4
    assert all(re.fullmatch(r"[0-9a-z.]+@mx\.one\.test", each) for each in ids)  # RFC 9990: dot-atom-text "@" dot-atom-text


def _payload(part: Message) -> bytes:
    decoded = part.get_payload(decode=True)
    assert isinstance(decoded, bytes)
    return decoded


def test_the_mail_is_as_others_expect_it() -> None:
    report = report_of(REPORTER, DAY, "two.test", POLICY, [(GOOD, 3)])
    raw = mail_of(REPORTER, parse_mailbox("a@two.test"), report, gzip.compress(write_report(report)), START)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.count(b"\n") == raw.count(b"\r\n")
    read = email.message_from_bytes(raw)
    subject = " ".join(str(read["Subject"]).split())
    assert re.fullmatch(r"Report Domain: two\.test Submitter: mx\.one\.test Report-ID: <[^<>@]+@mx\.one\.test>", subject)
    assert read["To"] == "a@two.test"
    assert str(read["From"]).endswith("<dmarc@one.test>")
    _, words, attached = read.walk()
    assert b"two.test" in _payload(words)
    assert attached.get_content_type() == "application/gzip"
    assert attached.get_filename() == f"mx.one.test!two.test!{DAY * 86_400}!{DAY * 86_400 + 86_399}.xml.gz"
    xml = gzip.decompress(_payload(attached))
    assert f'<feedback xmlns="{NAMESPACE}">'.encode() in xml
    assert parse_report([xml]) == report


# ---- sending --------------------------------------------------------------------------------------------


@dataclass
class Scene:
    database: Database
    clock: FakeClock
    reports: DailyReports
    zone: dict[str, Sequence[object]]
    logged: list[str] = field(default_factory=list)
    told: list[tuple[list[AccountId], bool]] = field(default_factory=list)

    async def count(self, domain: str = "two.test", policy: PolicyFound = POLICY, day: int = DAY, mail: Detail = GOOD) -> None:
        await self.database.write(lambda tx: dmarc.add(tx, day, domain, policy, {mail: 3}))

    async def after(self, seconds: float) -> int:
        """What a round sends so long after the day."""
        self.clock.advance(ms=(DAY + 1) * DAY_MS + round(seconds * 1000) - self.clock.now())
        return await self.reports.round()

    async def queued(self) -> list[tuple[str, str]]:
        found = await self.database.read(lambda tx: queue.waiting(tx, 100))
        return sorted((each.sender, each.recipient) for each in found)

    async def due(self) -> list[str]:
        return [domain for _, domain in await self.database.read(lambda tx: dmarc.due(tx, DAY + 100))]


async def _no_count(key: str, per_s: int) -> int:
    return 0


def in_scene(folder: Path, work: Callable[[Scene], Awaitable[None]], zone: Zone | None = None, sign: object = unsigned) -> None:
    async def main() -> None:
        database = open_database(f"sqlite://{folder / 'ekiden.db'}")
        clock = FakeClock(START)
        records: dict[str, Sequence[object]] = dict(zone or {})
        logged: list[str] = []
        told: list[tuple[list[AccountId], bool]] = []

        def log(event: str, **_: object) -> None:
            logged.append(event)

        try:
            await database.write(lambda tx: accounts.create_account(tx, "alice", ["alice@one.test"], "", START))
            resolver = ZoneResolver(FakeZone(records))  # type: ignore[arg-type]  # values are records
            arrivals = Arrivals(database, Changes(), clock, World(clock, resolver, _no_count, log), "mx.one.test")
            router = Router(database, clock, "mx.one.test", ["one.test"])
            reports = DailyReports(
                database, resolver, arrivals, router, IdMaker(clock), clock, log, REPORTER,
                owner="me", sent=lambda accounts, queued: told.append((list(accounts), queued)), sign=sign,  # type: ignore[arg-type]
            )
            await work(Scene(database, clock, reports, records, logged, told))
        finally:
            database.close()

    asyncio.run(main())


def test_each_domain_gets_its_report_once_some_time_after_the_day(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.count()
        assert await scene.reports.round() == 0
        assert await scene.after(60) == 0
        assert (DAY + 1) * DAY_MS + 600_000 <= scene.reports.due_at(DAY, "two.test") <= (DAY + 1) * DAY_MS + 600_000 + SPREAD_S * 1000
        assert await scene.after(600 + SPREAD_S) == 2
        assert await scene.queued() == [("dmarc@one.test", "a@two.test"), ("dmarc@one.test", "b@two.test")]
        assert await scene.reports.round() == 0
        assert scene.told == [([], True)]
        assert await scene.due() == []

    in_scene(tmp_path, work)


def test_domains_have_different_times(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        times = {scene.reports.due_at(DAY, f"d{number}.test") for number in range(200)}
        assert len(times) > 150
        assert max(times) - min(times) > SPREAD_S * 800  # milliseconds

    in_scene(tmp_path, work)


def test_who_lives_here_finds_the_report_in_the_mailbox(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.count("one.test", PolicyFound("v=DMARC1; p=none; rua=mailto:alice@one.test", "one.test", "psl"))
        assert await scene.after(SPREAD_S + 600) == 1
        assert [(len(accounts), queued) for accounts, queued in scene.told] == [(1, False)]
        assert await scene.queued() == []

    in_scene(tmp_path, work)


EXTERNAL = PolicyFound("v=DMARC1; p=none; rua=mailto:r@three.test", "two.test", "treewalk")
ALLOWED: Zone = {"two.test._report._dmarc.three.test": [Txt((b"v=DMARC1",))]}


def test_ax_24_a_stranger_gets_the_report_only_if_he_wants_it(tmp_path: Path) -> None:
    async def refused(scene: Scene) -> None:
        await scene.count(policy=EXTERNAL)
        assert await scene.after(SPREAD_S + 600) == 0
        assert (await scene.queued(), await scene.due()) == ([], [])
        assert "dmarc-report-unwanted" in scene.logged

    async def wanted(scene: Scene) -> None:
        await scene.count(policy=EXTERNAL, day=DAY)
        assert await scene.after(SPREAD_S + 600) == 1
        assert [recipient for _, recipient in await scene.queued()] == ["r@three.test"]

    (tmp_path / "no").mkdir()
    in_scene(tmp_path / "no", refused)
    in_scene(tmp_path, wanted, ALLOWED)


def test_where_nobody_can_tell_it_is_asked_again_and_given_up_after_days(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.count(policy=EXTERNAL)
        assert await scene.after(SPREAD_S + 600) == 0
        assert await scene.due() == ["two.test"]
        assert await scene.reports.round() == 0
        assert scene.logged.count("dmarc-report-waits") == 1  # not each minute
        assert await scene.after(SPREAD_S + 600 + 1801) == 0
        assert scene.logged.count("dmarc-report-waits") == 2
        assert await scene.after(4 * 86_400) == 0
        assert await scene.due() == []

    in_scene(tmp_path, work, {"two.test._report._dmarc.three.test": [Broken()]})


def test_an_address_that_takes_no_such_size_gets_none_and_the_other_does(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.count(policy=PolicyFound("v=DMARC1; p=none; rua=mailto:a@two.test!1k,mailto:b@two.test!1m", "two.test", "psl"))
        assert await scene.after(SPREAD_S + 600) == 1
        assert [recipient for _, recipient in await scene.queued()] == ["b@two.test"]
        assert "dmarc-report-too-big" in scene.logged

    in_scene(tmp_path, work)


@pytest.mark.parametrize("policy", [
    PolicyFound("v=DMARC1; p=reject", "two.test", "psl"),
    PolicyFound("v=DMARC1; p=reject; rua=https://two.test/", "two.test", "psl"),
    PolicyFound("v=DMARC1; p=reject; rua=mailto:nobody@one.test", "one.test", "psl"),
])
def test_where_no_report_can_go_the_counts_end_all_the_same(tmp_path: Path, policy: PolicyFound) -> None:
    async def work(scene: Scene) -> None:
        await scene.count(policy=policy)
        assert await scene.after(SPREAD_S + 600) == 0
        assert (await scene.queued(), await scene.due()) == ([], [])

    in_scene(tmp_path, work)


def test_a_name_that_cannot_stand_in_a_header_gets_no_report(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.count("a b\r\nbcc: v@victim.test")
        assert await scene.after(SPREAD_S + 600) == 0
        assert (await scene.queued(), await scene.due()) == ([], [])

    in_scene(tmp_path, work)


def test_the_mail_is_signed_as_the_house_signs(tmp_path: Path) -> None:
    seen: list[str] = []

    async def sign(raw: bytes, sender: MailPath) -> bytes:
        seen.append(format_path(sender))
        return b"DKIM-Signature: x\r\n" + raw

    async def work(scene: Scene) -> None:
        await scene.count()
        assert await scene.after(SPREAD_S + 600) == 2
        found = await scene.database.read(lambda tx: [messages.sendable(tx, each.envelope) for each in queue.waiting(tx, 9)])
        assert all(each is not None and each.content is not None and each.content.startswith(b"DKIM-Signature: x\r\n") for each in found)
        assert seen == ["dmarc@one.test"] * 2

    in_scene(tmp_path, work, sign=sign)


def test_only_one_process_reports(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.count()
        far = Millis(START + 10 * DAY_MS)
        await scene.database.write(lambda tx: counters.take_lease(tx, "dmarc-reports", "other", START, far))
        assert await scene.after(SPREAD_S + 600) == 0
        assert await scene.due() == ["two.test"]

    in_scene(tmp_path, work)


def test_a_store_that_fails_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        def fail(tx: Tx, day: int) -> list[tuple[int, str]]:
            raise StoreError("no")

        await scene.count()
        await scene.after(0)
        monkeypatch.setattr(dmarc, "due", fail)
        running = asyncio.ensure_future(scene.reports.run())
        await scene.clock.until_asleep()
        assert scene.logged == ["dmarc-reports-failed"]
        monkeypatch.undo()
        for _ in range(300):
            scene.clock.advance(seconds=60)
            await scene.clock.until_asleep()
        running.cancel()
        assert len(await scene.queued()) == 2

    in_scene(tmp_path, work)


def test_where_a_key_cannot_be_used_nothing_leaves_and_nothing_is_lost(tmp_path: Path) -> None:
    async def sign(raw: bytes, sender: MailPath) -> bytes:
        raise EkidenError("no key")

    async def work(scene: Scene) -> None:
        await scene.count()
        scene.clock.advance(ms=(DAY + 1) * DAY_MS + (SPREAD_S + 600) * 1000 - scene.clock.now())
        running = asyncio.ensure_future(scene.reports.run())
        await scene.clock.until_asleep()
        running.cancel()
        assert scene.logged == ["dmarc-reports-failed"]
        assert (await scene.queued(), await scene.due()) == ([], ["two.test"])

    in_scene(tmp_path, work, sign=sign)


_ORDER = {
    "feedback": ("version?", "report_metadata", "policy_published", "extension?", "record+"),
    "report_metadata": ("org_name", "email", "extra_contact_info?", "report_id", "date_range", "error*", "generator?"),
    "date_range": ("begin", "end"),
    "policy_published": ("domain", "discovery_method?", "adkim?", "aspf?", "p", "sp?", "np?", "testing?", "fo?"),
    "record": ("row", "identifiers", "auth_results"),
    "row": ("source_ip", "count", "policy_evaluated"),
    "policy_evaluated": ("disposition", "dkim", "spf", "reason*"),
    "reason": ("type", "comment?"),
    "identifiers": ("envelope_to?", "envelope_from?", "header_from"),
    "auth_results": ("dkim*", "spf?"),
    "dkim": ("domain", "selector", "result", "human_result?"),
    "spf": ("domain", "scope?", "result", "human_result?"),
}
"""What RFC 9990 says of each element: which parts in which order; ? may be absent, * any number, + at least one."""


def test_the_elements_stand_as_the_tables_of_rfc_9990_want_them() -> None:
    report = report_of(REPORTER, DAY, "two.test", POLICY, [(GOOD, 3), (BAD, 1), (KEPT, 2), (BELOW, 4)])
    seen = set()
    for element in ET.fromstring(write_report(report)).iter():
        name = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        parts = [part.tag.removeprefix(f"{{{NAMESPACE}}}") for part in element]
        if parts:
            seen.add(name)
            pattern = "".join(f"(?:{part.rstrip('?*+')} ){part[len(part.rstrip('?*+')):]}" for part in _ORDER[name])
            assert re.fullmatch(pattern, "".join(f"{part} " for part in parts)), (name, parts)
    assert seen == set(_ORDER)


_POLICIES, _RESULTS = "none|quarantine|reject", "none|pass|fail|neutral|temperror|permerror"
_VALUES = {
    "feedback/version": "1\\.0", "date_range/begin": "[0-9]+", "date_range/end": "[0-9]+", "row/count": "[1-9][0-9]*",
    "report_metadata/org_name": ".+", "report_metadata/email": ".+@.+", "report_metadata/report_id": "<?[^<>@ ]+(?:@[^<>@ ]+)?>?",
    "report_metadata/generator": ".+", "policy_published/domain": ".+", "policy_published/discovery_method": "psl|treewalk",
    "policy_published/p": _POLICIES, "policy_published/sp": _POLICIES, "policy_published/np": _POLICIES,
    "policy_published/adkim": "r|s", "policy_published/aspf": "r|s", "policy_published/testing": "n|y",
    "policy_published/fo": "[01ds](?::[01ds])*", "record/auth_results": "[ \\n]*",
    "row/source_ip": "[0-9.]+|[0-9a-f:]+", "policy_evaluated/disposition": f"pass|{_POLICIES}",
    "policy_evaluated/dkim": "pass|fail", "policy_evaluated/spf": "pass|fail",
    "reason/type": "local_policy|mailing_list|other|policy_test_mode|trusted_forwarder", "reason/comment": ".+",
    "identifiers/header_from": ".+", "identifiers/envelope_from": ".*", "identifiers/envelope_to": ".+",
    "dkim/domain": ".+", "dkim/selector": ".+", "dkim/result": f"policy|{_RESULTS}",
    "spf/domain": ".+", "spf/scope": "mfrom", "spf/result": f"softfail|{_RESULTS}",
}  # fmt: skip
"""What may stand in each; "scope" has one value only, for DMARC goes by MAIL FROM alone."""


@pytest.mark.parametrize("result", [each.value for each in Result])
def test_the_values_are_those_that_rfc_9990_knows(result: str) -> None:
    """Whatever SPF and DKIM have said, and whatever became of the mail."""
    signatures = (("two.test", "s", "pass"), ("x.test", "t", result if result != "softfail" else "fail"))
    spf = ("two.test", result if result != "policy" else "neutral")
    kinds = [
        Detail("192.0.2.9", "two.test", "two.test", "one.test", done, aligned, False, spf, signatures, reasons)
        for done in ("none", "quarantine", "reject")
        for aligned in (True, False)
        for reasons in ((), (("forwarded", "x"), ("mailing_list", ""), ("trusted_forwarder", "arc=pass"), ("local_policy", "t=y")))
    ]
    for policy in (POLICY, replace(POLICY, record="v=DMARC1; p=none; t=y; adkim=s; rua=mailto:a@two.test", method="psl")):
        report = report_of(REPORTER, DAY, "two.test", policy, [*((kind, 1) for kind in kinds), (GOOD, 3), (BAD, 1), (KEPT, 2), (BELOW, 4)])
        root = ET.fromstring(write_report(report))
        seen = set()
        for parent in root.iter():
            assert parent.tag.startswith(f"{{{NAMESPACE}}}")
            for element in parent:
                if len(element) == 0:
                    name = "/".join(each.tag.removeprefix(f"{{{NAMESPACE}}}") for each in (parent, element))
                    seen.add(name)
                    assert re.fullmatch(_VALUES[name], element.text or ""), (name, element.text)
        assert seen == set(_VALUES)
        for row in root.iter(f"{{{NAMESPACE}}}source_ip"):
            ip_address(row.text or "")


def test_twenty_thousand_kinds_of_mail_make_one_report_of_modest_size() -> None:
    counts = [(Detail(f"10.0.{n >> 8}.{n & 255}", "two.test", "two.test", "one.test", "none", True, True), 1) for n in range(20_000)]
    report = report_of(REPORTER, DAY, "two.test", POLICY, counts)
    packed = gzip.compress(write_report(report))
    raw = mail_of(REPORTER, parse_mailbox("a@two.test"), report, packed, START)
    assert len(raw) < 1_000_000
    (found,) = files_of(raw)
    assert parse_report(unpack(found.raw)) == report

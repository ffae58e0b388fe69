"""Counts of judged mail until they are reported, and reports of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.stores import NOW, a_message, in_one

from ekiden.base.clock import Millis
from ekiden.base.ids import EnvelopeId
from ekiden.mailauth.dmarc_report import AggregateReport, Published, Reason, Record, Sender, Signature
from ekiden.store import accounts, dmarc, mailboxes, messages
from ekiden.store.database import Tx
from ekiden.store.dmarc import Arrived, Detail, PolicyFound, Source, Totals

POLICY = PolicyFound("v=DMARC1; p=none; rua=mailto:a@one.test", "one.test", "treewalk")
_SIGNATURES = (("one.test", "s", "pass"),)
MAIL = Detail("192.0.2.1", "one.test", "one.test", "two.test", "none", True, False, ("one.test", "fail"), _SIGNATURES, (("other", ""),))
OTHER = Detail("2001:db8::1", "a.one.test", "", "two.test", "reject", False, False)
REPORT = AggregateReport(
    "Two", "a@two.test", "r1", 1000, 2000, Published("one.test", p="none"),
    (
        Record("192.0.2.1", 3, "none", "pass", "fail", "one.test", "one.test", "", (Reason("other"),), (Signature("a.test", "s", "pass"),)),
        Record("192.0.2.2", 2, "reject", "fail", "fail", "one.test", senders=(Sender("x.test", "mfrom", "fail"),)),
        Record("192.0.2.2", 4, "reject", "fail", "fail", "one.test"),
    ),
)


def test_what_is_alike_is_one_row_with_a_count(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert dmarc.add(tx, 5, "one.test", POLICY, {MAIL: 2, OTHER: 1}) == 0
        newer = replace(POLICY, record="v=DMARC1; p=reject; rua=mailto:b@one.test")
        assert dmarc.add(tx, 5, "one.test", newer, {MAIL: 3}) == 0
        assert dmarc.add(tx, 6, "one.test", POLICY, {MAIL: 1}) == 0
        found = dmarc.counted(tx, 5, "one.test")
        assert found is not None
        assert (found[0], dict(found[1])) == (newer, {MAIL: 5, OTHER: 1})
        assert dmarc.due(tx, 6) == [(5, "one.test")]
        assert dmarc.due(tx, 7) == [(5, "one.test"), (6, "one.test")]

    in_one(tmp_path, work)


def test_what_has_been_reported_is_reported_once_and_counted_no_more(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        dmarc.add(tx, 5, "one.test", POLICY, {MAIL: 2})
        assert dmarc.reported(tx, 5, "one.test", NOW)
        assert not dmarc.reported(tx, 5, "one.test", NOW)
        assert dmarc.counted(tx, 5, "one.test") is None
        assert dmarc.due(tx, 9) == []
        assert dmarc.add(tx, 5, "one.test", POLICY, {MAIL: 7}) == 7
        assert tx.all("dmarc_counts", day=5, domain="one.test") == []
        dmarc.add(tx, 6, "one.test", POLICY, {MAIL: 1})
        assert dmarc.forget(tx, 7) == 2
        assert dmarc.counted(tx, 6, "one.test") is None

    in_one(tmp_path, work)


@pytest.mark.parametrize("name", ["KINDS_MOST", "DAY_KINDS_MOST"])
def test_kinds_without_end_are_not_kept_and_those_that_are_count_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(dmarc, name, 3)

    def work(tx: Tx) -> None:
        many = {Detail(f"192.0.2.{number}", "one.test", "", "", "none", True, True): 1 for number in range(10)}
        assert dmarc.add(tx, 5, "one.test", POLICY, many) == 7
        assert dmarc.add(tx, 5, "one.test", POLICY, many) == 7
        assert dmarc.add(tx, 5, "two.test", POLICY, {MAIL: 1}) == (1 if name == "DAY_KINDS_MOST" else 0)
        found = dmarc.counted(tx, 5, "one.test")
        assert found is not None
        assert [count for _, count in found[1]] == [2, 2, 2]

    in_one(tmp_path, work)


def test_domains_without_end_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dmarc, "DOMAINS_MOST", 2)

    def work(tx: Tx) -> None:
        assert [dmarc.add(tx, 5, f"{name}.test", POLICY, {MAIL: 1}) for name in "abca"] == [0, 0, 1, 0]

    in_one(tmp_path, work)


def test_a_report_of_others_is_kept_once_and_summed_up(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert dmarc.keep(tx, REPORT, EnvelopeId(1), NOW)
        assert not dmarc.keep(tx, REPORT, EnvelopeId(2), NOW)
        assert dmarc.keep(tx, replace(REPORT, organisation="Three", begin=5000, end=6000), EnvelopeId(3), NOW)
        assert dmarc.keep(tx, replace(REPORT, policy=Published("x.test"), records=()), EnvelopeId(4), NOW)
        first, second = dmarc.sources(tx, "one.test", 0)
        assert first == Source("one.test", "192.0.2.2", "one.test", "fail", "fail", "reject", 12, 2)
        assert second == Source("one.test", "192.0.2.1", "one.test", "pass", "fail", "none", 6, 2)
        assert (first.is_aligned, second.is_aligned) == (False, True)
        assert [each.count for each in dmarc.sources(tx, "", 5000)] == [6, 3]
        assert dmarc.sources(tx, "x.test", 0) == []
        assert dmarc.totals(tx, "", 0) == Totals(3, 18, 6)
        assert dmarc.totals(tx, "x.test", 0) == Totals(1, 0, 0)

    in_one(tmp_path, work)


def test_reports_are_forgotten_with_their_rows(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        dmarc.keep(tx, REPORT, EnvelopeId(1), NOW)
        dmarc.keep(tx, replace(REPORT, report_id="r2"), EnvelopeId(1), Millis(NOW + 1000))
        assert dmarc.forget_received(tx, Millis(NOW + 500)) == 1
        assert dmarc.totals(tx, "", 0) == Totals(1, 9, 3)
        assert dmarc.forget_received(tx, Millis(NOW + 5000)) == 1
        assert dmarc.totals(tx, "", 0) == Totals(0, 0, 0)

    in_one(tmp_path, work)


def test_a_hundred_thousand_rows_are_kept(tmp_path: Path) -> None:
    many = tuple(Record(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 1, "none", "pass", "pass", "one.test") for n in range(100_000))
    assert in_one(tmp_path, lambda tx: dmarc.keep(tx, replace(REPORT, records=many), EnvelopeId(1), NOW))


def test_mailboxes_are_looked_through_from_where_it_was_left(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        account = accounts.create_account(tx, "alice", ["alice@one.test"], "", NOW).id
        inbox = mailboxes.of_account(tx, account)[0]
        for number in (1, 2, 3):
            messages.insert(tx, a_message(number))
            messages.deposit_all(tx, [messages.Copy(inbox.id, EnvelopeId(number), NOW, 50, "dmarc@one.test")])
        assert dmarc.arrived(tx, inbox.id, 1, 1) == [Arrived(2, EnvelopeId(2), "dmarc@one.test", 50)]
        assert dmarc.looked(tx) == {}
        dmarc.look_on(tx, {int(inbox.id): 2})
        assert dmarc.looked(tx) == {inbox.id: 2}
        dmarc.look_on(tx, {int(inbox.id): 3})
        assert dmarc.looked(tx) == {inbox.id: 3}

    in_one(tmp_path, work)

"""The checker checks itself: each counter of the ledger counts what it is for, and nothing else.

Source: reliability.md §3.1.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.crash import store_of_mail
from tests.crash.ledger import Copy, Heard, Ledger, Line, Verdict, collect, id_of, is_whole, judge, judge_copies
from tests.crash.ledger.collect import Box, copies_in, judge_observations, judge_shown, judge_store, read_report
from tests.crash.ledger.readers import Event, judge_imap
from tests.crash.ledger.verdict import COUNTERS
from tests.crash.ledger.writing import SIZES, Notes, a_message, read_message, read_states


def _only(verdict: Verdict, *wrong: str) -> bool:
    """These counters have counted, and no others."""
    return [name for name in COUNTERS if verdict.counts[name]] == [name for name in COUNTERS if name in wrong]


# ---- what a client writes down -------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_message_carries_its_id_twice_and_the_hash_of_its_body(size: int) -> None:
    message = a_message("run-c-1-00", "a@one.test", size)
    assert message.count(b"X-Ledger: run-c-1-00\r\n") == (2 if size else 1)
    assert len(message.partition(b"\r\n\r\n")[2]) == pytest.approx(size, abs=100)
    assert is_whole(message)
    assert id_of(b"Return-Path: <a@b>\r\nReceived: x\r\n" + message) == "run-c-1-00"


@pytest.mark.parametrize("damage", [
    lambda m: m.replace(b"text of", b"test of", 1),
    lambda m: m[:-2],
    lambda m: m[: m.rindex(b"X-Ledger")],
    lambda m: m.replace(b"X-Hash: ", b"X-Hush: "),
    lambda m: m.replace(b"\r\n. ", b"\r\n.. ", 1),  # a dot that was doubled and not taken away again
])
def test_a_message_that_was_changed_is_not_whole(damage: Callable[[bytes], bytes]) -> None:
    message = a_message("run-c-1-00", "a@one.test", 4_096)
    assert not is_whole(damage(message))
    states = {("run-c-1-00", "a"): Heard.ACKNOWLEDGED}
    verdict = Verdict()
    judge_copies(states, [Copy("run-c-1-00", "a", "mailbox", is_whole(damage(message)))], verdict)
    assert _only(verdict, "corrupt")


def test_the_file_of_a_client_says_the_last_word_on_each_recipient(tmp_path: Path) -> None:
    ledger = Ledger("c", random.Random(1), notes=Notes(tmp_path / "c.ledger"))
    line, _ = ledger.next_message(("a", "b", "c", "d"))
    ledger.note(line, ["c"], "NAK4")
    ledger.note(line, ["a", "b"], "SENT")
    ledger.note(line, ["a"], "ACK")
    heard = {"a": Heard.ACKNOWLEDGED, "b": Heard.SENT, "c": Heard.REFUSED}
    assert read_states(tmp_path / "c.ledger") == {(line.id, recipient): state for recipient, state in heard.items()}
    assert ledger.states()[line.id, "d"] is Heard.UNSENT
    assert Notes(tmp_path / "c.ledger").path.read_text().count("\n") == 4, "it only grows"


# ---- copies --------------------------------------------------------------------------------------


def _sent(heard: Heard) -> tuple[Ledger, Line, bytes]:
    ledger = Ledger("test", random.Random(1))
    line, message = ledger.next_message(("alice",), 4_096)
    line.heard = heard
    return ledger, line, message


@pytest.mark.parametrize(("heard", "copies", "wrong"), [
    (Heard.ACKNOWLEDGED, 1, ""),
    (Heard.ACKNOWLEDGED, 0, "lost"),
    (Heard.ACKNOWLEDGED, 2, "dup"),
    (Heard.SENT, 0, ""),
    (Heard.SENT, 1, ""),
    (Heard.SENT, 2, "dup"),
    (Heard.REFUSED, 0, ""),
    (Heard.REFUSED, 1, "ghost"),
    (Heard.UNSENT, 1, "ghost"),
])
def test_what_is_missing_doubled_or_should_not_be_is_counted(heard: Heard, copies: int, wrong: str) -> None:
    ledger, _, message = _sent(heard)
    verdict = judge([ledger], {"alice": [message] * copies})
    assert _only(verdict, *filter(None, [wrong]))
    assert verdict.is_clean == (not wrong)


@pytest.mark.parametrize(("where", "unknown", "wrong"), [
    ("remote", 0, ""),
    ("queue", 0, ""),
    ("report", 0, ""),
    ("remote remote", 0, "dup_unexplained"),
    ("remote remote", 1, ""),
    ("remote remote remote", 1, "dup_unexplained"),
    ("remote queue", 0, "dup_unexplained"),
    ("remote queue", 1, ""),
    ("remote report", 0, "dup_unexplained"),
    ("queue report", 1, "dup"),
    ("report report", 1, "dup"),
    ("remote queue report", 2, "dup"),
    ("mailbox queue", 1, "dup"),
    ("", 1, "lost"),
])
def test_a_second_copy_at_a_remote_host_needs_an_unknown_outcome_and_nothing_else_excuses_one(where: str, unknown: int, wrong: str) -> None:
    verdict = Verdict()
    copies = [Copy("1", "x", name) for name in where.split()]  # type: ignore[arg-type]  # words of the table
    judge_copies({("1", "x"): Heard.ACKNOWLEDGED}, copies, verdict, events={("1", "x"): unknown})
    assert _only(verdict, *filter(None, [wrong]))


def test_an_alias_has_a_copy_in_each_mailbox_that_it_stands_for() -> None:
    ways = {"crew": ("crew for carol", "crew for dave")}
    verdict = Verdict()
    judge_copies({("1", "crew"): Heard.ACKNOWLEDGED}, [Copy("1", "crew for carol", "mailbox")], verdict, ways=ways)
    assert verdict.lost == [("1", "crew for dave")]
    assert _only(verdict, "lost")


def test_a_copy_of_what_nobody_has_sent_is_a_ghost() -> None:
    verdict = Verdict()
    judge_copies({("1", "x"): Heard.ACKNOWLEDGED}, [Copy("1", "x", "queue"), Copy("1", "y", "queue"), Copy("2", "x", "remote")], verdict)
    assert len(verdict.ghost) == 2
    assert _only(verdict, "ghost")


@pytest.mark.parametrize(("trace", "wrong"), [
    (b"Return-Path: <a@b>\r\nReceived: x\r\n", ""),
    (b"Return-Path: <a@b>\r\nReceived: x\r\nReceived: x\r\n", "corrupt"),
    (b"Return-Path: <a@b>\r\nReturn-Path: <a@b>\r\nReceived: x\r\n", "corrupt"),
    (b"Received: x\r\n", "corrupt"),
])
def test_a_delivered_copy_has_its_trace_once(trace: bytes, wrong: str) -> None:
    message = trace + b"Delivered-To: alice@one.test\r\n" + a_message("1", "a@b", 200)
    shown = {1: collect.Shown(frozenset(), read_message(message))}
    verdict = Verdict()
    judge_copies({("1", "alice@one.test"): Heard.ACKNOWLEDGED}, copies_in("alice@one.test", shown), verdict)
    assert _only(verdict, *filter(None, [wrong]))


def test_a_message_that_cannot_be_read_does_not_stand_for_a_copy() -> None:
    verdict = Verdict()
    judge_copies({("1", "alice@one.test"): Heard.ACKNOWLEDGED}, copies_in("alice@one.test", {1: collect.Shown(frozenset(), None)}), verdict)
    assert _only(verdict, "lost", "corrupt", "ghost")


_REPORT = b"""From: postmaster@one.test
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

no
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; one.test

Final-Recipient: rfc822; x@two.test
Action: failed
Status: 5.1.1

Final-Recipient: rfc822; y@two.test
Action: delayed
Status: 4.1.1
--b
Content-Type: text/rfc822-headers

X-Ledger: run-c-1-00
--b--
""".replace(b"\n", b"\r\n")


def test_a_report_counts_for_each_recipient_that_failed() -> None:
    assert read_report(_REPORT) == ("run-c-1-00", ("x@two.test",))
    assert read_message(_REPORT).is_report


# ---- IMAP ----------------------------------------------------------------------------------------


def _client(*more: Event) -> list[Event]:
    """UIDs 1, 2 of desk are "a" (flagged) and "b"; what comes after."""
    began: list[Event] = []
    for uid, id in ((1, "a"), (2, "b")):
        began += [{"n": uid, "op": "APPEND", "id": id, "to": "desk"}, {"n": uid, "ok": True, "validity": 9, "new": uid}]
    return [*began, {"n": 3, "op": "STORE", "id": "a", "box": "desk", "uid": 1, "flag": "\\Flagged"}, {"n": 3, "ok": True}, *more]


_FLAG = frozenset({"\\Flagged"})
_NONE = frozenset[str]()
_A, _B = ("a", _FLAG), ("b", _NONE)
_MOVE: Event = {"n": 4, "op": "MOVE", "id": "b", "box": "desk", "uid": 2, "to": "shelf"}
_COPY: Event = {"n": 4, "op": "COPY", "id": "a", "box": "desk", "uid": 1, "to": "shelf"}
_EXPUNGE: Event = {"n": 4, "op": "EXPUNGE", "id": "b", "box": "desk", "uid": 2}
_APPEND: Event = {"n": 4, "op": "APPEND", "id": "c", "to": "desk"}
_DONE: Event = {"n": 4, "ok": True}
_NEW: Event = {"n": 4, "ok": True, "validity": 9, "new": 7}
_NO: Event = {"n": 4, "ok": False}


@pytest.mark.parametrize(("events", "desk", "shelf", "wrong"), [
    ([], {1: _A, 2: _B}, {}, ""),
    ([], {2: _B}, {}, "imap_lost"),
    ([], {1: ("a", _NONE), 2: _B}, {}, "imap_lost"),
    ([], {1: _B, 2: _B}, {}, "uid_reuse"),
    ([], {1: _A, 2: _B, 3: ("z", _NONE)}, {}, "ghost"),
    ([_APPEND], {1: _A, 2: _B}, {}, ""),
    ([_APPEND], {1: _A, 2: _B, 3: ("c", _NONE)}, {}, ""),
    ([_APPEND], {1: _A, 2: _B, 3: ("c", _NONE), 4: ("c", _NONE)}, {}, "ghost"),
    ([_APPEND, _NO], {1: _A, 2: _B, 3: ("c", _NONE)}, {}, "ghost"),
    ([_APPEND, _NEW], {1: _A, 2: _B}, {}, "imap_lost"),
    ([_APPEND, {**_NEW, "new": 2}], {1: _A, 2: ("c", _NONE)}, {}, "uid_reuse"),
    ([_APPEND, {**_NEW, "validity": 10}], {1: _A, 2: _B, 7: ("c", _NONE)}, {}, "uid_reuse"),
    ([_EXPUNGE], {1: _A}, {}, ""),
    ([_EXPUNGE], {1: _A, 2: _B}, {}, ""),
    ([_EXPUNGE, _DONE], {1: _A}, {}, ""),
    ([_EXPUNGE, _DONE], {1: _A, 2: _B}, {}, "imap_lost"),
    ([_EXPUNGE, _DONE], {1: _A, 2: ("c", _NONE)}, {}, "uid_reuse"),
    ([_COPY, _NEW], {1: _A, 2: _B}, {7: _A}, ""),
    ([_COPY, _NEW], {1: _A, 2: _B}, {}, "imap_lost"),
    ([_COPY, _NEW], {1: _A, 2: _B}, {7: ("a", _NONE)}, "imap_lost"),
    ([_COPY], {1: _A, 2: _B}, {1: _A}, ""),
    ([_COPY], {1: _A, 2: _B}, {1: _A, 2: _A}, "ghost"),
    ([_MOVE, _NEW], {1: _A}, {7: _B}, ""),
    ([_MOVE, _NEW], {1: _A, 2: _B}, {7: _B}, "imap_lost"),
    ([_MOVE], {1: _A, 2: _B}, {}, ""),
    ([_MOVE], {1: _A}, {1: _B}, ""),
    ([_MOVE], {1: _A, 2: _B}, {1: _B}, "dup"),
    ([_MOVE], {1: _A}, {}, "imap_lost"),
])
def test_each_ok_of_imap_is_held_against_the_mailboxes(
    events: list[Event], desk: dict[int, tuple[str, frozenset[str]]], shelf: dict[int, tuple[str, frozenset[str]]], wrong: str
) -> None:
    verdict = Verdict()
    judge_imap(_client(*events), {"desk": 9, "shelf": 9}, {"desk": desk, "shelf": shelf}, verdict)
    assert _only(verdict, *filter(None, [wrong])), verdict


_BEFORE = Box(9, 10, 50, {3: (103, 40), 5: (105, 50)})


@pytest.mark.parametrize(("after", "wrong"), [
    (_BEFORE, ""),
    (Box(9, 12, 60, {3: (103, 55), 10: (110, 60)}), ""),
    (Box(8, 10, 50, _BEFORE.entries), "uid_reuse"),
    (Box(9, 9, 50, _BEFORE.entries), "uid_reuse"),
    (Box(9, 10, 49, {3: (103, 40)}), "uid_reuse"),
    (Box(9, 10, 50, {3: (103, 39)}), "uid_reuse"),
    (Box(9, 10, 50, {3: (104, 40)}), "uid_reuse"),
    (Box(9, 10, 50, {4: (104, 41)}), "uid_reuse"),
    (Box(9, 10, 50, {10: (110, 50)}), "uid_reuse"),
    (Box(9, 10, 50, {3: (103, 51)}), "uid_reuse"),
])
def test_numbers_of_a_mailbox_only_grow(after: Box, wrong: str) -> None:
    verdict = Verdict()
    judge_observations([{"box": _BEFORE}, {"box": after}], verdict)
    assert _only(verdict, *filter(None, [wrong]))


def test_a_mailbox_that_is_gone_is_counted() -> None:
    verdict = Verdict()
    judge_observations([{"box": _BEFORE}, {}], verdict)
    assert _only(verdict, "imap_lost")


def test_what_imap_shows_and_what_the_database_has_is_compared() -> None:
    for shown, wrong in (([3, 5], ()), ([3], ("imap_lost",)), ([3, 5, 6], ("ghost",))):
        verdict = Verdict()
        judge_shown(_BEFORE, shown, "box", verdict)
        assert _only(verdict, *wrong)


# ---- the store -----------------------------------------------------------------------------------


def _run(statement: str) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        connection = apsw.Connection(str(folder / "ekiden.db"))
        connection.execute(statement)
        connection.close()

    return work


def _a_file(folder: Path) -> Path:
    return next(iter(sorted((folder / "blobs").glob("[0-9a-f][0-9a-f]/*"))))


def _flip(folder: Path) -> None:
    file = _a_file(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _unnamed(age_s: float) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        file = _a_file(folder).with_name("ab" * 16)
        file.write_bytes(b"x")
        os.utime(file, (time.time() - age_s,) * 2)

    return work


_LOST_INDEX = "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name = 'entry_of_message'"


@pytest.mark.parametrize(("damage", "wrong"), [
    (lambda folder: None, ""),
    (lambda folder: _a_file(folder).unlink(), "dangling"),
    (_flip, "dangling"),
    (_run("UPDATE message SET content = x'00' WHERE id = 1"), "dangling"),
    (_run("DELETE FROM message WHERE id = 1"), "dangling"),
    (_run("DELETE FROM message WHERE id = (SELECT max(id) FROM message)"), "dangling"),  # of a copy that waits
    (_run("UPDATE mailbox SET messages = messages + 1"), "dangling"),
    (_run(_LOST_INDEX), "dangling"),  # integrity_check
    (_unnamed(600), ""),
    (_unnamed(7_200), "orphan"),
])
def test_rows_and_files_that_do_not_agree_are_counted(tmp_path: Path, damage: Callable[[Path], None], wrong: str) -> None:
    store_of_mail.make(tmp_path)
    damage(tmp_path)
    verdict = Verdict()
    judge_store(tmp_path / "ekiden.db", verdict)
    assert _only(verdict, *filter(None, [wrong])), verdict


def test_what_waits_is_found_with_its_recipient(tmp_path: Path) -> None:
    store_of_mail.make(tmp_path)
    assert [copy.destination for copy in collect.queued(tmp_path / "ekiden.db")] == ["x@two.test"] * store_of_mail.QUEUED
    _run("UPDATE delivery SET due_at = 1")(tmp_path)
    assert not collect.at_rest(tmp_path / "ekiden.db")
    _run("UPDATE delivery SET due_at = (unixepoch() + 3600) * 1000")(tmp_path)
    assert collect.at_rest(tmp_path / "ekiden.db")
    _run("UPDATE delivery SET lease_until = 1")(tmp_path)
    assert not collect.at_rest(tmp_path / "ekiden.db")

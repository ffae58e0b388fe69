"""Journeys as people read them."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from ekiden.base.clock import Millis
from ekiden.base.texts import languages
from ekiden.mail.journey import (
    Amended,
    AnyStep,
    Authenticated,
    Committed,
    Connected,
    ContentReceived,
    Deferred,
    Dialled,
    Failed,
    Fetched,
    Judged,
    Queued,
    Reason,
    Refused,
    RemoteReplied,
    Secured,
    SenderGiven,
    Step,
)
from ekiden.services.timeline import as_json, columns, lines, pad, render, sentence, wrap

T = Millis(1_790_000_000_123)


def _any(kind: type[Step]) -> Step:
    """A step of that kind with something in every field."""
    given = {str: "x", int: 7, bool: False}
    values = {field.name: given.get(field.type) for field in msgspec.structs.fields(kind)}
    values |= {name: T for name in ("at", "due_at") if name in values}
    if "reasons" in values:
        values["reasons"] = [["spf-fail", 30, "x"]]
    return msgspec.convert({"step": kind.__struct_config__.tag, **values}, kind)


@pytest.mark.parametrize("kind", get_args(AnyStep), ids=lambda kind: kind.__name__)
def test_every_step_has_a_sentence_in_every_language(kind: type[Step]) -> None:
    for lang in languages():
        assert sentence(_any(kind), lang)


@pytest.mark.parametrize(("step", "words"), [
    (Secured(T, "TLSv1.3", "X", True), "certificate was not checked"),
    (Secured(T, "TLSv1.3", "X", True, "mx.example"), "valid for mx.example"),
    (Secured(T, "TLSv1.3", "X", False, "alice"), "client's certificate names alice"),
    (SenderGiven(T, "", "250 OK"), "never answered by another report"),
    (ContentReceived(T, 1234567), "1,234,567 bytes"),
    (Judged(T, "spf", "message", "reject", "fail"), "refuse it (fail)"),
    (Queued(T, "a@b.test", "b.test", "held", "dev"), "until somebody releases it: dev"),
    (Dialled(T, "mx.b.test", "192.0.2.1", 25, 3, "refused"), "No connection to mx.b.test"),
    (Failed(T, "a@b.test", "550", True), "waited too long"),
    (Refused(T, "550 5.7.1 no"), "Refused, and nothing of it was kept but this: 550 5.7.1 no"),
    (Refused(T, "451 4.7.1 later"), "its sender may try again: 451 4.7.1 later"),
    (Deferred(T, "a@b.test", "451", Millis(T + 1000)), "2026-09-21 14:13:21 UTC"),
    (Fetched(T, "bob", "IMAP", "mutt"), "by IMAP with mutt"),
    (RemoteReplied(T, "mx.b.test", "", "220 hi"), "mx.b.test greeted us: 220 hi"),
    (RemoteReplied(T, "mx.b.test", "RCPT TO:<a@b.test>", "250 ok"), "We said RCPT TO:<a@b.test>; mx.b.test answered 250 ok"),
    (RemoteReplied(T, "mx.b.test", ".", "250 ok"), "We ended the message"),
    (Authenticated(T, "spf", "fail", "smtp.mailfrom=a.test"), "SPF says: fail (smtp.mailfrom=a.test)"),
    (Authenticated(T, "dmarc", "pass", "header.from=a.test", "DKIM"), "DMARC says: pass (header.from=a.test), because DKIM"),
    (Amended(T, "+Date, -Bcc, x"), "Date added, Bcc removed, x"),
])
def test_the_sentence_fits_the_fields(step: Step, words: str) -> None:
    assert words in sentence(step)
    assert sentence(step, "ja") != sentence(step)


def test_lines_tell_time_layer_and_section() -> None:
    line = lines([Connected(T, "192.0.2.7", 4000, "mx")])[0]
    assert (line.day, line.time, line.layer, line.rfc) == ("2026-09-21", "14:13:20.123", "transport TCP", "RFC 5321 §3.1")


def test_lines_are_in_order_of_time_and_stable() -> None:
    steps = [Committed(Millis(T + 5), "b"), Connected(T, "192.0.2.7", 4000, "mx"), Committed(Millis(T + 5), "c")]
    assert [line.at for line in lines(steps)] == [T, T + 5, T + 5]
    assert "b" in lines(steps)[1].sentence


def test_reading_by_pop3_names_its_own_protocol_and_section() -> None:
    told = as_json([Fetched(T, "bob", "POP3")])[0]
    assert (told["protocol"], told["rfc"]) == ("POP3", "RFC 1939 §5")


@pytest.mark.parametrize(("command", "rfc"), [
    ("", "RFC 5321 §3.1"), ("RCPT TO:<a@b.test>", "RFC 5321 §4.1.1.3"), ("STARTTLS", "RFC 3207 §4"), ("XYZ", "RFC 5321 §4.2"),
])
def test_what_a_remote_host_answered_names_the_section_of_the_command(command: str, rfc: str) -> None:
    assert lines([RemoteReplied(T, "mx.b.test", command, "250 ok")])[0].rfc == rfc


def test_a_check_names_the_section_of_its_method() -> None:
    assert [lines([Authenticated(T, method, "pass")])[0].rfc for method in ("spf", "x")] == ["RFC 7208 §2.6", "RFC 8601 §2.7"]


def test_json_holds_the_fields_and_the_explanation() -> None:
    told = as_json([Connected(T, "192.0.2.7", 4000, "mx")])[0]
    assert told["step"] == "connected"
    assert (told["at"], told["ip"], told["port"], told["layer"]) == (T, "192.0.2.7", 4000, "transport")
    assert msgspec.json.encode(told)


@pytest.mark.parametrize("lang", languages())
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_columns_stand_below_each_other(lang: str, width: int) -> None:
    long = SenderGiven(T, "very.long." * 12 + "@one.test", "250 2.1.0 OK")
    table = render([Connected(T, "192.0.2.7", 4000, "mx"), long, Committed(T, "250 ok")], lang, width).split("\n")
    assert all(columns(row) <= max(width, 80) for row in table)
    if width >= 120:
        assert len({columns(row[:row.index("RFC")]) for row in table if "RFC" in row}) == 1


def test_no_steps_is_a_sentence() -> None:
    assert render([]) == "no steps are kept for this message\n"


@pytest.mark.parametrize(("shown", "width"), [("abc", 3), ("日本", 4), ("ｱ", 1), ("Ａ", 2), ("e\u0301", 1), ("", 0)])
def test_wide_characters_take_two_columns(shown: str, width: int) -> None:
    assert columns(shown) == width
    assert columns(pad(shown, 10)) == 10


@pytest.mark.parametrize(("shown", "rows"), [
    ("one two three", ["one two", "three"]),
    ("日本語の文です", ["日本語の", "文です"]),
    ("abcdefghijk", ["abcdefgh", "ijk"]),
    ("", [""]),
])
def test_lines_break_at_spaces_and_between_wide_characters(shown: str, rows: list[str]) -> None:
    assert wrap(shown, 8) == rows


def test_each_reason_has_a_line_with_its_points() -> None:
    reasons = (Reason("spf-fail", 30, "smtp.mailfrom=a.test"), Reason("listed-zen", 40), Reason("own-finding", -5, "x"))
    step = Judged(T, "builtin:score", "message", "quarantine", "65 points", reasons)
    first, *rest = lines([step])
    assert first.sentence.endswith("(65 points)")
    assert [each.sentence for each in rest] == [
        "+30 spf-fail: the sender's domain says that this server may not send for it (smtp.mailfrom=a.test)",
        "+40 listed-zen: it stands on the list zen",
        "-5 own-finding (x)",
    ]
    assert {(each.time, each.layer, each.rfc) for each in rest} == {("", "", "")}
    shown = render([step], "ja")
    assert "+30 spf-fail: 差出人のドメインは、このサーバーからの送信を認めていません" in shown
    assert "65点" in shown
    (told,) = as_json([step])
    assert [(each["name"], each["points"]) for each in told["reasons"]] == [("spf-fail", 30), ("listed-zen", 40), ("own-finding", -5)]  # type: ignore[attr-defined]

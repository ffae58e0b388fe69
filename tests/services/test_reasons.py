"""Reasons in the reader's language: every one that a check can give is known."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ekiden
from ekiden.base.texts import ENGLISH, languages
from ekiden.services.reasons import reason_in

_ROOT = Path(ekiden.__file__).parent
_CHECKS = ("spf", "spf_record", "dkim", "dkim_key", "dkim_signature", "dkim_tags", "dmarc", "arc", "arc_set")
_AT = {"Unverified": 1, "_Stopped": 0, "_Broken": 0, "_Ruling": 2, "Flaw": 0, "BadValue": 2, "Reverse": 4}
"""Which argument of what is made holds a reason."""


_NOT_OF_CHECKS = {"neither RSA nor Ed25519"}  # of a private key
_DETAILS = {"spf_record.py": {"Flaw"}}
"""What is wrong with one term stands, as it is, within the sentence about the term."""


def _sources() -> list[Path]:
    return [_ROOT / "mailauth" / f"{name}.py" for name in _CHECKS] + [_ROOT / "dns" / "reverse.py"]


def _nodes(file: Path) -> Iterator[ast.expr]:
    """Whatever is given as a reason."""
    makers = _DETAILS.get(file.name, _AT.keys())
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
            at = _AT[node.func.id]
            yield from node.args[at : at + 1]
        if isinstance(node, ast.Call):
            yield from (each.value for each in node.keywords if each.arg in ("because", "fault"))
        if isinstance(node, ast.Assign) and any(isinstance(each, ast.Name) and each.id in ("because", "problem") for each in node.targets):
            yield node.value


def _samples(node: ast.expr) -> Iterator[str]:
    """What a reason may look like; the value of every placeholder is "7", or a reason where that stands there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _samples(node.body)
        yield from _samples(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for each in node.values:
            yield from _samples(each)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(each.value) if isinstance(each, ast.Constant) else _filled(ast.unparse(each)) for each in node.values)


def _filled(place: str) -> str:
    known = {
        "what": "seal 7", "policy.value": "reject", "tag": "p", "name": "b", "twice": "b", "wanted": "pass", "called": "it is called 7",
        "answer.question": "one.test. TXT",
    }  # fmt: skip
    expression = place.removeprefix("f'").removesuffix("'").strip("{}")
    if "because" in expression:
        return ": expired" if "': '" in expression else "expired"
    return known.get(expression, "7")


def _all() -> set[str]:
    found = {sample for file in _sources() for node in _nodes(file) for sample in _samples(node)}
    return {each for each in found if each} - _NOT_OF_CHECKS


def test_many_reasons_are_found() -> None:
    assert len(_all()) > 80


@pytest.mark.parametrize("lang", [each for each in languages() if each != ENGLISH])
def test_each_reason_is_told_in_each_language(lang: str) -> None:
    assert [each for each in sorted(_all()) if reason_in(each, lang) == each] == []


@pytest.mark.parametrize(
    ("english", "japanese"),
    [
        ("nothing aligned with one.test, p=reject of one.test", "one.testと一致するものがなく、one.testのポリシーはp=rejectです"),
        ("ip4:192.0.2.1 of one.test", "one.testのip4:192.0.2.1"),
        ("-all of two.test (by redirect=two.test of one.test)", "two.testの-all（redirect=two.test of one.testによる）"),
        ("message signature 2: the body is not what was signed", "メッセージの署名 2: 本文が署名されたものと違います"),
        ("no key record: p= is not base64", "鍵のレコードではありません: p=がbase64ではありません"),
        ("one.test. TXT: SERVFAIL", "one.test. TXTの答えが得られません: SERVFAIL"),
        ("the record of one.test: mechanism 'ip5:1': unknown", "one.testのレコードに誤りがあります: 機構'ip5:1'を知りません"),
        ("dmarc=fail one.test: no policy published", "dmarc=fail one.test: ポリシーは公開されていません"),
        ("words by somebody else", "words by somebody else"),
        ("", ""),
    ],
)
def test_a_reason_in_japanese(english: str, japanese: str) -> None:
    assert reason_in(english, "ja") == japanese
    assert reason_in(english, "en") == english


def test_a_long_one_takes_no_long_time() -> None:
    long = "x of " * 400 + "y z"
    assert reason_in(long, "ja") == long

"""Dataclasses from TOML tables."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pytest

from ekiden.base.endpoint import Endpoint, parse_endpoint
from ekiden.base.settings import FromEnvironment, Problem, Setting, convert, entries, nearest, to_table, toml_text, toml_value
from ekiden.base.tomllines import Place
from ekiden.base.units import Bytes, BytesPerSecond, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """An inner table."""

    wait: Annotated[Seconds, Setting("How long.", low=1, high=3600)] = 60
    waits: Annotated[tuple[Seconds, ...], Setting("Several.", low=1)] = (60, 120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A tree of settings."""

    name: Annotated[str, Setting("Who.")]
    size: Annotated[Bytes, Setting("How much.", high=1_000_000)] = 1024
    rate: Annotated[BytesPerSecond, Setting("How fast.")] = 500
    count: Annotated[int, Setting("How many.", low=2)] = 5
    really: Annotated[bool, Setting("Whether.")] = False
    mode: Annotated[str, Setting("Which.", choices=("fast", "safe"))] = "safe"
    at: Annotated[Endpoint | None, Setting("Where.", parse=parse_endpoint, expects="endpoint")] = None
    doors: Annotated[tuple[Endpoint, ...], Setting("Where else.", parse=parse_endpoint, expects="endpoint")] = ()
    inner: Inner = field(default_factory=Inner)


def read(text: str) -> tuple[Tree | None, list[Problem]]:
    return convert(Tree, tomllib.loads(text))


def test_a_full_document_becomes_a_tree() -> None:
    tree, problems = read(
        'name = "x"\nsize = "2KiB"\nrate = "1kB/s"\ncount = 7\nreally = true\nmode = "fast"\nat = "[::1]:25"\n'
        'doors = ["127.0.0.1:1", "127.0.0.1:2"]\n[inner]\nwait = "5m"\nwaits = [30, "1m"]\n'
    )
    assert not problems
    assert tree == Tree(
        name="x", size=2048, rate=1000, count=7, really=True, mode="fast", at=Endpoint("::1", 25),
        doors=(Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2)), inner=Inner(wait=300, waits=(30, 60)),
    )


@pytest.mark.parametrize(("line", "place", "reason"), [
    ("nam = 1", ("nam",), "unknown-key-near"),
    ("zzzzzz = 1", ("zzzzzz",), "unknown-key"),
    ("size = true", ("size",), "wrong"),
    ("size = 1.5", ("size",), "wrong"),
    ('size = "much"', ("size",), "wrong"),
    ("size = 1000001", ("size",), "range"),
    ("size = -1", ("size",), "range"),
    ('count = "5"', ("count",), "wrong"),
    ("count = 1", ("count",), "range-low"),
    ("really = 1", ("really",), "wrong"),
    ('really = "true"', ("really",), "wrong"),
    ('mode = "fasd"', ("mode",), "choice-near"),
    ('mode = "xyzzy"', ("mode",), "choice"),
    ("mode = 3", ("mode",), "wrong"),
    ('at = "::1:25"', ("at",), "wrong-because"),
    ('at = "here"', ("at",), "wrong-because"),
    ('doors = "127.0.0.1:25"', ("doors",), "not-a-list"),
    ('doors = ["127.0.0.1:25", 3]', ("doors", 1), "wrong"),
    ("inner = 3", ("inner",), "not-a-table"),
    ("[inner]\nwait = 0", ("inner", "wait"), "range"),
    ('[inner]\nwaits = ["1m", 0]', ("inner", "waits", 1), "range-low"),
])
def test_what_is_wrong_is_told_with_its_place(line: str, place: tuple[str | int, ...], reason: str) -> None:
    tree, problems = read('name = "x"\n' + line)
    assert tree is None
    assert [(problem.place, problem.reason) for problem in problems] == [(place, reason)]


def test_all_problems_are_told_at_once() -> None:
    _, problems = read("nam = 1\nsize = true\n[inner]\nwait = 0\n")
    assert {problem.place for problem in problems} == {("nam",), ("size",), ("inner", "wait"), ("name",)}


@pytest.mark.parametrize(("given", "field_name", "value"), [
    ("true", "really", True), ("7", "count", 7), ("2KiB", "size", 2048),
    ("127.0.0.1:1, 127.0.0.1:2", "doors", (Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2))), ("", "doors", ()),
])
def test_the_environment_gives_text_for_every_type(given: str, field_name: str, value: object) -> None:
    tree, problems = convert(Tree, {"name": "x", field_name: FromEnvironment(given)})
    assert not problems
    assert getattr(tree, field_name) == value


@pytest.mark.parametrize(("field_name", "given"), [("really", "yes"), ("count", "seven"), ("count", "٣"), ("count", "-1")])
def test_wrong_text_of_the_environment_is_a_problem(field_name: str, given: str) -> None:
    assert convert(Tree, {"name": "x", field_name: FromEnvironment(given)})[1]


def test_what_is_printed_is_read_as_the_same_tree() -> None:
    tree = Tree(name='a "quoted" \\ name\n', at=Endpoint("::1", 25), doors=(Endpoint("127.0.0.1", 1),), inner=Inner(wait=90))
    assert read(toml_text(tree)) == (tree, [])


def test_a_table_for_programs_holds_plain_values() -> None:
    table = to_table(Tree(name="x"))
    assert table["size"] == "1KiB"
    assert table["at"] is None
    assert table["inner"] == {"wait": "1m", "waits": ["1m", "2m"]}


def test_entries_tell_kind_and_default() -> None:
    told = {entry.place: (entry.kind, entry.default) for entry in entries(Tree)}
    assert told["name",] == ("text", "")
    assert told["size",] == ("size", '"1KiB"')
    assert told["doors",] == ("list of endpoint", "[]")
    assert told["at",] == ("endpoint", "")
    assert told["mode",] == ("choice", '"safe"')
    assert told["inner",] == ("table", "")
    assert told["inner", "waits"] == ("list of duration", '["1m", "2m"]')


def test_the_nearest_word_ignores_case() -> None:
    assert nearest("RCTP", ["MAIL", "RCPT", "DATA"]) == ["RCPT"]
    assert nearest("rcpt", ["RCPT"]) == ["RCPT"]
    assert nearest("zzz", ["RCPT"]) == []


def test_toml_has_no_word_for_nothing() -> None:
    assert toml_value(str, None) == ""


@dataclass(frozen=True)
class Many:
    """Somebody has several of them."""

    zone: Annotated[str, Setting("Which.")]
    points: Annotated[int, Setting("How many.", low=-5, high=9)] = 3


@dataclass(frozen=True)
class Whole:
    """What has tables without number."""

    many: Annotated[tuple[Many, ...], Setting("Several.")] = ()
    worth: Annotated[Mapping[str, int], Setting("By name.", high=9, choices=("spf-fail", "dkim-fail"))] = field(default_factory=dict)


def _whole(source: str) -> tuple[Whole | None, list[tuple[Place, str]]]:
    tree, problems = convert(Whole, tomllib.loads(source))
    return tree, [(problem.place, problem.reason) for problem in problems]


def test_as_many_tables_as_somebody_writes() -> None:
    tree, problems = _whole("[[many]]\nzone = 'a'\n[[many]]\nzone = 'b'\npoints = -5\n")
    assert tree == Whole((Many("a"), Many("b", -5)))
    assert problems == []
    assert _whole(toml_text(tree))[0] == tree
    assert to_table(tree)["many"] == [{"zone": "a", "points": 3}, {"zone": "b", "points": -5}]


def test_each_problem_of_each_table_has_its_place() -> None:
    assert _whole("[[many]]\npoint = 1\n[[many]]\nzone = 'b'\npoints = -6\n")[1] == [
        (("many", 0, "point"), "unknown-key-near"), (("many", 0, "zone"), "missing"), (("many", 1, "points"), "range"),
    ]  # fmt: skip
    assert _whole("many = 1\n")[1] == [(("many",), "not-tables")]
    assert _whole("many = [1]\n")[1] == [(("many", 0), "not-a-table")]


def test_numbers_by_name_know_their_names() -> None:
    tree, _ = _whole("[worth]\nspf-fail = 4\n")
    assert tree == Whole(worth={"spf-fail": 4})
    assert _whole(toml_text(tree))[0] == tree
    assert _whole("[worth]\nspf-fial = 4\nzzz = 1\ndkim-fail = 10\n")[1] == [
        (("worth", "spf-fial"), "unknown-key-near"), (("worth", "zzz"), "unknown-key"), (("worth", "dkim-fail"), "range"),
    ]  # fmt: skip
    assert _whole("worth = 3\n")[1] == [(("worth",), "not-a-table")]
    assert convert(Whole, {"worth": FromEnvironment("spf-fail=4, dkim-fail=0")})[0] == Whole(worth={"spf-fail": 4, "dkim-fail": 0})
    assert convert(Whole, {"worth": FromEnvironment("spf-fail=x")})[1][0].place == ("worth", "spf-fail")


def test_entries_tell_what_stands_in_several_tables() -> None:
    told = {entry.place: (entry.kind, entry.repeated, entry.required) for entry in entries(Whole)}
    assert told["many",] == ("tables", True, False)
    assert told["many", "zone"] == ("text", True, True)
    assert told["worth",] == ("numbers by name", False, False)

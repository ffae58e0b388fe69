"""Settings: frozen dataclasses whose fields say what they mean, filled from TOML tables.

A field is annotated with its type and a Setting: `size: Annotated[Bytes, Setting("…", low=1)] = Bytes(1024)`. Types: bool, int,
Bytes, Seconds, BytesPerSecond, str, anything that Setting.parse makes of a text, `X | None`, `tuple[X, ...]`, `Mapping[str, int]` whose
keys are Setting.choices, a further dataclass for a table, and `tuple[Dataclass, ...]` for as many tables as somebody writes. All problems
of a document are collected; each knows its place, so that line and key can be named.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ekiden.base.errors import BadValue
from ekiden.base.tomllines import Place
from ekiden.base.units import Unit, duration_text, parse_duration, parse_rate, parse_size, rate_text, size_text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field is for. doc: one or two sentences. low, high: the range of a number. choices: the only texts allowed.

    parse: makes a value from text, raising BadValue; expects: the key "config.expects-…" that describes such a text.
    """

    doc: str
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    parse: Callable[[str], object] | None = None
    expects: str = "text"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. reason: the key "config.…" of the sentence that says so, to be filled with fields."""

    place: Place
    reason: str
    fields: Mapping[str, str] = field(default_factory=dict)


class FromEnvironment(str):
    """A value that was given as text in an environment variable: lists are separated by commas."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting as a reference page or `config show` prints it. default: in TOML, or "" where a value is required or None.

    kind: "table" and "tables" for what holds others. repeated: it stands in each of several tables. required: it has no default.
    """

    place: tuple[str, ...]
    setting: Setting
    kind: str
    default: str
    repeated: bool = False
    required: bool = False


class _Wrong(Exception):
    def __init__(self, reason: str, **fields: str) -> None:
        self.reason, self.fields = reason, fields
        self.inside: Place = ()  # which element of a list


_FORMS: dict[Unit, tuple[Callable[[str], int], Callable[[int], str]]] = {
    Unit.SIZE: (parse_size, size_text),
    Unit.DURATION: (parse_duration, duration_text),
    Unit.RATE: (parse_rate, rate_text),
}


def convert(kind: type[T], table: Mapping[str, object], place: Place = ()) -> tuple[T | None, list[Problem]]:
    """The dataclass from a table as tomllib reads it, or None and every problem that was found."""
    problems: list[Problem] = []
    values: dict[str, object] = {}
    known = dict(fields_of(kind))
    for key, raw in table.items():
        here = (*place, key)
        if key not in known:
            problems.append(_unknown_key(here, key, list(known)))
            continue
        annotation, setting = known[key]
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            if isinstance(raw, Mapping):
                value, inner = convert(annotation, raw, here)
                problems += inner
                values[key] = value
            else:
                problems.append(Problem(here, "not-a-table"))
            continue
        if (table_kind := _repeated(annotation, setting)) is not None:
            values[key], inner = _tables(table_kind, raw, here)
            problems += inner
            continue
        if get_origin(annotation) is Mapping:
            values[key], inner = _numbers(setting, raw, here)
            problems += inner
            continue
        try:
            values[key] = _value(annotation, setting, raw)
        except _Wrong as wrong:
            problems.append(Problem(here + wrong.inside, wrong.reason, wrong.fields))
    for missing in dataclasses.fields(cast(Any, kind)):  # mypy cannot know that T is a dataclass
        if missing.name not in table and not _has_default(missing):
            problems.append(Problem((*place, missing.name), "missing"))
    return (None, problems) if problems else (kind(**values), problems)


def _tables(kind: type, raw: object, place: Place) -> tuple[tuple[object, ...], list[Problem]]:
    if not isinstance(raw, list):
        return (), [Problem(place, "not-tables")]
    found: list[object] = []
    problems: list[Problem] = []
    for at, table in enumerate(raw):
        if not isinstance(table, Mapping):
            problems.append(Problem((*place, at), "not-a-table"))
            continue
        value, inner = convert(kind, table, (*place, at))
        found.append(value)
        problems += inner
    return tuple(found), problems


def _numbers(setting: Setting, raw: object, place: Place) -> tuple[Mapping[str, int], list[Problem]]:
    """Numbers by name, each name one of the choices; in the environment "name=1,other=2"."""
    if isinstance(raw, FromEnvironment):
        pairs = [part.partition("=") for part in raw.split(",") if part.strip(" ")]
        raw = {name.strip(" "): FromEnvironment(number.strip(" ")) for name, _, number in pairs}
    if not isinstance(raw, Mapping):
        return {}, [Problem(place, "not-a-table")]
    found: dict[str, int] = {}
    problems: list[Problem] = []
    for name, value in raw.items():
        if name not in setting.choices:
            problems.append(_unknown_key((*place, name), name, list(setting.choices)))
            continue
        try:
            found[name] = _number(None, setting, value)
        except _Wrong as wrong:
            problems.append(Problem((*place, name), wrong.reason, wrong.fields))
    return found, problems


def fields_of(kind: type) -> Iterator[tuple[str, tuple[Any, Setting]]]:
    """Name, type and Setting of each field; the Setting of a table holds its docstring's first line."""
    hints = get_type_hints(kind, include_extras=True)
    for each in dataclasses.fields(kind):
        hint = hints[each.name]
        if get_origin(hint) is Annotated:
            bare, *marks = get_args(hint)
            units = [mark for mark in marks if isinstance(mark, Unit)]
            setting = next(mark for mark in marks if isinstance(mark, Setting))
            yield each.name, (Annotated[bare, units[0]] if units else bare, setting)
        else:
            doc = (getattr(hint, "__doc__", None) or "").partition("\n")[0]
            yield each.name, (hint, Setting(doc))


def entries(kind: type, place: tuple[str, ...] = (), *, repeated: bool = False) -> Iterator[Entry]:
    """Every setting of a tree, tables after the plain values of their parent; a table's own entry has kind "table" or "tables"."""
    tables: list[tuple[str, type, Setting, bool]] = []
    defaults = {each.name: _default(each) for each in dataclasses.fields(kind)}
    for name, (annotation, setting) in fields_of(kind):
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            tables.append((name, annotation, setting, repeated))
            continue
        if (table_kind := _repeated(annotation, setting)) is not None:
            tables.append((name, table_kind, setting, True))
            continue
        default = defaults[name]
        required = default is dataclasses.MISSING
        shown = "" if required else toml_value(annotation, default)
        yield Entry((*place, name), setting, _kind_name(annotation, setting), shown, repeated, required)
    for name, table, setting, many in tables:
        yield Entry((*place, name), setting, "tables" if many else "table", "", many)
        yield from entries(table, (*place, name), repeated=many)


def to_table(tree: object) -> dict[str, object]:
    """A tree as nested dictionaries of plain JSON values; sizes and durations as the text that a person would write."""
    result: dict[str, object] = {}
    for name, (annotation, setting) in fields_of(type(tree)):
        value = getattr(tree, name)
        if _repeated(annotation, setting) is not None:
            result[name] = [to_table(each) for each in value]
        else:
            result[name] = to_table(value) if dataclasses.is_dataclass(annotation) else _plain(annotation, value)
    return result


def toml_text(tree: object, place: tuple[str, ...] = (), *, repeated: bool = False) -> str:
    """A tree as a TOML document that convert() would read as the same tree; what is None is left out. repeated: one table of several."""
    lines: list[str] = []
    tables: list[str] = []
    for name, (annotation, setting) in fields_of(type(tree)):
        value = getattr(tree, name)
        if dataclasses.is_dataclass(annotation):
            tables.append(toml_text(value, (*place, name)))
        elif _repeated(annotation, setting) is not None:
            tables += [toml_text(each, (*place, name), repeated=True) for each in value]
        elif value is not None:
            lines.append(f"{name} = {toml_value(annotation, value)}")
    title = ".".join(place)
    head = (f"[[{title}]]\n" if repeated else f"[{title}]\n") if place and (lines or repeated) else ""
    own = [head + "\n".join(lines) + "\n"] if lines else []
    return "\n".join([*own, *(table for table in tables if table)])


def toml_value(annotation: object, value: object) -> str:
    """One value in TOML; None is "" because TOML has no word for it."""
    return "" if value is None else _toml(_plain(annotation, value))


def nearest(word: str, words: Sequence[str], count: int = 1) -> list[str]:
    """The most similar of the valid words, best first; none where nothing is near."""
    folded = {each.lower(): each for each in reversed(words)}
    return [folded[each] for each in difflib.get_close_matches(word.lower(), folded, n=count, cutoff=0.6)]


def _unknown_key(place: Place, key: str, known: list[str]) -> Problem:
    near = nearest(key, known)
    if near:
        return Problem(place, "unknown-key-near", {"nearest": near[0]})
    return Problem(place, "unknown-key", {"valid": ", ".join(sorted(known))})


def _has_default(each: dataclasses.Field[Any]) -> bool:
    return each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING


def _default(each: dataclasses.Field[Any]) -> object:
    return each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default


def _bare(annotation: object) -> object:
    """X of `X | None`, else what was given."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(arm for arm in get_args(annotation) if arm is not type(None))
    return annotation


def _repeated(annotation: object, setting: Setting) -> type | None:
    """The dataclass of `tuple[Dataclass, ...]`, if it is filled from a table and not from a text; else None."""
    inner = get_args(annotation)[0] if get_origin(annotation) is tuple and setting.parse is None else None
    return inner if isinstance(inner, type) and dataclasses.is_dataclass(inner) else None


def _unit(annotation: object) -> Unit | None:
    marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, Unit)), None)


def _value(annotation: object, setting: Setting, raw: object) -> object:
    annotation = _bare(annotation)
    if get_origin(annotation) is tuple:
        items = [part.strip(" ") for part in raw.split(",") if part.strip(" ")] if isinstance(raw, FromEnvironment) else raw
        if not isinstance(items, list):
            raise _Wrong("not-a-list", found=_shown(raw))
        return tuple(_item(get_args(annotation)[0], setting, _as(raw, item), at) for at, item in enumerate(items))
    if annotation is bool:
        return _boolean(raw)
    unit = _unit(annotation)
    if annotation is int or unit is not None:
        return _number(unit, setting, raw)
    return _text(setting, raw)


def _item(annotation: object, setting: Setting, raw: object, at: int) -> object:
    try:
        return _value(annotation, setting, raw)
    except _Wrong as wrong:
        wrong.inside = (at, *wrong.inside)
        raise


def _as(list_raw: object, item: object) -> object:
    return FromEnvironment(item) if isinstance(list_raw, FromEnvironment) else item


def _boolean(raw: object) -> bool:
    if isinstance(raw, FromEnvironment) and raw in ("true", "false"):
        return raw == "true"
    if not isinstance(raw, bool):
        raise _Wrong("wrong", expected="boolean", found=_shown(raw))
    return raw


def _number(unit: Unit | None, setting: Setting, raw: object) -> int:
    """A number by itself, or a text with its unit; a bare integer in TOML counts octets or seconds."""
    expected = "count" if unit is None else unit.value
    parse, text = (_count, str) if unit is None else _FORMS[unit]
    if isinstance(raw, bool) or not isinstance(raw, (int, str)) or (unit is None and type(raw) is str):
        raise _Wrong("wrong", expected=expected, found=_shown(raw))
    try:
        number = raw if isinstance(raw, int) else parse(raw)
    except BadValue:
        raise _Wrong("wrong", expected=expected, found=_shown(raw)) from None
    if number < (setting.low or 0) or (setting.high is not None and number > setting.high):
        high = "" if setting.high is None else text(setting.high)
        raise _Wrong("range" if high else "range-low", low=text(setting.low or 0), high=high, found=_shown(raw))
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise BadValue("number", text)
    return int(text)


def _text(setting: Setting, raw: object) -> object:
    if not isinstance(raw, str):
        raise _Wrong("wrong", expected=setting.expects, found=_shown(raw))
    if setting.choices and raw not in setting.choices:
        near = nearest(raw, setting.choices)
        choices = ", ".join(setting.choices)
        raise _Wrong("choice-near" if near else "choice", choices=choices, found=_shown(raw), nearest="".join(near))
    if setting.parse is None:
        return str(raw)
    try:
        return setting.parse(str(raw))  # nobody further on is to see where it came from
    except BadValue as bad:
        reason = "wrong-because" if bad.because else "wrong"
        raise _Wrong(reason, expected=setting.expects, found=_shown(raw), because=bad.because) from None


def _shown(raw: object) -> str:
    shown = _toml(raw) if isinstance(raw, (bool, int, str)) else type(raw).__name__
    return shown if len(shown) <= 60 else shown[:57] + "…"


def _plain(annotation: object, value: object) -> object:
    annotation = _bare(annotation)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if get_origin(annotation) is tuple and isinstance(value, tuple):
        return [_plain(get_args(annotation)[0], item) for item in value]
    if isinstance(value, int):
        unit = _unit(annotation)
        return value if unit is None else _FORMS[unit][1](value)
    return str(value)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    return str(value)


def _kind_name(annotation: object, setting: Setting) -> str:
    annotation = _bare(annotation)
    if get_origin(annotation) is tuple:
        return f"list of {_kind_name(get_args(annotation)[0], setting)}"
    if get_origin(annotation) is Mapping:
        return "numbers by name"
    if annotation is bool:
        return "boolean"
    if annotation is int:
        return "count"
    unit = _unit(annotation)
    if unit is not None:
        return unit.value
    return "choice" if setting.choices else setting.expects

"""Where keys stand in a TOML document."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.tomllines import Place, find_lines

DOCUMENT = '''# a comment with [brackets] = and "quotes"
title = "a # is no comment" # this is one

[owner]
"quoted key" = 1
dotted.inner.key = true

[[host]]
name = """
several
lines with "quotes" and key = 3
"""
ports = [ 1,
  2, # two
  [3,
   4]
]

[[host]]
inline = { a = 1, b = [ "x", "y" ], c = {} }

[host.detail]
when = 1979-05-27T07:32:00Z
last = \'\'\'raw \\ text\'\'\'
'''


@pytest.mark.parametrize(("place", "line"), [
    (("title",), 2), (("owner",), 4), (("owner", "quoted key"), 5), (("owner", "dotted", "inner", "key"), 6),
    (("owner", "dotted"), 6),
    (("host", 0), 8), (("host", 0, "name"), 9), (("host", 0, "ports"), 13), (("host", 0, "ports", 0), 13),
    (("host", 0, "ports", 1), 14),
    (("host", 0, "ports", 2), 15), (("host", 0, "ports", 2, 1), 16), (("host", 1), 19), (("host", 1, "inline", "b", 1), 20),
    (("host", 1, "detail", "when"), 23), (("host", 1, "detail", "last"), 24),
])
def test_each_key_is_found_on_its_line(place: Place, line: int) -> None:
    tomllib.loads(DOCUMENT)
    assert find_lines(DOCUMENT)[place] == line


@pytest.mark.parametrize("text", [
    "", "\n\n", "# only a comment", "a = 1", "a = 1\r\nb = 2\r\n", 'a = ""', "a = ''''it''''", 'a = """"""',
])
def test_small_documents_are_scanned_to_their_end(text: str) -> None:
    assert len(find_lines(text)) == len(tomllib.loads(text))


def _places(value: object, place: Place = ()) -> Iterator[Place]:
    if place:
        yield place
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*place, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _places(inner, (*place, position))


_keys = st.sampled_from(["a", "b-c", '"d e"', "'f'"])
_scalars = st.sampled_from(["1", "0x1f", "true", '"x, ]} #"', "'y'", "1.5e3", "inf", "07:32:00", '"""\n"q"\n"""'])
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3).map(lambda items: "[" + ",\n".join(items) + "]"), max_leaves=6
)


@given(st.dictionaries(_keys, _values, max_size=4), st.dictionaries(_keys, _values, max_size=4))
def test_every_value_that_tomllib_sees_has_a_line(top: dict[str, str], table: dict[str, str]) -> None:
    text = "".join(f"{key} = {value} # c\n" for key, value in top.items())
    text += "[table]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
    lines = find_lines(text)
    assert set(_places(tomllib.loads(text))) <= set(lines)
    assert all(1 <= line <= text.count("\n") for line in lines.values())

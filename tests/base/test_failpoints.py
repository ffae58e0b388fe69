"""Points at which a process fails when a test wants it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ekiden.base import failpoints
from ekiden.base.errors import BadValue

_SOURCES = Path(failpoints.__file__).parents[1]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("", lambda name, action: None)


def test_only_the_nth_pass_of_the_named_point_acts() -> None:
    acted: list[str] = []
    assert not failpoints.armed
    failpoints.arm("K9:2:sleep:0.5", lambda name, action: acted.append(f"{name} {action}"))
    assert failpoints.armed
    for name in ("K9", "K8", "K9", "K9", "K8"):
        failpoints.hit(name)
        acted.append(name)
    assert acted == ["K9", "K8", "K9 sleep:0.5", "K9", "K9", "K8"]


@pytest.mark.parametrize("text", ["K9", "K9:0:kill", "K9:1:explode", "K20:1:kill", "K9:1:sleep", "K9:1:kill:2"])
def test_what_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        failpoints.arm(text, lambda name, action: None)
    assert not failpoints.armed


def test_every_point_of_the_list_is_somewhere_in_the_program_and_nowhere_else() -> None:
    placed: set[str] = set()
    for file in sorted(_SOURCES.rglob("*.py")):
        text = file.read_text("utf-8")
        found = re.findall(r'(?:failpoints\.hit|self\._pass)\("(K[0-9a-z-]+)"\)', text)
        assert len(found) == text.count("if failpoints.armed"), f"{file.name}: a point costs nothing only behind its guard"
        placed.update(found)
    assert placed == set(failpoints.POINTS)

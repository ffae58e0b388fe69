"""docs/failpoints.md lists exactly the points and the actions that there are."""

from __future__ import annotations

import re

from tests.house.failpoints_page import ACTIONS, actions, page, places
from tests.house.source import PROJECT

from ekiden.base import failpoints


def test_the_page_of_failpoints_is_current() -> None:
    written = (PROJECT / "docs" / "failpoints.md").read_text("utf-8")
    assert written == page(), "run: python -m tests.house.failpoints_page > docs/failpoints.md"


def test_it_lists_exactly_the_points_of_the_code() -> None:
    written = (PROJECT / "docs" / "failpoints.md").read_text("utf-8")
    listed = re.findall(r"^\| (K[0-9a-z-]+) \|", written, re.MULTILINE)
    assert listed == list(failpoints.POINTS)
    assert set(listed) == set(places())


def test_it_explains_every_action() -> None:
    assert actions() == set(ACTIONS)

"""What readers have taught, where there is nobody to ask."""

from __future__ import annotations

import asyncio

from ekiden.policy.learned import NOT_LEARNED


def test_nobody_has_an_opinion_by_default() -> None:
    assert asyncio.run(NOT_LEARNED.likeness()) == ()

"""What policies may ask about origin where nobody is asked."""

from __future__ import annotations

import asyncio

from ekiden.policy.authentication import NOT_ASKED


def test_who_is_not_asked_has_nothing_to_show() -> None:
    async def story() -> None:
        assert not NOT_ASKED.applies
        assert await NOT_ASKED.evidence() == NOT_ASKED.made() == ()
        assert [await NOT_ASKED.spf(), await NOT_ASKED.helo(), await NOT_ASKED.dmarc(), await NOT_ASKED.iprev()] == [None] * 4

    asyncio.run(story())

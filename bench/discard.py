"""A policy for the works of bench/compare.py that throw mail away: every recipient's copy is discarded."""

from __future__ import annotations

from ekiden.policy import Discard, RecipientContext, recipient


@recipient
async def everything(ctx: RecipientContext) -> Discard:
    """Accept and keep nothing."""
    return Discard("measured")

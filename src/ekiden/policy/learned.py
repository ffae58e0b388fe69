"""What readers have taught about mail like this one: asked of the world by whoever judges, at most once a message.

An answer is an opinion of one account, not a fact: who has taught too little has none.
Source: docs/spam.md, "What readers teach".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ekiden.base.ids import AccountId


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much a message is like what readers of one account threw away.

    probability: 0.0 (wanted) to 1.0 (unwanted); near 0.5 means nothing. words: the strongest, printable, at most 5.
    """

    account: AccountId
    probability: float
    words: tuple[str, ...] = ()


class Learned(Protocol):
    """Answers about one message."""

    async def likeness(self) -> tuple[Likeness, ...]:
        """One for each local account among the recipients whose readers have taught enough, else (). Cheap while nobody has."""
        ...


class _NotLearned:
    async def likeness(self) -> tuple[Likeness, ...]:
        return ()


NOT_LEARNED: Learned = _NotLearned()
"""Where there is nobody to ask: submission, tests."""

"""Asks the policies of one stage in their order.

The first Reject or Defer ends the stage; the first Quarantine and the first Discard stay; Tags and Redirects add up. A policy
that raises or overruns its time counts as a Defer with 451 4.3.0: broken judgement delays mail, it never loses or admits it.
Source: house.md §9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from ekiden.policy.stage import Context, Policy, Stage
from ekiden.policy.verdict import Defer, Discard, Quarantine, Redirect, Reject, Tag, Verdict
from ekiden.smtp.replies import LOCAL_ERROR


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one policy said."""

    policy: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a whole stage said. refusal ends the command or the message; opinions are all that were voiced, in order."""

    refusal: Reject | Defer | None = None
    quarantine: Quarantine | None = None
    tags: tuple[Tag, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    discard: Discard | None = None


NO_OPINION = Judgement()
_OF_MAIL = frozenset({Stage.SENDER, Stage.RECIPIENT, Stage.MESSAGE})


class Guard(Protocol):
    """Knows what has ended processes that asked policies about it. Around the question, so that a death can be laid to it."""

    def __call__(self, stage: Stage, context: Context) -> AbstractAsyncContextManager[Defer | None]:
        """Whoever is inside asks the policies now, unless there is a Defer instead."""
        ...


class Chain:
    """All policies of one door, sorted into their stages.

    limit: makes the context in which a policy is asked, which raises TimeoutError after so many seconds (asyncio.timeout).
    guard: is around the questions of a stage at which an operator's own policies are asked; ours are known to end.
    """

    def __init__(
        self, policies: Sequence[Policy], limit: Callable[[float], AbstractAsyncContextManager[object]], guard: Guard | None = None
    ) -> None:
        self._limit = limit
        self._guard = guard
        self._by_stage = {stage: tuple(p for p in policies if p.stage is stage) for stage in Stage}
        self._guarded = frozenset(p.stage for p in policies if not p.name.startswith("builtin:")) & _OF_MAIL

    def has(self, stage: Stage) -> bool:
        """True if anybody has an opinion at this stage; spares the caller making a context."""
        return bool(self._by_stage[stage])

    async def ask(self, stage: Stage, context: Context) -> Judgement:
        """Ask in order until one refuses. Never raises for what a policy does."""
        if self._guard is None or stage not in self._guarded:
            return await self._ask_all(stage, context)
        async with self._guard(stage, context) as instead:
            return await self._ask_all(stage, context) if instead is None else Judgement(instead)

    async def _ask_all(self, stage: Stage, context: Context) -> Judgement:
        quarantine: Quarantine | None = None
        tags: list[Tag] = []
        redirects: list[Redirect] = []
        opinions: list[Opinion] = []
        discard: Discard | None = None
        for policy in self._by_stage[stage]:
            verdict = await self._ask_one(policy, context)
            if verdict is None:
                continue
            opinions.append(Opinion(policy.name, verdict))
            if isinstance(verdict, Reject | Defer):
                return Judgement(verdict, quarantine, tuple(tags), tuple(redirects), tuple(opinions), discard)
            if isinstance(verdict, Quarantine):
                quarantine = quarantine or verdict
            elif isinstance(verdict, Discard):
                discard = discard or verdict
            elif isinstance(verdict, Tag):
                tags.append(verdict)
            else:
                redirects.append(verdict)
        if not opinions:
            return NO_OPINION
        return Judgement(None, quarantine, tuple(tags), tuple(redirects), tuple(opinions), discard)

    async def _ask_one(self, policy: Policy, context: Context) -> Verdict | None:
        try:
            if not policy.timeout_s:
                return await policy.judge(context)
            async with self._limit(policy.timeout_s):
                return await policy.judge(context)
        except Exception as error:  # the border that house.md §9 promises: whatever a policy raises becomes a 451 or no opinion
            context.log("policy-broken", policy=policy.name, stage=policy.stage.value, error=f"{type(error).__name__}: {error}")
            if policy.when_broken is None:
                return None
            return policy.when_broken(LOCAL_ERROR, f"policy {policy.name} is broken: {type(error).__name__}")

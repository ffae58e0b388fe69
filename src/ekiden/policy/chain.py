"""Asks the policies of one stage in their order.

The first Reject or Defer ends the stage; of the Quarantines that concern a mailbox, and of the Discards, the first stays; Tags and
Redirects add up. A policy may say several things at once (a tuple). One that raises or overruns its time counts as a Defer with 451
4.3.0: broken judgement delays mail, it never loses or admits it.
Source: house.md §9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, assert_never

from ekiden.base.ids import AccountId
from ekiden.policy.stage import Context, Policy, Stage
from ekiden.policy.verdict import Defer, Discard, Pass, Quarantine, Redirect, Reject, Said, Tag, Verdict
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
    quarantines: tuple[Quarantine, ...] = ()
    tags: tuple[Tag, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    discard: Discard | None = None

    @property
    def quarantine(self) -> Quarantine | None:
        """The first, if there is any."""
        return self.quarantines[0] if self.quarantines else None


def folder_of(quarantines: Sequence[Quarantine], account: AccountId) -> str:
    """Where the copy of an account is filed, by the first Quarantine that concerns it; "" for wherever it would go without."""
    for each in quarantines:
        if each.only is None or account in each.only:
            return each.mailbox
    return ""


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
        opinions: list[Opinion] = []
        for policy in self._by_stage[stage]:
            said = await self._ask_one(policy, context)
            if said is None:
                continue
            for verdict in said if isinstance(said, tuple) else (said,):
                opinions.append(Opinion(policy.name, verdict))
                if isinstance(verdict, Reject | Defer):
                    return _judgement(opinions, verdict)
        return _judgement(opinions) if opinions else NO_OPINION

    async def _ask_one(self, policy: Policy, context: Context) -> Said:
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


def _judgement(opinions: Sequence[Opinion], refusal: Reject | Defer | None = None) -> Judgement:
    quarantines: list[Quarantine] = []
    tags: list[Tag] = []
    redirects: list[Redirect] = []
    discard: Discard | None = None
    for opinion in opinions:
        match opinion.verdict:
            case Quarantine() as quarantine:
                quarantines.append(quarantine)
            case Tag() as tag:
                tags.append(tag)
            case Discard() as each:
                discard = discard or each
            case Redirect() as redirect:
                redirects.append(redirect)
            case Reject() | Defer() | Pass():
                pass
            case _ as never:
                assert_never(never)
    return Judgement(refusal, tuple(quarantines), tuple(tags), tuple(redirects), tuple(opinions), discard)

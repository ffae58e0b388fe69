"""When a message that could not be handed over is tried again, when its sender hears of the delay, when it is given up.

Pure arithmetic: no clock, no chance of its own. The first try is at once.
Source: RFC 5321 §4.5.4.1; the waits are those of the operator's queue settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ekiden.base.clock import Millis


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits between tries, in seconds; the last one repeats. jitter: share by which a wait is made longer or shorter.

    lifetime_s: how long a message is tried; report_lifetime_s: the same for one from the null sender. delay_notice_s: when the
    sender hears that it waits, 0 for never.
    """

    waits_s: tuple[int, ...] = (300, 600, 1200, 2400, 3600, 7200, 10_800, 14_400)
    jitter: float = 0.1
    lifetime_s: int = 432_000
    report_lifetime_s: int = 172_800
    delay_notice_s: int = 14_400


def gives_up_at(schedule: Schedule, queued_at: Millis, *, is_report: bool) -> Millis:
    """The end of a message's lifetime."""
    return Millis(queued_at + 1000 * (schedule.report_lifetime_s if is_report else schedule.lifetime_s))


def longest_wait_ms(schedule: Schedule) -> int:
    """No copy is due later than so long from now, unless the wall clock has been set back."""
    return round(1000 * max(schedule.waits_s) * (1 + schedule.jitter))


def next_try(
    schedule: Schedule, *, tries: int, queued_at: Millis, now: Millis, is_report: bool, chance: Callable[[], float]
) -> Millis | None:
    """When to try again after the tries so far (at least one) have failed; None where the message is to be given up.

    chance: a number from 0 to below 1, each time another one. The last try is at the end of the lifetime. A message is never
    given up after fewer tries than its lifetime has room for among the first waits, so that neither a clock that jumps nor a
    server that was switched off for a week sends anything back untried.
    """
    end = gives_up_at(schedule, queued_at, is_report=is_report)
    if now >= end and tries >= _least_tries(schedule, (end - queued_at) // 1000):
        return None
    wait_s = schedule.waits_s[min(tries, len(schedule.waits_s)) - 1]
    due = now + round(1000 * wait_s * (1 + schedule.jitter * (2 * chance() - 1)))
    return Millis(min(due, end) if now < end else due)


def wants_delay_notice(schedule: Schedule, *, queued_at: Millis, now: Millis, reported_at: Millis | None) -> bool:
    """Whether the sender is to be told now, and has not been told before, that a message waits."""
    if schedule.delay_notice_s == 0 or reported_at is not None:
        return False
    return now - queued_at >= 1000 * schedule.delay_notice_s


def _least_tries(schedule: Schedule, lifetime_s: int) -> int:
    """How many tries fit into a lifetime, counting each of the waits once."""
    passed, tries = 0, 1
    for wait_s in schedule.waits_s:
        passed += round(wait_s * (1 + schedule.jitter))
        if passed > lifetime_s:
            break
        tries += 1
    return tries

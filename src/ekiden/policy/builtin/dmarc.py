"""dmarc: does what the domain in From wants done with mail that is not from it.

Not exactly one author whom every reader would see: 550 5.6.0. p=reject: 550 5.7.1. p=quarantine: into Junk. A check that nobody
could finish, where it would have decided: 451 4.7.1, neither refused nor let in. Trusted forwarders come through (their ARC seal).
Source: RFC 9989 §5.3, RFC 7489 §6.6, RFC 5322 §3.6.2.
"""

from __future__ import annotations

from ekiden.mailauth.dmarc import Disposition
from ekiden.policy.stage import MessageContext, message
from ekiden.policy.verdict import Defer, Quarantine, Reject, Verdict
from ekiden.smtp.replies import DMARC_FAILED, DMARC_UNKNOWN, MULTIPLE_AUTHORS

TIMEOUT_S = 0.0
"""It waits for the DNS only, and all lookups of one message have their limit together; another one costs 13 µs each time."""


@message
async def the_author_is_whom_it_says(ctx: MessageContext) -> Verdict | None:
    """The disposition of the author's domain."""
    checks = ctx.authentication
    if not checks.applies:
        return None
    author = checks.author
    if author.must_be_refused and author.problem is not None:
        return Reject(MULTIPLE_AUTHORS, because=f"From: {author.problem.value}")
    outcome = await checks.dmarc()
    if outcome is None:
        return None
    because = f"dmarc={outcome.result.value} {outcome.author_domain}: {outcome.because}"
    match outcome.disposition:
        case Disposition.REJECT:
            return Reject(DMARC_FAILED, because)
        case Disposition.DEFER:
            return Defer(DMARC_UNKNOWN, because)
        case Disposition.QUARANTINE:
            return Quarantine(because)
    return None

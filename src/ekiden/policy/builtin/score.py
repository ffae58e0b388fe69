"""score: adds up what is odd about a message and files it into Junk, or refuses it, with its reasons.

From 30 points on a message is marked (X-Ekiden-Score), from 50 it is filed into Junk, from 100 it is refused with 550 5.7.1. Who has
signed in is not judged. What each finding is worth: policy.score.WEIGHTS, docs/spam.md.
Source: RFC 5321 §4.1.1.1 (HELO), RFC 8601 §2.7 (results).
"""

from __future__ import annotations

from ekiden.dns.mx import is_host_name
from ekiden.dns.questions import NoAnswer, ask_addresses
from ekiden.policy.score import Finding, Level, Thresholds, add_up, of_hello, of_origin
from ekiden.policy.stage import MessageContext, message
from ekiden.policy.verdict import Quarantine, Reject, Tag, Verdict
from ekiden.smtp.replies import NOT_ALLOWED

TIMEOUT_S = 25.0
"""A little more than all lookups of one message may take together."""
FIELD = b"X-Ekiden-Score"
_THRESHOLDS = Thresholds()


@message
async def adds_up(ctx: MessageContext) -> Verdict | None:
    """The sum of all findings."""
    checks = ctx.authentication
    if ctx.peer.account is not None or not checks.applies:
        return None
    findings = of_hello(ctx.peer.hello, ctx.peer.ip, checks.ways.by) or await _unknown_hello(ctx)
    score = add_up([*findings, *of_origin(await checks.evidence())])
    match _THRESHOLDS.level(score.points):
        case Level.REFUSE:
            return Reject(NOT_ALLOWED, score.told())
        case Level.JUNK:
            return Quarantine(score.told())
        case Level.TAG:
            return Tag(FIELD, score.field())
    return None


async def _unknown_hello(ctx: MessageContext) -> list[Finding]:
    """A name in HELO that has no address. That nobody could tell is no finding."""
    name = ctx.peer.hello.rstrip(".").lower()
    if not is_host_name(name):
        return []
    try:
        found = await ctx.dns.resolve(ask_addresses(name))
    except NoAnswer:
        return []
    return [] if found else [Finding("helo-unknown", name)]

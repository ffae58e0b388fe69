"""score: adds up what is odd about a message, and marks it, files it into Junk or refuses it, with its reasons.

Findings: HELO, the reverse name, SPF, DKIM, DMARC, ARC, lists in the DNS, and what readers have taught. From 30 points on a message is
marked (X-Ekiden-Score), from 50 it is filed into Junk, from 100 it is refused with 550 5.7.1; points and thresholds are settings. What
readers have taught counts for their own mailbox only, and never refuses without other findings. Who has signed in is not judged.
Source: RFC 5321 §4.1.1.1 (HELO), RFC 8601 §2.7 (results), RFC 5782 (lists); docs/spam.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ekiden.base.ids import AccountId
from ekiden.dns.mx import is_host_name
from ekiden.dns.questions import Finding as Found
from ekiden.dns.questions import Lookup, ask_anyhow
from ekiden.dns.records import A, Aaaa
from ekiden.policy.learned import Likeness
from ekiden.policy.rules import Rules
from ekiden.policy.score import Finding, Level, Score, add_up, comes_from_outside, of_hello, of_likeness, of_origin, printable
from ekiden.policy.stage import MessageContext, message
from ekiden.policy.verdict import Pass, Quarantine, Reject, Said, Tag, Verdict
from ekiden.smtp.replies import NOT_ALLOWED

TIMEOUT_S = 0.0
"""It waits for the DNS and for the store, and each of them has its own limit of time."""
FIELD = b"X-Ekiden-Score"


@message
async def adds_up(ctx: MessageContext) -> Said:
    """The sum of all findings."""
    checks = ctx.authentication
    if ctx.peer.account is not None or not checks.applies:
        return None
    evidence = await checks.evidence()
    outcome = await checks.dmarc()
    outside = comes_from_outside(ctx.peer.ip)
    findings = of_origin(evidence, vouched=outcome is not None and bool(outcome.overrides), outside=outside)
    if outside:
        findings += of_hello(ctx.peer.hello, ctx.peer.ip, ctx.rules.hostname) or await _unknown_hello(ctx)
    for each in await ctx.listings.found():
        findings.append(Finding(each.rule.finding, printable(f"{each.about}: {each.reason}" if each.reason else each.about)))
    likes = await ctx.learned.likeness()
    if not findings and not likes:
        return None
    return decide(add_up(findings, ctx.rules.weights), likes, ctx.accounts, ctx.rules)


def decide(score: Score, likes: Sequence[Likeness], accounts: Sequence[AccountId | None], rules: Rules) -> tuple[Verdict, ...]:
    """What follows. score: without what readers have taught. likes: that. accounts: of all copies, None for one that goes elsewhere."""
    level = rules.thresholds.level(score.points)
    if level is Level.REFUSE:
        return (Reject(NOT_ALLOWED, score.told(), score.reasons),)
    readers = _by_finding(likes, rules.weights)
    scores = {name: add_up([*score.findings, Finding(name, _taught(some))], rules.weights) for name, some in readers.items()}
    levels = {like.account: rules.thresholds.level(scores[name].points) for name, some in readers.items() for like in some}
    if level >= Level.TAG and accounts and all(each is not None and levels.get(each) is Level.REFUSE for each in accounts):
        worst = next(iter(scores.values()))
        return (Reject(NOT_ALLOWED, worst.told(), worst.reasons),)
    if len(scores) == 1 and set(accounts) == levels.keys():  # all readers say the same: it is the score of the message
        (score,) = scores.values()
        level = min(rules.thresholds.level(score.points), Level.JUNK)
        readers = {}
    verdicts: list[Verdict] = []
    if level is Level.JUNK:
        verdicts.append(Quarantine(score.told(), reasons=score.reasons))
    else:
        verdicts += [_of_some(scores[name], some, accounts, rules) for name, some in readers.items()]
    if level >= Level.TAG or any(isinstance(each, Quarantine) for each in verdicts):
        # what is on top is there for all readers, so it tells nothing of what single ones have taught
        verdicts.append(Tag(FIELD, score.field(), score.reasons if level < Level.JUNK else ()))
    elif score.findings:
        verdicts.append(Pass(score.told(), score.reasons))
    return tuple(verdicts)


def _by_finding(likes: Sequence[Likeness], weights: Mapping[str, int]) -> dict[str, list[Likeness]]:
    """Whom the message is to, by how much it is like what they threw away; only where that counts. The most alike last."""
    found: dict[str, list[Likeness]] = {}
    for like in sorted(likes, key=lambda like: like.probability):
        name = of_likeness(like.probability)
        if weights.get(name):
            found.setdefault(name, []).append(like)
    return found


def _of_some(score: Score, some: Sequence[Likeness], accounts: Sequence[AccountId | None], rules: Rules) -> Verdict:
    """What follows for readers whose mailboxes have taught the same."""
    because = f"{score.told()}, for {len(some)} of {len(set(accounts))} mailboxes"
    if rules.thresholds.level(score.points) >= Level.JUNK:
        return Quarantine(because, only=frozenset(like.account for like in some), reasons=score.reasons)
    return Pass(because, score.reasons)


def _taught(some: Sequence[Likeness]) -> str:
    return printable(" ".join(some[0].words)) if len(some) == 1 else f"{len(some)} mailboxes"


async def _unknown_hello(ctx: MessageContext) -> list[Finding]:
    """A name in HELO that has no address. That nobody could tell is no finding."""
    name = ctx.peer.hello.rstrip(".").lower()
    if not is_host_name(name):
        return []
    return [] if await ctx.dns.resolve(_may_exist(name)) else [Finding("helo-unknown", name)]


def _may_exist(name: str) -> Lookup[bool]:
    for kind in (A, Aaaa):
        answer = yield from ask_anyhow(kind, name)
        if answer.finding is not Found.NO_DATA:
            return answer.finding is not Found.NO_NAME
    return False

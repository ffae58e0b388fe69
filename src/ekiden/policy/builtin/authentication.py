"""authentication: says on top of each message from outside who really sent it, for filters and readers behind us.

Fields of that name that come from outside and claim to be ours are taken out before, whatever policies there are.
Source: RFC 8601, RFC 7208 §9.1.
"""

from __future__ import annotations

from ekiden.mailauth.received_spf import received_spf
from ekiden.mailauth.results import authentication_results
from ekiden.policy.stage import MessageContext, message
from ekiden.policy.verdict import Tag, Verdict

TIMEOUT_S = 0.0
"""It waits for the DNS only, and all lookups of one message have their limit together; another one costs 13 µs each time."""


@message
async def results_are_stated(ctx: MessageContext) -> Verdict | None:
    """Authentication-Results: what SPF, DKIM, ARC, DMARC and the reverse name say."""
    checks = ctx.authentication
    if not checks.applies:
        return None
    return Tag(b"Authentication-Results", authentication_results(checks.ways.authserv_id, await checks.evidence()))


@message
async def spf_is_stated(ctx: MessageContext) -> Verdict | None:
    """Received-SPF, where the settings want it."""
    checks = ctx.authentication
    if not checks.ways.received_spf or (outcome := await checks.spf()) is None:
        return None
    peer = ctx.peer
    field = received_spf(outcome, ip=peer.ip, helo=peer.hello, sender=ctx.envelope.sender, receiver=checks.ways.by)
    name, _, value = field.partition(b":")
    return Tag(name, value.strip(b" \r\n"))

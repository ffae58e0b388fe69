"""hello: refuses whoever introduces itself as what it cannot be: as us, or with an address that is not its own, or with no name at all.

Asked at RCPT, so that the log has sender and recipient; mail to postmaster and machines on private addresses come through. Off by
default, for RFC 5321 wants no mail refused because a name does not fit its address: that is not checked here, and is a finding of
builtin:score.
Source: RFC 5321 §4.1.1.1, §4.1.3, RFC 5321 §4.1.4, RFC 5321 §4.5.1 (postmaster).
"""

from __future__ import annotations

from ekiden.policy.score import comes_from_outside, of_hello
from ekiden.policy.stage import RecipientContext, recipient
from ekiden.policy.verdict import Reject, Verdict
from ekiden.smtp.replies import HELLO_CANNOT_BE


@recipient
async def name_can_be_right(ctx: RecipientContext) -> Verdict | None:
    """The name in HELO or EHLO."""
    peer = ctx.peer
    if peer.account is not None or not comes_from_outside(peer.ip) or ctx.recipient.local.lower() == "postmaster":
        return None
    for finding in of_hello(peer.hello, peer.ip, ctx.rules.hostname):
        ctx.log("hello-refused", peer=str(peer.ip), hello=finding.about, because=finding.name)
        return Reject(HELLO_CANNOT_BE, f"{finding.name}: {finding.about}")
    return None

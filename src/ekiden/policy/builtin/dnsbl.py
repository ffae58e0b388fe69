"""dnsbl: refuses at RCPT, with the list's own reason, whoever is on a list in the DNS that an operator trusts so far (refuse = true).

The address of the server, or the domain of the sender where the list is one of domains. A list with points below 0 that has the same
is an exception. Mail to postmaster comes through (whoever is listed by mistake needs an address to say so), and so do machines on
private addresses. That a list cannot be asked refuses nobody. Off by default; builtin:score counts the same lists without refusing.
Source: RFC 5782, RFC 5321 §4.5.1 (postmaster).
"""

from __future__ import annotations

from ekiden.dns.dnsbl import State, Subject, look_up
from ekiden.dns.mx import Ip
from ekiden.dns.questions import Lookup
from ekiden.mail.address import Domain
from ekiden.policy.rules import ListRule, Lists
from ekiden.policy.score import comes_from_outside, printable
from ekiden.policy.stage import RecipientContext, recipient
from ekiden.policy.verdict import Reject, Verdict
from ekiden.smtp.replies import Reply

TIMEOUT_S = 25.0
"""A little more than all questions together may take."""


@recipient
async def is_on_no_list(ctx: RecipientContext) -> Verdict | None:
    """The peer's address, and the sender's domain."""
    lists = ctx.rules.lists
    if lists is None or ctx.peer.account is not None or ctx.recipient.local.lower() == "postmaster":
        return None
    found = await ctx.dns.resolve(_refusing(ctx, lists))  # one lookup for all lists, so that they have one limit of time together
    if found is None:
        return None
    rule, about, reason = found
    ctx.log("dnsbl-refused", peer=str(ctx.peer.ip), about=about, list=rule.name, reason=reason)
    words = f"{about} is on the list {rule.listed_by.zone}" + (f": {reason}" if reason else "")
    return Reject(Reply(550, (5, 7, 1), (words,)), words)


def _refusing(ctx: RecipientContext, lists: Lists) -> Lookup[tuple[ListRule, str, str] | None]:
    """The first list that refuses, what is on it, and its own words; None if there is none, or an exception."""
    for rule in lists.rules:
        if rule.refuse and (found := (yield from _listed(ctx, lists, rule))) is not None:
            for other in lists.rules:
                if other.points < 0 and (yield from _listed(ctx, lists, other)) is not None:
                    return None
            return rule, *found
    return None


def _listed(ctx: RecipientContext, lists: Lists, rule: ListRule) -> Lookup[tuple[str, str] | None]:
    """What of the two is on this list, and the list's own words."""
    host = ctx.sender.host
    about: Ip | str = ctx.peer.ip
    if rule.listed_by.subject is Subject.DOMAIN:
        if not isinstance(host, Domain):
            return None
        about = host.ascii
    elif not comes_from_outside(ctx.peer.ip):
        return None
    listing = yield from look_up(rule.listed_by, about, lists.health, reason=rule.refuse)
    return (str(about), printable(listing.reason, 300)) if listing.state is State.LISTED else None

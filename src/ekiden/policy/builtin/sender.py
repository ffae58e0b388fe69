"""sender: who signs in may send only under addresses of its own account.

At MAIL the reverse path must belong to the account (the null path is nobody's and is refused at submission too, for
reports are written by servers). After the final dot the addresses of From, and of Sender where there is one, must belong to it.
Without a signed-in account it has no opinion.
Source: RFC 6409 §6.1, RFC 5322 §3.6.2.
"""

from __future__ import annotations

from ekiden.mail.address import Path, format_path
from ekiden.mail.fields import parse_addresses
from ekiden.policy.stage import MessageContext, SenderContext, message, sender
from ekiden.policy.verdict import Reject, Verdict
from ekiden.smtp.replies import AUTHOR_NOT_YOURS, SENDER_NOT_YOURS


@sender
async def reverse_path_is_own(ctx: SenderContext) -> Verdict | None:
    """MAIL FROM must be an address of the account."""
    if ctx.peer.account is None or own(ctx.sender, ctx.owned):
        return None
    return Reject(SENDER_NOT_YOURS, because=f"MAIL FROM <{format_path(ctx.sender)}> is not an address of the account")


@message
async def from_is_own(ctx: MessageContext) -> Verdict | None:
    """From (exactly one field, one address), Sender and Resent-From must be addresses of the account."""
    if ctx.peer.account is None:
        return None
    froms = ctx.headers.all(b"from")
    if len(froms) > 1:
        return Reject(AUTHOR_NOT_YOURS, because="more than one From field")
    for name in (b"from", b"sender", b"resent-from", b"resent-sender"):
        for value in ctx.headers.all(name):
            addresses = list(parse_addresses(value))
            if not addresses:
                return Reject(AUTHOR_NOT_YOURS, because=f"{name.decode()} holds no address")
            for address in addresses:
                if not owns(f"{address.local}@{address.domain}", ctx.owned):
                    return Reject(AUTHOR_NOT_YOURS, because=f"{name.decode()} is not an address of the account")
    return None


def own(path: Path, owned: frozenset[str]) -> bool:
    """True if the path is one of the account's addresses, perhaps with a +tag."""
    return owns(format_path(path), owned)


def owns(address: str, owned: frozenset[str]) -> bool:
    """The same for an address as text; "alice+tag@example.test" is alice's."""
    local, at, domain = address.rpartition("@")
    wanted = f"{local.partition('+')[0]}{at}{domain}".lower()
    return address.lower() in owned or wanted in owned

"""A context at RCPT, for policies that judge there."""

from __future__ import annotations

from ipaddress import ip_address

from ekiden.base.ids import AccountId
from ekiden.dns.dnsbl import ListHealth
from ekiden.mail.address import NULL_PATH, parse_mailbox
from ekiden.mail.envelope import Peer
from ekiden.policy.rules import ListRule, Lists, Rules
from ekiden.policy.stage import RecipientContext, World
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver

LOGGED: list[tuple[str, dict[str, object]]] = []


def at_rcpt(
    hello: str = "out.test", *, ip: str = "192.0.2.1", sender: str = "a@out.test", to: str = "alice@here.test",
    account: AccountId | None = None, zone: FakeZone | None = None, lists: tuple[ListRule, ...] = (),
) -> RecipientContext:  # fmt: skip
    """One recipient of one message; what the policy logs is in LOGGED."""

    async def count(key: str, per_s: int) -> int:
        return 1

    def log(event: str, **fields: object) -> None:
        LOGGED.append((event, fields))

    LOGGED.clear()
    clock = FakeClock()
    rules = Rules("mx.here.test", lists=Lists(lists, ListHealth(clock)) if lists else None)
    world = World(clock, ZoneResolver(zone or FakeZone()), count, log, rules)
    peer = Peer(ip_address(ip), 4000, "mx", hello=hello, account=account)
    return RecipientContext(peer, world, parse_mailbox(sender) if sender else NULL_PATH, parse_mailbox(to))

"""Decorators name the stage of a policy and change nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from ekiden.base.ids import EnvelopeId
from ekiden.mail.address import NULL_PATH
from ekiden.mail.envelope import Envelope, Peer
from ekiden.mail.headers import parse_headers
from ekiden.policy.rules import Rules
from ekiden.policy.stage import Context, MessageContext, Stage, World, connect, hello, message, recipient, sender, stage_of
from ekiden.policy.verdict import Verdict
from ekiden.testing.clock import FakeClock
from ekiden.testing.dns import FakeZone, ZoneResolver


@pytest.mark.parametrize(
    ("mark", "stage"),
    [
        (connect, Stage.CONNECT),
        (hello, Stage.HELLO),
        (sender, Stage.SENDER),
        (recipient, Stage.RECIPIENT),
        (message, Stage.MESSAGE),
    ],
)
def test_the_decorator_names_the_stage(mark: Callable[[object], object], stage: Stage) -> None:
    async def judge(context: Context) -> Verdict | None:
        return None

    assert mark(judge) is judge
    assert stage_of(judge) is stage


def test_other_things_have_no_stage() -> None:
    assert stage_of(42) is None


def test_lookups_of_a_message_go_through_its_own_resolver() -> None:
    """So that they have its budget and stand in its journey."""

    async def count(key: str, per_s: int) -> int:
        return 1

    clock, shared, own = FakeClock(), ZoneResolver(FakeZone()), ZoneResolver(FakeZone())
    world = World(clock, shared, count, lambda event, **fields: None, Rules("mx.one.test"))
    peer = Peer(IPv4Address("192.0.2.1"), 1, "mx")
    envelope = Envelope(EnvelopeId(1), NULL_PATH, (), peer, clock.now())
    context = MessageContext(peer, world, envelope, (), parse_headers(b"\r\n"), 2)
    assert context.dns is shared
    assert replace(context, resolver=own).dns is own
    assert context.rules.hostname == "mx.one.test"

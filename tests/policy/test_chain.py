"""The chain of policies: order, what ends it, and what a broken policy does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from ipaddress import IPv4Address

from ekiden.base.ids import AccountId
from ekiden.dns.questions import Lookup
from ekiden.mail.envelope import Peer
from ekiden.mail.journey import Reason
from ekiden.policy.chain import NO_OPINION, Chain, folder_of
from ekiden.policy.stage import Context, Policy, Stage, World
from ekiden.policy.verdict import Defer, Discard, Pass, Quarantine, Reject, Said, Tag, Verdict
from ekiden.smtp.replies import LOCAL_ERROR, NOT_ALLOWED
from ekiden.testing.clock import FakeClock

_LINES: list[str] = []


class _NoDns:
    async def resolve(self, lookup: Lookup[object]) -> object:
        raise AssertionError("nobody asks")


def _world() -> World:
    def count(key: str, per_s: int) -> Awaitable[int]:
        raise AssertionError("nobody counts")

    def log(event: str, **fields: object) -> None:
        _LINES.append(f"{event} {fields}")

    return World(FakeClock(), _NoDns(), count, log)  # type: ignore[arg-type]  # the protocol's generic method, never called


def _policy(name: str, verdict: Verdict | None, asked: list[str]) -> Policy:
    async def judge(context: Context) -> Verdict | None:
        asked.append(name)
        return verdict

    return Policy(name, Stage.SENDER, judge)


def _ask(*policies: Policy) -> object:
    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    return asyncio.run(Chain(policies, asyncio.timeout).ask(Stage.SENDER, context))


def test_nobody_has_an_opinion() -> None:
    assert _ask(_policy("a", None, [])) == NO_OPINION


def test_the_first_refusal_ends_the_stage() -> None:
    asked: list[str] = []
    refusal = Reject(NOT_ALLOWED, "because")
    judged = Chain([_policy("a", None, asked), _policy("b", refusal, asked), _policy("c", None, asked)], asyncio.timeout)
    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    assert asyncio.run(judged.ask(Stage.SENDER, context)).refusal == refusal
    assert asked == ["a", "b"]


def test_tags_add_up_and_the_first_quarantine_stays() -> None:
    first, second = Quarantine("one"), Quarantine("two", "Elsewhere")
    policies = [
        _policy("a", Tag(b"X-A", b"1"), []),
        _policy("b", first, []),
        _policy("c", second, []),
        _policy("d", Tag(b"X-B", b"2"), []),
    ]
    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    judged = asyncio.run(Chain(policies, asyncio.timeout).ask(Stage.SENDER, context))
    assert judged.quarantine == first
    assert [tag.field for tag in judged.tags] == [b"X-A", b"X-B"]
    assert len(judged.opinions) == 4


def test_a_policy_may_say_several_things_at_once() -> None:
    tag, reason = Tag(b"X-A", b"1"), Reason("spf-fail", 30)
    both = (Quarantine("some", only=frozenset({AccountId(1)}), reasons=(reason,)), tag)

    async def judge(context: Context) -> Said:
        return both

    policies = [Policy("a", Stage.SENDER, judge), _policy("b", Pass("nothing"), []), _policy("c", Quarantine("all", "Elsewhere"), [])]
    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    judged = asyncio.run(Chain(policies, asyncio.timeout).ask(Stage.SENDER, context))
    assert [opinion.policy for opinion in judged.opinions] == ["a", "a", "b", "c"]
    assert (judged.refusal, judged.tags, judged.quarantine) == (None, (tag,), both[0])
    assert [folder_of(judged.quarantines, AccountId(account)) for account in (1, 2)] == ["Junk", "Elsewhere"]
    assert folder_of(judged.quarantines[:1], AccountId(2)) == ""
    assert folder_of((), AccountId(1)) == ""


def test_a_refusal_among_several_ends_the_stage() -> None:
    refusal = Reject(NOT_ALLOWED, "because")

    async def judge(context: Context) -> Said:
        return (Tag(b"X-A", b"1"), refusal, Tag(b"X-B", b"1"))

    asked: list[str] = []
    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    chain = Chain([Policy("a", Stage.SENDER, judge), _policy("b", None, asked)], asyncio.timeout)
    judged = asyncio.run(chain.ask(Stage.SENDER, context))
    assert (judged.refusal, [tag.field for tag in judged.tags], asked) == (refusal, [b"X-A"], [])


def test_a_discard_stays_while_others_are_still_asked() -> None:
    discard = Discard("nobody reads it")
    policies = [_policy("a", discard, []), _policy("b", Discard("another"), []), _policy("c", Tag(b"X-A", b"1"), [])]
    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    judged = asyncio.run(Chain(policies, asyncio.timeout).ask(Stage.SENDER, context))
    assert judged.discard == discard
    assert judged.tags == (Tag(b"X-A", b"1"),)
    refused = Chain([*policies, _policy("d", Reject(NOT_ALLOWED, "no"), [])], asyncio.timeout)
    assert asyncio.run(refused.ask(Stage.SENDER, context)).refusal == Reject(NOT_ALLOWED, "no")


def test_a_policy_that_raises_delays_mail_and_is_named_in_the_log() -> None:
    async def broken(context: Context) -> Verdict | None:
        raise RuntimeError("no such thing")

    _LINES.clear()
    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    judged = asyncio.run(Chain([Policy("mine.py:broken", Stage.SENDER, broken)], asyncio.timeout).ask(Stage.SENDER, context))
    assert isinstance(judged.refusal, Defer)
    assert judged.refusal.reply == LOCAL_ERROR
    assert "mine.py:broken" in _LINES[0]


def test_a_policy_that_takes_too_long_delays_mail() -> None:
    async def slow(context: Context) -> Verdict | None:
        await asyncio.Event().wait()
        return None

    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    judged = asyncio.run(Chain([Policy("slow", Stage.SENDER, slow, timeout_s=0.01)], asyncio.timeout).ask(Stage.SENDER, context))
    assert isinstance(judged.refusal, Defer)


def test_a_policy_may_be_declared_harmless_when_broken() -> None:
    async def broken(context: Context) -> Verdict | None:
        raise RuntimeError

    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    chain = Chain([Policy("b", Stage.SENDER, broken, when_broken=None)], asyncio.timeout)
    assert asyncio.run(chain.ask(Stage.SENDER, context)) == NO_OPINION


def test_what_has_limits_of_its_own_gets_none() -> None:
    async def quick(context: Context) -> Verdict | None:
        return Tag(b"X", b"y")

    def refuse(seconds: float) -> AbstractAsyncContextManager[object]:
        raise AssertionError(f"nobody is to be stopped after {seconds} s")

    context = Context(Peer(IPv4Address("192.0.2.1"), 1234, "mx"), _world())
    judged = asyncio.run(Chain([Policy("quick", Stage.SENDER, quick, timeout_s=0)], refuse).ask(Stage.SENDER, context))
    assert judged.tags == (Tag(b"X", b"y"),)

"""Copies on which our own code breaks: the others flow, and after three times they are held, and people are told.

Source: reliability.md F-54, F-55.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.services.test_courier import HERE, Post, with_courier

from ekiden.base.ids import EnvelopeId
from ekiden.mail import journey
from ekiden.mail.address import NULL_PATH
from ekiden.mail.mime import parse_message
from ekiden.services import courier
from ekiden.services.attempt import Attempted, Attempts
from ekiden.services.conversation import Conversation
from ekiden.services.ward import TIMES
from ekiden.store import poison, queue
from ekiden.store.database import Tx
from ekiden.store.messages import Sendable
from ekiden.store.queue import Batch
from ekiden.testing.peers import ScriptedHost

_attempt = Attempts.attempt


async def _breaks_on_poison(self: Attempts, batch: Batch, sendable: Sendable, reuse: Conversation | None = None) -> Attempted:
    if any(each.recipient.path.local == "poison" for each in batch.deliveries):
        raise RuntimeError("what nobody thought of")
    return await _attempt(self, batch, sendable, reuse)


async def _postmaster_reads(post: Post) -> list[bytes]:
    def work(tx: Tx) -> list[bytes]:
        return [bytes(row[19]) for row in tx.all("contents_between", mailbox=1, first=1, last=99, count=99) if isinstance(row[19], bytes)]

    return await post.database.read(work)


def test_others_flow_and_what_breaks_is_held_after_three_times_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts, "attempt", _breaks_on_poison)

    async def work(post: Post) -> list[bytes]:
        await post.post("poison@remote.test", id=1)
        for number in range(2, 12):
            await post.post(f"bob{number}@remote.test", id=number)
        await post.settle()
        assert [await post.statuses(number) for number in range(2, 12)] == [["done"]] * 10
        (copy,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(1)))
        assert (copy.status, copy.due_at, copy.leased_until) == ("due", post.clock.now() + 300_000, 0)
        await post.clock.run_for(hours=5, sleepers=1)
        (copy,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(1)))
        assert (copy.status, copy.attempts) == ("held", TIMES - 1)
        assert copy.reply == "our own code failed on it: RuntimeError: what nobody thought of (3 times)"
        steps = await post.steps()
        assert [type(step) for step in steps] == [journey.Deferred, journey.Deferred, journey.Queued]
        assert len([line for line in post.logged if line.startswith("message-breaks-code")]) == TIMES
        await post.clock.run_for(days=10, sleepers=1)
        assert await post.statuses() == ["held"], "nobody gives it up, and nobody tries it"
        post.logged.clear()  # all that failed has been seen
        return await _postmaster_reads(post)

    with ScriptedHost() as host:
        (told,) = with_courier(tmp_path, host.port, work)
    assert len(host.messages) == 10
    part = parse_message(told)
    assert part.subtype == "plain"
    assert b"postmaster@mx.one.test" in told


def test_released_by_hand_it_has_three_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts, "attempt", _breaks_on_poison)

    async def work(post: Post) -> None:
        await post.post("poison@remote.test")
        await post.settle()
        await post.clock.run_for(hours=1, sleepers=1)
        assert await post.statuses() == ["held"]
        monkeypatch.undo()
        await post.database.write(lambda tx: queue.retry(tx, EnvelopeId(1), post.clock.now()))
        post.courier.wake()
        await post.settle()
        assert await post.statuses() == ["done"]
        assert await post.database.read(lambda tx: poison.known(tx, poison.COPIES)) == []
        post.logged.clear()

    with ScriptedHost() as host:
        with_courier(tmp_path, host.port, work)


def test_a_message_that_was_handed_over_is_not_sent_again_because_our_code_breaks_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("after the 250")

    monkeypatch.setattr(courier, "_judge", breaks)

    async def work(post: Post) -> None:
        await post.post("bob@remote.test")
        await post.settle()
        await post.clock.run_for(days=1, sleepers=1)
        (copy,) = await post.database.read(lambda tx: queue.of_envelope(tx, EnvelopeId(1)))
        assert copy.status == "held"
        assert "the host may have it" in copy.reply
        post.logged.clear()

    with ScriptedHost() as host:
        with_courier(tmp_path, host.port, work)
    assert len(host.messages) == 1


def test_a_house_that_talks_about_itself_is_not_talked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts, "attempt", _breaks_on_poison)

    async def work(post: Post) -> list[bytes]:
        await post.post("poison@remote.test", sender=NULL_PATH)
        await post.settle()
        await post.clock.run_for(hours=1, sleepers=1)
        assert await post.statuses() == ["held"]
        post.logged.clear()
        return await _postmaster_reads(post)

    monkeypatch.setattr("tests.services.test_courier.HERE", replace(HERE, listener="house"))
    assert with_courier(tmp_path, 9, work) == []

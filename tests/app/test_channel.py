"""Messages between a worker and its supervisor: whole or not at all, and an end that is gone is noticed."""

from __future__ import annotations

import socket

import pytest

from ekiden.app.channel import LARGEST_BYTES, Channel, nobody


def test_messages_come_whole_and_in_order() -> None:
    ours, theirs = Channel.pair()
    other = Channel(theirs)
    assert other.tell("alive", None)
    assert other.tell("metrics", {"日本": [1, 2.5, "x" * 100_000]})
    assert list(ours.hear()) == [("alive", None), ("metrics", {"日本": [1, 2.5, "x" * 100_000]})]
    assert ours.tell("drain", 5)
    assert list(other.hear()) == [("drain", 5)]
    assert not ours.ended
    ours.close()
    assert list(other.hear()) == []
    assert other.ended
    other.close()


def test_who_is_behind_is_not_waited_for() -> None:
    ours, theirs = Channel.pair()
    other = Channel(theirs)
    told = 0
    while ours.tell("alive", "x" * 1000):
        told += 1
        assert told < 100_000
    heard = 0
    while some := list(other.hear()):
        heard += len(some)
    assert heard == told
    ours.close()
    other.close()


def test_what_is_no_message_is_passed_over() -> None:
    ours, theirs = Channel.pair()
    for raw in (b"\xff", b"[", b"[" * 50_000, b"{}", b"[1,2]", b'["kind"]', b'["kind",1,2]', b'["kind",1]'):
        theirs.send(raw)
    assert list(ours.hear()) == [("kind", 1)]
    ours.close()
    theirs.close()


def test_telling_somebody_who_is_gone_is_no_error() -> None:
    ours, theirs = Channel.pair()
    theirs.close()
    assert not ours.tell("alive", None)
    assert ours.ended
    ours.close()
    assert not nobody("alive", None)


def test_a_message_that_is_too_large_is_a_mistake() -> None:
    ours, theirs = Channel.pair()
    with pytest.raises(ValueError, match="metrics"):
        ours.tell("metrics", "x" * LARGEST_BYTES)
    assert isinstance(theirs, socket.socket)
    ours.close()
    theirs.close()

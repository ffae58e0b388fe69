"""SUBSCRIBE, UNSUBSCRIBE."""

from __future__ import annotations

from collections.abc import Callable

from tests.servers.imap.talking import Talk

Connect = Callable[..., Talk]


def test_subscriptions_come_and_go(connect: Connect) -> None:
    talk = connect()
    talk.ask("CREATE a")
    assert talk.ask("SUBSCRIBE a").status == "OK"
    assert talk.ask("SUBSCRIBE a").status == "OK"
    assert len(talk.ask('LSUB "" a').of("LSUB")) == 1
    assert talk.ask("UNSUBSCRIBE a").status == "OK"
    assert talk.ask('LSUB "" a').of("LSUB") == []
    assert talk.ask("UNSUBSCRIBE a").status == "OK"


def test_a_subscription_outlives_its_folder(connect: Connect) -> None:  # RFC 3501 §6.3.6
    talk = connect()
    talk.ask("CREATE a")
    talk.ask("SUBSCRIBE a")
    talk.ask("DELETE a")
    assert len(talk.ask('LSUB "" a').of("LSUB")) == 1


def test_what_does_not_exist_is_not_subscribed_to(connect: Connect) -> None:
    assert connect().ask("SUBSCRIBE nothing").code == "NONEXISTENT"

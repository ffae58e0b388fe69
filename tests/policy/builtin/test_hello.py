"""Who introduces itself as what it cannot be is refused at RCPT."""

from __future__ import annotations

import asyncio

import pytest
from tests.policy.recipients import LOGGED, at_rcpt

from ekiden.base.ids import AccountId
from ekiden.policy.builtin.hello import name_can_be_right
from ekiden.policy.verdict import Reject


@pytest.mark.parametrize(("hello", "because"), [
    ("MX.here.test", "helo-our-name: MX.here.test"),
    ("[192.0.2.9]", "helo-wrong-address: [192.0.2.9]"),       # RFC 5321 §4.1.3
    ("[IPv6:2001:db8::1]", "helo-wrong-address: [IPv6:2001:db8::1]"),
    ("localhost", "helo-not-a-name: localhost"),
    ("192.0.2.1", "helo-not-a-name: 192.0.2.1"),
])
def test_what_cannot_be_right_is_refused_and_logged(hello: str, because: str) -> None:
    said = asyncio.run(name_can_be_right(at_rcpt(hello)))
    assert isinstance(said, Reject)
    assert (said.reply.code, said.reply.enhanced, said.because) == (550, (5, 7, 1), because)
    assert [("hello-refused", {"peer": "192.0.2.1", "hello": hello, "because": because.partition(":")[0]})] == LOGGED


@pytest.mark.parametrize("hello", ["out.test", "[192.0.2.1]", "no.such.name.test"])
def test_what_can_be_right_comes_through_whether_or_not_it_is(hello: str) -> None:
    assert asyncio.run(name_can_be_right(at_rcpt(hello))) is None  # RFC 5321 §4.1.4


def test_postmaster_own_people_and_private_addresses_are_not_asked() -> None:
    for context in (at_rcpt("x", to="Postmaster@here.test"), at_rcpt("x", account=AccountId(1)), at_rcpt("mx.here.test", ip="127.0.0.1")):
        assert asyncio.run(name_can_be_right(context)) is None

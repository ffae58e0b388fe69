"""What is told of a chain without any key."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mailauth.quick import quickly

from ekiden.mail.headers import parse_headers
from ekiden.mailauth.arc_set import Chain, has_sets, read_chain


def _one(instance: object, claim: str = "", *, seal: str = "", message: str = "") -> bytes:
    claim = claim or ("none" if instance == 1 else "pass")
    return (
        f"ARC-Seal: i={instance}; a=rsa-sha256; cv={claim}; d=one.test; s=x; t=12345; b=AAAA{seal}\r\n"
        f"ARC-Message-Signature: i={instance}; a=rsa-sha256; d=one.test; s=x; h=from; bh={'A' * 43}=; b=AAAA{message}\r\n"
        f"ARC-Authentication-Results: i={instance}; mx.one.test; spf=pass smtp.mailfrom=a@two.test\r\n"
    ).encode()


def _read(*sets: bytes) -> Chain:
    return read_chain(parse_headers(b"".join(sets) + b"From: a@two.test\r\n\r\n"))


def test_sets_are_told_in_order_with_what_they_hold() -> None:
    chain = _read(_one(2), _one(1))
    assert (chain.fault, chain.highest, chain.failed_at) == ("", 2, 0)
    assert [each.instance for each in chain.sets] == [1, 2]
    assert [each.at for each in chain.sets] == [(5, 4, 3), (2, 1, 0)]
    first = chain.sets[0]
    assert (first.claim, first.seal.domain, first.results.authserv_id) == ("none", "one.test", "mx.one.test")
    assert [(each.method, each.value("smtp.mailfrom")) for each in first.results.statements] == [("spf", "a@two.test")]
    assert first.message is not None
    assert first.message.relaxed_body


def test_any_field_of_a_set_is_seen_before_it_is_read() -> None:
    assert has_sets(parse_headers(b"X: y\r\naRC-sEAL: nonsense\r\n\r\n"))
    assert not has_sets(parse_headers(b"From: a@b.test\r\nARC: x\r\n\r\nARC-Seal: i=1\r\n"))


def test_no_field_is_no_chain() -> None:
    assert _read() == Chain()


@pytest.mark.parametrize(("sets", "because"), [
    ([_one(3), _one(1)], "set 2 has no ARC-Authentication-Results"),  # row AX-30: i = 1, 3
    ([_one(1), _one(1)], "comes twice"),
    ([_one(2)], "set 1 has no"),
    ([_one(51)], "no instance of 1 to 50"),
    ([_one(0)], "no instance"),
    ([_one(100)], "no instance"),
    ([_one("1x")], "no instance"),
    ([_one("")], "no instance"),
    ([_one(1, "pass")], "does not say cv=none"),
    ([_one(2, "none"), _one(1)], "does not say cv=pass"),
    ([_one(1, "Fail")], "does not say cv=none"),
    ([_one(1, seal="; h=from")], "has h="),
    ([_one(1, seal="; b=BBBB")], "b= comes twice"),
    ([_one(1, seal=";;")], "without a name"),
    ([_one(1).replace(b"cv=none; ", b"")], "does not say"),
    ([_one(1).replace(b"i=1; mx", b"i=1 mx")], "ARC-Authentication-Results has no instance"),
    ([_one(1).replace(b"ARC-Message-Signature", b"X-Message-Signature")], "has no ARC-Message-Signature"),
    ([_one(1)] * 51, "more than 50 sets"),
])
def test_ax_30_a_chain_that_is_none(sets: list[bytes], because: str) -> None:
    chain = _read(*sets)
    assert chain.sets == ()
    assert because in chain.fault


def test_fifty_sets_are_a_chain() -> None:
    assert len(_read(*(_one(instance) for instance in range(50, 0, -1))).sets) == 50


def test_a_seal_that_says_fail_is_told_apart() -> None:
    chain = _read(_one(2, "fail"), _one(1))
    assert (chain.highest, chain.failed_at, chain.sets) == (2, 2, ())


def test_a_message_signature_that_cannot_be_read_is_no_fault_of_the_chain() -> None:
    (only,) = _read(_one(1).replace(b"h=from; ", b"")).sets
    assert only.message is None


@pytest.mark.parametrize("name", [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"])
@pytest.mark.parametrize("piece", [b"(", b";", b"i=", b"i=1;", b" ", b"\r\n ", b"a=b;", b"=", b"\xff", b"\\", b'"', b"i=1; ("])
def test_hostile_fields_take_no_time(name: bytes, piece: bytes) -> None:
    one = name + b": i=1; " + piece * ((100 << 10) // len(piece)) + b"\r\n"
    short = (name + b": i=1; " + piece * (600 // len(piece)) + b"\r\n") * 150
    for raw in (one, short):
        quickly(partial(read_chain, parse_headers(raw + b"\r\n")))


@given(st.lists(st.tuples(st.sampled_from([b"ARC-Seal", b"arc-message-signature", b"ARC-Authentication-Results"]), st.binary(max_size=80))))
def test_no_bytes_are_too_strange(fields: list[tuple[bytes, bytes]]) -> None:
    chain = read_chain(parse_headers(b"".join(b"%b: i=1; %b\r\n" % field for field in fields) + b"\r\n"))
    assert bool(chain.sets) <= (not chain.fault)

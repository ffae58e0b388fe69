"""PLAIN and LOGIN. Row names (AU-) are those of the project's table of attacks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.suites.data import conformance

from ekiden.base.errors import BadValue
from ekiden.sasl.mechanism import Challenge, Proof, decode_line
from ekiden.sasl.mechanisms.plain import Login, Plain


@pytest.mark.parametrize(("message", "proof"), [
    (b"\0tim\0tanstaaftanstaaf", Proof("tim", b"tanstaaftanstaaf")),              # RFC 4616 §4
    (b"Ursel\0Kurt\0xipj3plmq", Proof("Kurt", b"xipj3plmq", "Ursel")),            # RFC 4616 §4
    (b"bob\0alice\0alice-pw", Proof("alice", b"alice-pw", "bob")),                # AU-06: login decides
    ("\0älïce\0пароль".encode(), Proof("älïce", "пароль".encode())),
    (b"\0" + b"n" * 255 + b"\0" + b"p" * 255, Proof("n" * 255, b"p" * 255)),      # RFC 4616 §2
    (b"\0a\0" + b"p" * 5_000, Proof("a", b"p" * 5_000)),                          # AU-14: too long for a login, not for the form
])
def test_plain_reads_its_message(message: bytes, proof: Proof) -> None:
    assert Plain().step(message) == proof


def test_plain_without_initial_response_asks_with_nothing() -> None:
    exchange = Plain()
    assert exchange.step(None) == Challenge(b"")                                  # RFC 4954 §4
    assert exchange.step(b"\0tim\0secret") == Proof("tim", b"secret")


@pytest.mark.parametrize("message", [
    b"",
    b"alice",                        # AU-07: 0 NULs
    b"\0alice",                      # 1
    b"\0alice\0pw\0",                # 3
    b"\0\0pw",                       # empty name
    b"\0alice\0",                    # empty password
    b"\0\0",
    b"\0\xff\0pw",                   # not UTF-8
    b"\xff\0alice\0pw",
    b"\0\xed\xa0\x80\0pw",           # a surrogate: RFC 4616 §2, UTF3
    b"\0" + b"n" * 1_025 + b"\0pw",
])
def test_plain_refuses_what_is_not_its_form(message: bytes) -> None:
    with pytest.raises(BadValue):
        Plain().step(message)


def test_login_asks_twice() -> None:
    exchange = Login()
    assert exchange.step(None) == Challenge(b"Username:")
    assert exchange.step(b"alice") == Challenge(b"Password:")
    assert exchange.step(b"pw") == Proof("alice", b"pw")


def test_login_takes_the_name_as_initial_response() -> None:
    exchange = Login()
    assert exchange.step(b"alice") == Challenge(b"Password:")
    assert exchange.step(b"pw") == Proof("alice", b"pw")
    exchange = Login()
    assert exchange.step(b"") == Challenge(b"Username:")
    assert exchange.step(b"alice") == Challenge(b"Password:")


@pytest.mark.parametrize("messages", [[b"\0"], [b"\xff"], [b"alice", b""], [b"n" * 1_025], [b"", b""]])
def test_login_refuses_what_is_not_its_form(messages: list[bytes]) -> None:
    exchange = Login()
    *first, last = messages
    for message in first:
        exchange.step(message)
    with pytest.raises(BadValue):
        exchange.step(last)


@given(st.binary(max_size=80))
def test_any_bytes_give_a_proof_or_a_bad_value(message: bytes) -> None:
    try:
        outcome = Plain().step(message)
    except BadValue:
        return
    assert isinstance(outcome, Proof)
    rebuilt = b"\0".join([outcome.acting_as.encode(), outcome.name.encode(), outcome.password])
    assert rebuilt == message


@pytest.mark.conformance("sasl", 2)
def test_the_exchanges_of_the_rfcs() -> None:
    folder = conformance("sasl")
    assert folder is not None
    cases = [case for case in json.loads((folder / "exchanges.json").read_text()) if case["mechanism"] == "PLAIN"]
    assert len(cases) == 2
    for case in cases:
        proof = Plain().step(decode_line(case["client_response_base64"].encode()))
        assert proof == Proof(case["user"], case["password"].encode(), case["authzid"])

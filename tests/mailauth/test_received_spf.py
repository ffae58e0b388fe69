"""The Received-SPF field, held against the grammar of RFC 7208 §9.1, whatever the peer has said."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiden.base.errors import BadValue
from ekiden.mail.address import NULL_PATH, Domain, Path
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.received_spf import received_spf
from ekiden.mailauth.results import Result
from ekiden.mailauth.spf import SpfOutcome

IP = ip_address("192.0.2.1")
SENDER = Path("alice", Domain("one.test"))

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_PAIR = rf"[A-Za-z][A-Za-z0-9\-_.]*=(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})"
_FIELD = re.compile(
    rf"Received-SPF: (?:pass|fail|softfail|neutral|none|temperror|permerror) \([ !-'*-\[\]-~]*\) {_PAIR}(?:; {_PAIR})*;"
)


def _unfolded(field: bytes) -> str:
    assert field.endswith(b"\r\n")
    return field[:-2].replace(b"\r\n\t", b" ").decode("ascii")


def test_a_pass() -> None:
    outcome = SpfOutcome(Result.PASS, "one.test", "mailfrom", matched="ip4:192.0.2.0/24")
    assert received_spf(outcome, ip=IP, helo="mx.one.test", sender=SENDER, receiver="mx.ekiden.test") == (
        b"Received-SPF: pass (mx.ekiden.test: domain of one.test designates 192.0.2.1 as\r\n"
        b"\tpermitted sender) receiver=mx.ekiden.test; client-ip=192.0.2.1;\r\n"
        b'\tidentity=mailfrom; envelope-from="alice@one.test"; helo=mx.one.test;\r\n'
        b'\tmechanism="ip4:192.0.2.0/24";\r\n'
    )


@pytest.mark.parametrize(("outcome", "ends"), [
    (SpfOutcome(Result.NEUTRAL, "one.test", "mailfrom"), "mechanism=default;"),
    (SpfOutcome(Result.NONE, "one.test", "mailfrom"), "helo=mx.one.test;"),
    (SpfOutcome(Result.FAIL, "one.test", "mailfrom", matched="-all", explanation="go (away)"), "mechanism=-all;"),
    (SpfOutcome(Result.PERMERROR, "one.test", "mailfrom", because='mechanism "x\\y"'), 'problem="mechanism \\"x\\\\y\\"";'),
    (SpfOutcome(Result.TEMPERROR, "one.test", "mailfrom", because="one.test. TXT: SERVFAIL"), 'problem="one.test. TXT: SERVFAIL";'),
])  # fmt: skip
def test_results(outcome: SpfOutcome, ends: str) -> None:
    text = _unfolded(received_spf(outcome, ip=IP, helo="mx.one.test", sender=SENDER, receiver="mx.ekiden.test"))
    assert _FIELD.fullmatch(text)
    assert text.endswith(ends)
    assert "away" not in text


def test_the_null_path_has_no_envelope_from() -> None:
    outcome = SpfOutcome(Result.PASS, "mx.one.test", "helo", matched="a")
    text = _unfolded(received_spf(outcome, ip=ip_address("2001:db8::1"), helo="mx.one.test", sender=NULL_PATH, receiver="mx.ekiden.test"))
    assert "envelope-from" not in text
    assert 'identity=helo; helo=mx.one.test; mechanism=a;' in text
    assert 'client-ip="2001:db8::1"' in text


def test_what_spf_does_not_say_is_refused() -> None:
    with pytest.raises(BadValue):
        received_spf(SpfOutcome(Result.POLICY, "one.test", "mailfrom"), ip=IP, helo="x", sender=SENDER, receiver="y")


@given(
    st.sampled_from([each for each in Result if each is not Result.POLICY]), st.text(max_size=400), st.text(max_size=100),
    st.text(max_size=300), st.text(max_size=300), st.text(max_size=100),
)  # fmt: skip
def test_no_text_of_a_peer_leaves_its_quotes(result: Result, helo: str, local: str, matched: str, because: str, domain: str) -> None:
    outcome = SpfOutcome(result, domain, "mailfrom", matched=matched, because=because)
    field = received_spf(outcome, ip=IP, helo=helo, sender=Path(local, Domain("one.test")), receiver="mx.ekiden.test")
    assert _FIELD.fullmatch(_unfolded(field))
    assert max(len(line) for line in field.split(b"\r\n")) <= 998
    assert len(field) < 3_000
    assert [name.lower() for name, _ in parse_headers(field + b"\r\n").fields] == [b"received-spf"]

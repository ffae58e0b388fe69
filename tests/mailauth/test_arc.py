"""Chains that we verify and seals that we make; dkimpy reads ours and we read dkimpy's."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from ekiden.base.clock import Millis
from ekiden.dns.questions import Answer, Finding, Question, run_lookup
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.arc import NO_CHAIN, ArcOutcome, ArcSealer, own_results, seal, verify_chain
from ekiden.mailauth.auth_results import results_of
from ekiden.mailauth.dkim_key import SigningKey
from ekiden.mailauth.results import Evidence, Result, authentication_results
from ekiden.testing.dns import FakeZone

NOW = Millis(1_700_000_000_000)
MESSAGE = (
    b"From: Jo <jo@one.test>\r\nTo: mika@two.test\r\nSubject: =?utf-8?q?Tea?=\r\n at five\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
    b"Message-ID: <1@one.test>\r\n\r\nHello  Mika \r\n\r\nJo\r\n\r\n\r\n"
)
RESULTS = authentication_results("mx.two.test", [Evidence("spf", Result.PASS, {"smtp.mailfrom": "jo@one.test"})])


@cache
def _key(domain: str) -> SigningKey:
    return SigningKey(domain, "s1", generate_private_key(65537, 2048))


@cache
def _zone() -> FakeZone:
    zone = FakeZone()
    for domain in ("one.test", "two.test", "three.test"):
        private = _key(domain).key
        public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        zone[f"s1._domainkey.{domain}"] = [f"TXT v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"]
    return zone


def _check(raw: bytes, asked: list[str] | None = None, now: Millis = NOW) -> ArcOutcome:
    def answer(question: Question) -> Answer:
        if asked is not None:
            asked.append(question.name)
        return _zone().answer(question)

    return run_lookup(verify_chain(raw, parse_headers(raw), now), answer)


def _sealed(raw: bytes, domain: str = "two.test", results: bytes = RESULTS) -> bytes:
    return seal(raw, parse_headers(raw), results, _check(raw), _key(domain), NOW) + raw


def test_a_message_without_sets_has_no_chain() -> None:
    asked: list[str] = []
    assert _check(MESSAGE, asked) == NO_CHAIN
    assert asked == []
    assert NO_CHAIN.evidence() == Evidence("arc", Result.NONE)


def test_our_seals_make_a_chain() -> None:
    raw = _sealed(_sealed(_sealed(MESSAGE, "one.test")), "three.test")
    asked: list[str] = []
    outcome = _check(raw, asked)
    assert outcome.result is Result.PASS, outcome.because
    assert outcome.sealers == ("one.test", "two.test", "three.test")
    assert (outcome.oldest_pass, outcome.highest) == (0, 3)
    assert outcome.evidence() == Evidence("arc", Result.PASS, {"header.oldest-pass": "0"})
    assert sorted(asked) == ["s1._domainkey.one.test", "s1._domainkey.three.test", "s1._domainkey.two.test"]  # each once
    assert [each.results.statements[0].value("smtp.mailfrom") for each in outcome.sets] == ["jo@one.test"] * 3


def test_the_three_fields_stand_in_order_and_in_lines() -> None:
    fields = _sealed(MESSAGE).removesuffix(MESSAGE)
    names = [name for name, _ in parse_headers(fields + b"\r\n").fields]
    assert names == [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"]
    assert max(map(len, fields.split(b"\r\n"))) <= 80
    assert b"ARC-Authentication-Results: i=1; mx.two.test;\r\n\tspf=pass smtp.mailfrom=jo@one.test\r\n" in fields


def test_a_list_that_changes_the_text_and_seals_again_keeps_the_chain() -> None:
    changed = _sealed(MESSAGE, "one.test").replace(b"\r\nJo\r\n", b"\r\nJo\r\n-- the list\r\n")
    assert _check(changed).because == "message signature 1: the body is not what was signed"
    again = seal(changed, parse_headers(changed), RESULTS, _check(_sealed(MESSAGE, "one.test")), _key("two.test"), NOW) + changed
    outcome = _check(again)
    assert (outcome.result, outcome.oldest_pass) == (Result.PASS, 2)


@pytest.mark.parametrize(("what", "instead", "because"), [
    (b"Hello", b"Hallo", "message signature 2: the body is not what was signed"),
    (b"at five", b"at six", "message signature 2: not what was signed, or another key signed it"),
    (b"Subject:", b"Cc: x@x.test\r\nSubject:", "message signature 2: not what was signed, or another key signed it"),
    (b"mailfrom=jo@", b"mailfrom=ceo@", "seal 2: not what was signed, or another key signed it"),
    (b"t=1700000000; d=one.test", b"t=1700000001; d=one.test", "seal 2: not what was signed, or another key signed it"),
    (b"d=two.test", b"d=none.test", "message signature 2: no key for the selector"),
    (b"cv=pass", b"cv=fail", "the seal of set 2 says that the chain had failed"),
    (b"a=rsa-sha256", b"a=rsa-sha1", "message signature 2 cannot be read"),
    (b"a=rsa-sha256", b"a=dsa-sha256", "message signature 2: dsa-sha256 is not accepted"),
    (b"h=from", b"l=5; h=from", "message signature 2: the body is not what was signed"),
    (b"h=from", b"l=500; h=from", "message signature 2: l= is longer than the body"),
    (b"h=from", b"x=1699999999; h=from", "message signature 2 has expired"),
])
def test_what_was_changed_breaks_the_chain(what: bytes, instead: bytes, because: str) -> None:
    raw = _sealed(_sealed(MESSAGE, "one.test"))
    assert what in raw
    outcome = _check(raw.replace(what, instead))
    assert (outcome.result, outcome.because) == (Result.FAIL, because)
    assert outcome.evidence() == Evidence("arc", Result.FAIL, {}, because)


def test_a_seal_of_the_future_fails() -> None:
    outcome = _check(_sealed(MESSAGE), now=Millis(NOW - 601_000))
    assert (outcome.result, outcome.because) == (Result.FAIL, "message signature 1 was made in the future")


@pytest.mark.parametrize("damage", [
    lambda raw: raw.replace(b"i=2;", b"i=3;"),  # i = 1, 3
    lambda raw: raw.replace(b"i=2;", b"i=1;"),  # the same instance twice
    lambda raw: raw.replace(b"i=2;", b"i=51;"),
    lambda raw: raw.replace(b"cv=none", b"cv=pass"),  # cv=pass at i = 1
    lambda raw: raw.replace(b"cv=pass", b"cv=none"),
    lambda raw: raw.replace(b"ARC-Seal: i=1", b"X-Seal: i=1"),
])
def test_ax_30_a_broken_structure_asks_nobody(damage: Callable[[bytes], bytes]) -> None:
    asked: list[str] = []
    raw = damage(_sealed(_sealed(MESSAGE, "one.test")))
    assert _check(raw, asked).result is Result.FAIL
    assert asked == []


def test_ax_30_fifty_sets_ask_one_by_one_and_stop_when_the_time_is_over() -> None:
    """The budget of the resolver ends after 20 s; every question behind it fails at once."""
    raw = MESSAGE
    outcome = NO_CHAIN
    for number in range(50):
        key = SigningKey(f"d{number}.test", "s1", _key("two.test").key)
        raw = seal(raw, parse_headers(raw), RESULTS, outcome, key, NOW) + raw
        outcome = ArcOutcome(Result.PASS)
    (record,) = _zone()["s1._domainkey.two.test"]
    asked: list[str] = []

    def slow(question: Question) -> Answer:
        asked.append(question.name)
        if len(asked) * 3 > 20:
            return Answer(question, Finding.FAILED, because="no time left")
        return Answer(question, Finding.FOUND, (record,))

    outcome = run_lookup(verify_chain(raw, parse_headers(raw), NOW), slow)
    assert (outcome.result, outcome.temporary, len(asked)) == (Result.FAIL, True, 7)
    assert outcome.because == "seal 44: the key could not be looked up: no time left"
    every = run_lookup(verify_chain(raw, parse_headers(raw), NOW), lambda question: Answer(question, Finding.FOUND, (record,)))
    assert (every.result, len(every.sealers), every.oldest_pass) == (Result.PASS, 50, 0)
    assert seal(raw, parse_headers(raw), RESULTS, every, _key("two.test"), NOW) == b""  # there is no set 51


def test_a_failed_chain_is_sealed_once_as_failed_and_then_left_alone() -> None:
    broken = _sealed(MESSAGE, "one.test").replace(b"Hello", b"Hallo")
    failed = _sealed(broken)
    (value, *_) = parse_headers(failed).all(b"arc-seal")
    assert b"i=2" in value
    assert b"cv=fail" in value
    outcome = _check(failed)
    assert (outcome.result, outcome.failed_at, outcome.highest) == (Result.FAIL, 2, 2)
    assert _sealed(failed, "three.test") == failed  # RFC 8617 §5.1, step 2


def test_a_structure_that_is_broken_is_sealed_as_failed_whatever_the_caller_says() -> None:
    raw = _sealed(MESSAGE).replace(b"ARC-Authentication-Results", b"X-Results")
    made = seal(raw, parse_headers(raw), RESULTS, ArcOutcome(Result.PASS), _key("two.test"), NOW)
    assert b"cv=fail" in made


def test_ed25519_seals_too() -> None:
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    zone = FakeZone({"e._domainkey.two.test": [f"TXT v=DKIM1; k=ed25519; p={public}"]})
    raw = seal(MESSAGE, parse_headers(MESSAGE), RESULTS, NO_CHAIN, SigningKey("two.test", "e", private), NOW) + MESSAGE
    assert zone.run(verify_chain(raw, parse_headers(raw), NOW)).result is Result.PASS


def test_a_body_may_come_in_pieces() -> None:
    headers = parse_headers(MESSAGE)
    sealer = ArcSealer(headers, RESULTS, NO_CHAIN, _key("two.test"), NOW)
    for at in range(headers.body_at, len(MESSAGE)):
        sealer.update(MESSAGE[at : at + 1])
    assert sealer.fields() + MESSAGE == _sealed(MESSAGE)


def test_dkim_signatures_and_only_what_may_be_signed_is_signed() -> None:
    raw = b"DKIM-Signature: x\r\nAuthentication-Results: mx.two.test; none\r\n" + MESSAGE
    signed = parse_headers(_sealed(raw)).text(b"arc-message-signature")
    assert b"dkim-signature" in signed
    assert b"authentication-results" not in signed
    assert b"arc-" not in signed


def test_our_results_are_put_together_and_those_of_others_are_not() -> None:
    raw = (
        b"Authentication-Results: MX.two.test; spf=pass (good)\r\n smtp.mailfrom=x\r\nAuthentication-Results: evil.test; dmarc=pass\r\n"
        b"Authentication-Results: mx.two.test;\r\n\tdkim=none\r\n\r\n"
    )
    assert own_results(parse_headers(raw), "mx.two.test") == b"mx.two.test; spf=pass (good)\r\n smtp.mailfrom=x; dkim=none"
    assert own_results(parse_headers(raw), "mx.one.test") == b""
    assert results_of(b" other.test; none", "mx.two.test") is None


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_the_results_hold_no_field_is_added(results: bytes) -> None:
    made = seal(MESSAGE, parse_headers(MESSAGE), b"mx.two.test; " + results, NO_CHAIN, _key("two.test"), NOW)
    headers = parse_headers(made + MESSAGE)
    assert len(headers.fields) == 3 + len(parse_headers(MESSAGE).fields)
    assert _check(made + MESSAGE).result is Result.PASS


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=6))
def test_no_damage_is_too_strange(at: int, instead: bytes) -> None:
    raw = _twice()
    assert _check(raw[:at] + instead + raw[at + len(instead) :]).result in (Result.NONE, Result.PASS, Result.FAIL)


@cache
def _twice() -> bytes:
    return _sealed(_sealed(MESSAGE, "one.test"))


# ---- dkimpy ----


def _answers(name: bytes, timeout: int = 5) -> bytes | None:
    records = _zone().get(name.decode().rstrip("."), ())
    return next((bytes(getattr(record, "value")) for record in records), None)  # noqa: B009


def _dkimpy(raw: bytes) -> tuple[bytes, list[dict[str, Any]], str]:
    status, sets, because = dkim.arc_verify(raw, dnsfunc=_answers)
    return status, sets, because


def test_dkimpy_verifies_our_seals() -> None:
    raw = MESSAGE
    for domain in ("one.test", "two.test", "three.test"):
        raw = _sealed(raw, domain)
        status, sets, because = _dkimpy(raw)
        assert status == b"pass", because
    assert len(sets) == 3
    assert _dkimpy(raw.replace(b"Hello", b"Hallo"))[0] == b"fail"


def _dkimpy_seals(raw: bytes, domain: str) -> bytes:
    key = _key(domain).key
    assert isinstance(key, RSAPrivateKey)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    found = _check(raw).result.value.encode()
    who = b"mx." + domain.encode()
    topped = b"Authentication-Results: %b; arc=%b; spf=pass smtp.mailfrom=jo@one.test\r\n" % (who, found) + raw
    fields = dkim.arc_sign(topped, b"s1", domain.encode(), pem, who, timestamp="1700000000")
    return b"".join(fields) + topped


def test_we_verify_the_seals_of_dkimpy() -> None:
    raw = _dkimpy_seals(MESSAGE, "one.test")
    assert _check(raw).result is Result.PASS
    raw = _dkimpy_seals(raw, "two.test")
    outcome = _check(raw)
    assert (outcome.result, outcome.sealers) == (Result.PASS, ("one.test", "two.test")), outcome.because
    assert _check(raw.replace(b"Hello", b"Hallo")).result is Result.FAIL


def test_chains_of_dkimpy_and_us_mixed_are_good_for_both() -> None:
    raw = _sealed(_dkimpy_seals(_sealed(MESSAGE, "one.test"), "two.test"), "three.test")
    outcome = _check(raw)
    assert (outcome.result, len(outcome.sets)) == (Result.PASS, 3), outcome.because
    assert _dkimpy(raw)[0] == b"pass"

"""Keys: records, the choice among several, what can be loaded, what verifies."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.mailauth.signing import ed_key, odd_rsa, public_of, rsa_key

from ekiden.base.errors import BadValue
from ekiden.dns.questions import run_lookup
from ekiden.mailauth.dkim_key import (
    KeyRecord,
    Rules,
    SigningKey,
    Unverified,
    ask_for_key,
    choose_record,
    key_records,
    load_public_key,
    load_signing_key,
    parse_key_record,
    usable_key,
)
from ekiden.mailauth.results import Result
from ekiden.testing.dns import FakeZone


@pytest.mark.parametrize(("value", "record"), [
    (b"p=AAAA", KeyRecord("rsa", bytes(3))),  # RFC 6376 §3.6.1: all else has a default
    (b"v=DKIM1; k=ed25519; h=sha256 : x; s=email:*; t=y : s; n=hello; g=*; p=AA AA;", KeyRecord(
        "ed25519", bytes(3), frozenset({"sha256", "x"}), testing=True, strict=True,
    )),
    (b"s=web; p=", KeyRecord("rsa", b"", for_mail=False)),
    (b"k=RSA; s=; h=; t=; p=", KeyRecord("rsa", b"")),
])  # fmt: skip
def test_a_record_is_read(value: bytes, record: KeyRecord) -> None:
    assert parse_key_record(value) == record


@pytest.mark.parametrize("value", [
    b"", b"v=DKIM1", b"v=DKIM2; p=AAAA", b"p=AAAA; v=DKIM1", b"p=A", b"p=A-_A", b"p=AAAA; p=AAAA", b"v=spf1 -all", b"p=" + b"A" * 20_000,
])
def test_what_is_no_record_is_refused(value: bytes) -> None:
    with pytest.raises(BadValue):
        parse_key_record(value)


def test_a_record_of_another_kind_does_not_count() -> None:
    assert choose_record([b"p=AAAA", b"k=ed25519; p=BBBB"], "ed25519", "sha256").data == base64.b64decode("BBBB")
    with pytest.raises(Unverified, match="several keys"):
        choose_record([b"p=AAAA", b"p=AAAA"], "rsa", "sha256")


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
@pytest.mark.parametrize("revoked", [b"v=DKIM1; p=", b"p=", b"v=DKIM1; k=ed25519; p=;", b"v=DKIM1; k=rsa; p= ;"])
def test_an_empty_key_is_revoked_of_whatever_kind_it_was(kind: str, revoked: bytes) -> None:
    """RFC 6376 §6.1.2: k= may have gone with the key. A key of that kind beside it is another matter."""
    with pytest.raises(Unverified, match="revoked") as raised:
        choose_record([revoked], kind, "sha256")
    assert raised.value.result is Result.FAIL
    if b"k=" not in revoked and kind == "ed25519":
        assert choose_record([revoked, b"k=ed25519; p=BBBB"], kind, "sha256").data


@pytest.mark.parametrize("key", [rsa_key(), ed_key()], ids=lambda key: key.algorithm)
def test_what_a_key_signs_its_public_key_verifies(key: SigningKey) -> None:
    loaded = load_signing_key("one.test", "s", key.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    public = load_public_key(key.algorithm.partition("-")[0], public_of(key))
    signature = loaded.sign(b"text")
    assert public.verifies(signature, b"text")
    assert not public.verifies(signature, b"texT")
    assert not public.verifies(signature[:-1], b"text")
    assert not public.verifies(b"", b"text")
    assert "PRIVATE" not in repr(loaded)


def test_an_rsa_key_may_stand_without_its_envelope() -> None:
    key = rsa_key().key
    assert isinstance(key, RSAPrivateKey)
    assert load_public_key("rsa", key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)).bits == 2048


@pytest.mark.parametrize(("kind", "data"), [
    ("rsa", b""), ("rsa", b"\x30\x82"), ("rsa", bytes(5000)), ("rsa", public_of(ed_key())), ("ed25519", bytes(31)),
    ("rsa", odd_rsa(1024, 2**33 + 1)),
    ("rsa", generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
], ids=["nothing", "cut", "too-long", "ed25519-as-rsa", "31-octets", "exponent", "ec"])
def test_what_is_no_key_is_refused(kind: str, data: bytes) -> None:
    with pytest.raises(BadValue):
        load_public_key(kind, data)


def test_other_private_keys_do_not_sign() -> None:
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for private in (other, b"", b"x"):
        with pytest.raises(BadValue):
            load_signing_key("one.test", "s", private)


@pytest.mark.parametrize(("bits", "rules", "good"), [
    (1024, Rules(), True), (1016, Rules(), False), (4104, Rules(), False), (1024, Rules(least_bits=2048), False),
    (512, Rules(least_bits=512), True),
])  # fmt: skip
def test_the_size_of_a_key_is_a_matter_of_rules(bits: int, rules: Rules, good: bool) -> None:
    record = KeyRecord("rsa", odd_rsa(bits))
    if good:
        assert usable_key(record, rules).bits == bits
    else:
        with pytest.raises(Unverified) as refused:
            usable_key(record, rules)
        assert refused.value.result is Result.POLICY  # RFC 8301 §3.2


def test_only_a_failure_of_the_dns_is_a_temporary_error() -> None:
    zone = FakeZone({"a._domainkey.one.test": ['TXT "p=" "AAAA"'], "b._domainkey.one.test": ["SERVFAIL"]})
    assert zone.run(ask_for_key("one.test", "a")) == (b"p=AAAA",)
    assert zone.run(ask_for_key("one.test", "c")) == ()
    with pytest.raises(Unverified) as failed:
        zone.run(ask_for_key("one.test", "b"))
    assert failed.value.result is Result.TEMPERROR


def test_a_name_that_no_question_can_carry_is_not_asked() -> None:
    def answer(_question: object) -> None:
        raise AssertionError

    assert run_lookup(key_records("one.test", "a" * 300), answer) == ()  # type: ignore[arg-type]  # it is never called
    assert run_lookup(ask_for_key("one.test", "a" * 300), answer) == ()  # type: ignore[arg-type]  # it is never called

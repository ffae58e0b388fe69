"""Keys of DKIM and ARC: the records that publish them, and what is done with them.

Pure. Nothing that a record holds can make the mathematics slow: sizes and exponents are bounded before a key is used.
Public keys and records that come again are kept, a thousand of each.
Source: RFC 6376 §3.6, RFC 6376 §6.1.2, RFC 8301 §3, RFC 8463 §3, RFC 8463 §4.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from ekiden.base.errors import BadValue, EkidenError
from ekiden.dns.questions import Lookup, NoAnswer, ask
from ekiden.dns.records import Txt
from ekiden.mailauth.dkim_tags import parse_tags, parts_of, without_space
from ekiden.mailauth.results import Result

PrivateKey: TypeAlias = RSAPrivateKey | Ed25519PrivateKey
KeyRecords: TypeAlias = "tuple[bytes, ...] | Unverified"
"""The TXT records of a selector, or why nobody could tell them."""

MOST_RECORDS = 10
"""How many TXT records of one name are read."""
RECORD_BYTES = 10 << 10
"""How long one of them may be."""

_CACHED_BYTES = 2 << 10
_KEY_BYTES = 4 << 10  # 16,384 bits of RSA are half of it
_MOST_EXPONENT = 1 << 32
_PADDING = PKCS1v15()
_HASHES = {"sha256": SHA256(), "sha1": SHA1()}  # RFC 8301 §3.1: rsa-sha1 is refused, unless rules for old mail say otherwise


class Unverified(EkidenError):
    """A signature cannot be taken for one, with the result that says so and the reason in a few words of ours."""

    def __init__(self, result: Result, because: str) -> None:
        self.result = result
        self.because = because
        super().__init__(because)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a verifier accepts. The defaults are what RFC 8301 and RFC 6376 demand; other values are for old mail.

    signatures: how many fields of a message are looked at, from the top. least_bits, most_bits: of an RSA key.
    hashes: of a signature. versions: values of v=; "" for a signature without one.
    """

    signatures: int = 8
    least_bits: int = 1024
    most_bits: int = 4096
    hashes: frozenset[str] = frozenset({"sha256"})
    versions: frozenset[str] = frozenset({"1"})


TODAY = Rules()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that can verify. kind: "rsa" or "ed25519". bits: 256 for Ed25519."""

    kind: str
    bits: int
    _key: RSAPublicKey | Ed25519PublicKey = field(repr=False)

    def verifies(self, signature: bytes, signed: bytes, hash_name: str = "sha256") -> bool:
        """Whether signature is this key's for these octets."""
        try:
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(signature, sha256(signed).digest())  # RFC 8463 §3
            else:
                self._key.verify(signature, signed, _PADDING, _HASHES[hash_name])
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the name that its record has: selector._domainkey.domain, both in A-labels."""

    domain: str
    selector: str
    key: PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        """As a= says it."""
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, signed: bytes) -> bytes:
        """The signature for these octets."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(signed, _PADDING, _HASHES["sha256"])
        return self.key.sign(sha256(signed).digest())


def load_signing_key(domain: str, selector: str, private: bytes) -> SigningKey:
    """private: the key in PKCS #8, DER, not encrypted. Raises BadValue for what is no key of RSA or Ed25519."""
    try:
        key = load_der_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadValue("private key") from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise BadValue("private key", because="neither RSA nor Ed25519")
    return SigningKey(domain, selector, key)


@lru_cache(maxsize=1024)
def load_public_key(kind: str, data: bytes) -> PublicKey:
    """The key in the p= of a record. kind: "rsa" (SubjectPublicKeyInfo or RSAPublicKey) or "ed25519" (32 octets).

    Its size is not judged here. Raises BadValue.
    """
    if len(data) > _KEY_BYTES:
        raise BadValue("public key", data, "too long")
    try:
        if kind == "ed25519":
            return PublicKey(kind, 256, Ed25519PublicKey.from_public_bytes(data))  # RFC 8463 §4.2
        key = load_der_public_key(data)
        if not isinstance(key, RSAPublicKey):
            raise BadValue("public key", data, "not of RSA")
        exponent = key.public_numbers().e
    except (ValueError, UnsupportedAlgorithm):  # BadValue is a ValueError
        raise BadValue("public key", data) from None
    if not 3 <= exponent < _MOST_EXPONENT or exponent % 2 == 0:
        raise BadValue("public key", data, "exponent")
    return PublicKey(kind, key.key_size, key)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What a TXT record says of a key (RFC 6376 §3.6.1). g= and n= are not read.

    data: p=, decoded; b"" if the key was revoked. hashes: h=, empty where all are allowed. for_mail: s= includes "email".
    testing: t=y. strict: t=s, the domain of i= must be that of d=.
    """

    kind: str
    data: bytes
    hashes: frozenset[str] = frozenset()
    for_mail: bool = True
    testing: bool = False
    strict: bool = False


def parse_key_record(value: bytes) -> KeyRecord:
    """Raises BadValue for what is no key record."""
    return _record_cached(value) if len(value) <= _CACHED_BYTES else _record(value)


def _record(value: bytes) -> KeyRecord:
    if len(value) > RECORD_BYTES:
        raise BadValue("key record", value, f"over {RECORD_BYTES} bytes")
    tags = parse_tags(value, "key record")
    if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != "DKIM1"):
        raise BadValue("key record", value, "v= is not DKIM1")
    if "p" not in tags:
        raise BadValue("key record", value, "no p=")
    try:
        data = base64.b64decode(without_space(tags["p"]), validate=True)
    except (binascii.Error, ValueError):
        raise BadValue("key record", value, "p= is not base64") from None
    flags = parts_of(tags.get("t", ""))
    return KeyRecord(
        kind=tags.get("k", "rsa").lower(),
        data=data,
        hashes=frozenset(parts_of(tags["h"].lower())) if tags.get("h") else frozenset(),
        for_mail=not {"*", "email"}.isdisjoint(parts_of(tags.get("s") or "*")),
        testing="y" in flags,
        strict="s" in flags,
    )


_record_cached = lru_cache(maxsize=1024)(_record)


def choose_record(values: Sequence[bytes], kind: str, hash_name: str) -> KeyRecord:
    """The one record of a selector that can have made a signature (RFC 6376 §6.1.2). Raises Unverified.

    values: its TXT records. Where there are several, those of another kind and what is no key record do not count.
    """
    found = []
    problem = "no key record"
    for value in values[:MOST_RECORDS]:
        try:
            found.append(parse_key_record(value))
        except BadValue as error:
            problem = f"no key record: {error.because or 'nonsense'}"
    if not found:
        raise Unverified(Result.PERMERROR, problem if values else "no key for the selector")
    fit = [record for record in found if record.kind == kind]
    if not fit and any(not record.data for record in found):  # "p=" alone revokes a key of any kind (RFC 6376 §3.6.1, §6.1.2)
        raise Unverified(Result.FAIL, "the key was revoked")
    if not fit:
        raise Unverified(Result.PERMERROR, "the key is of another kind than the signature")
    if len(fit) > 1:
        raise Unverified(Result.PERMERROR, "several keys of one selector")
    (record,) = fit
    if not record.data:
        raise Unverified(Result.FAIL, "the key was revoked")
    if not record.for_mail:
        raise Unverified(Result.PERMERROR, "the key is not for mail")
    if record.hashes and hash_name not in record.hashes:
        raise Unverified(Result.PERMERROR, "the key does not allow this hash")
    return record


def ask_for_key(domain: str, selector: str) -> Lookup[tuple[bytes, ...]]:
    """The TXT records of selector._domainkey.domain, both in A-labels. Raises Unverified where nobody could tell."""
    try:
        records = yield from ask(Txt, f"{selector}._domainkey.{domain}")
    except NoAnswer as error:
        raise Unverified(Result.TEMPERROR, f"the key could not be looked up: {error.answer.because or 'no answer'}") from None
    return tuple(record.value for record in records)


def key_records(domain: str, selector: str) -> Lookup[KeyRecords]:
    """As ask_for_key(), but raises nothing: for those who keep what came back."""
    try:
        return (yield from ask_for_key(domain, selector))
    except Unverified as error:
        return error


def usable_key(record: KeyRecord, rules: Rules = TODAY) -> PublicKey:
    """The key of a record, if its size is one to trust and to work with. Raises Unverified."""
    try:
        key = load_public_key(record.kind, record.data)
    except BadValue as error:
        raise Unverified(Result.PERMERROR, f"the key cannot be used{': ' + error.because if error.because else ''}") from None
    if key.kind == "rsa" and not rules.least_bits <= key.bits <= rules.most_bits:  # RFC 8301 §3.2
        raise Unverified(Result.POLICY, f"an RSA key of {key.bits} bits")
    return key

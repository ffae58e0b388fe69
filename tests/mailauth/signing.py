"""Keys, records and messages for the tests of signatures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicNumbers, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ekiden.base.clock import Millis
from ekiden.dns.questions import Answer, Broken, Question, answer_from, run_lookup
from ekiden.dns.records import Record, Txt
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim import DkimOutcome, sign, verify
from ekiden.mailauth.dkim_key import TODAY, Rules, SigningKey

NOW = Millis(1_763_718_906_000)
MESSAGE = (
    b"From: Alice <alice@one.test>\r\nTo: bob@two.test\r\nSubject: The  plan\r\nDate: Fri, 21 Nov 2025 10:55:06 +0100\r\n"
    b"Message-ID: <4711@one.test>\r\nContent-Type: text/plain\r\n\r\nHello  Bob, \r\n\r\nsee you.\r\n\r\n"
)
Zone = Mapping[str, Sequence[bytes]]


@cache
def rsa_key(bits: int = 2048) -> SigningKey:
    """sel._domainkey.one.test, made once a run."""
    return SigningKey("one.test", "sel", generate_private_key(65537, bits))


@cache
def ed_key() -> SigningKey:
    """ed._domainkey.one.test"""
    return SigningKey("one.test", "ed", Ed25519PrivateKey.generate())


def public_of(key: SigningKey) -> bytes:
    """What p= holds."""
    public = key.key.public_key()
    if isinstance(key.key, RSAPrivateKey):
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def odd_rsa(bits: int, exponent: int = 65537) -> bytes:
    """p= of an RSA key that has this size and is no key at all."""
    return RSAPublicNumbers(exponent, (1 << (bits - 1)) + 1).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def record_of(key: SigningKey, more: bytes = b"") -> bytes:
    """Its TXT record. more: tags with their semicolons."""
    kind = b"rsa" if isinstance(key.key, RSAPrivateKey) else b"ed25519"
    return b"v=DKIM1; k=" + kind + b"; " + more + b"p=" + base64.b64encode(public_of(key))


def name_of(key: SigningKey) -> str:
    """Where its record stands."""
    return f"{key.selector}._domainkey.{key.domain}"


def published(*keys: SigningKey, more: bytes = b"") -> dict[str, Sequence[bytes]]:
    """A zone with the records of these keys."""
    return {name_of(key): [record_of(key, more)] for key in keys}


def checked(raw: bytes, zone: Zone, rules: Rules = TODAY, now: Millis = NOW, asked: list[str] | None = None) -> tuple[DkimOutcome, ...]:
    """verify() with the DNS of zone: name to TXT values; b"SERVFAIL" and b"timeout" are failures."""
    records: dict[str, list[Record]] = {
        name: [Broken(value.decode()) if value in (b"SERVFAIL", b"timeout") else Txt((value,)) for value in values]
        for name, values in zone.items()
    }

    def answer(question: Question) -> Answer:
        if asked is not None:
            asked.append(question.name)
        return answer_from(records, question)

    return run_lookup(verify(raw, parse_headers(raw), now, rules), answer)


def signed(raw: bytes = MESSAGE, *keys: SigningKey, now: Millis = NOW, expires_s: int | None = None, identity: str = "") -> bytes:
    """The message with our signatures on top; by default of the RSA key."""
    return sign(raw, parse_headers(raw), keys or (rsa_key(),), now, expires_s=expires_s, identity=identity) + raw

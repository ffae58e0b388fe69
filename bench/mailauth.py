"""What a signature costs: microseconds beside bare cryptography and hashlib on the same octets, and beside dkimpy.

Run: python -m bench.mailauth. Each number is the best of several rounds of one process; a quiet machine matters.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import time
from collections.abc import Iterable

import dkim as dkimpy
from bench.micro import best_us
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ekiden.base.clock import Millis
from ekiden.dns.questions import Answer, Finding, Question, run_lookup
from ekiden.dns.records import Txt
from ekiden.mail.headers import parse_headers
from ekiden.mailauth.dkim import sign, verify
from ekiden.mailauth.dkim_key import SigningKey
from ekiden.mailauth.results import Result

_HEADER = (
    b"From: Alice <alice@one.test>\r\nTo: Bob <bob@two.test>\r\nSubject: The plan\r\nDate: Fri, 21 Nov 2025 10:55:06 +0100\r\n"
    b"Message-ID: <20251121095506.4711@one.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
)
_LINE = b"The quick brown fox jumps over the lazy dog, and then it sleeps.\r\n"
_NOW = Millis(int(time.time() * 1000))
_PADDING, _SHA256 = PKCS1v15(), SHA256()


def prose(size: int) -> bytes:
    """A message of text, every line with spaces."""
    return _HEADER + (_LINE * (size // len(_LINE) + 1))[: size - 2] + b"\r\n"


def attachment(size: int) -> bytes:
    """A message with an attachment in base64, as nearly all mail of that size is."""
    return _HEADER + base64.encodebytes(os.urandom(size * 3 // 4)).replace(b"\n", b"\r\n")[: size - 2] + b"\r\n"


def _record(key: SigningKey) -> bytes:
    public = key.key.public_key()
    if isinstance(key.key, RSAPrivateKey):
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _secret(key: SigningKey) -> bytes:
    """As dkimpy takes it."""
    if isinstance(key.key, RSAPrivateKey):
        return key.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return base64.b64encode(key.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def rows_of(what: str, raw: bytes, key: SigningKey, *, theirs: bool) -> Iterable[tuple[str, float, float, float]]:
    """(name, ours, bare, dkimpy) for verifying and signing; dkimpy 0 where it is not measured."""
    headers = parse_headers(raw)
    record = _record(key)
    sent = sign(raw, headers, [key], _NOW) + raw
    sent_headers = parse_headers(sent)
    answers = (Txt((record,)),)

    def ours() -> bool:
        found = run_lookup(verify(sent, sent_headers, _NOW), lambda question: _found(question, answers))
        return found[0].result is Result.PASS

    if not ours():
        raise SystemExit("what we sign does not pass")
    head, body = raw[: headers.body_at], raw[headers.body_at :]
    public, private = key.key.public_key(), key.key
    digest = hashlib.sha256(head).digest()
    if isinstance(private, RSAPrivateKey):
        signature = private.sign(head, _PADDING, _SHA256)

        def bare_verify() -> object:
            return hashlib.sha256(body).digest(), public.verify(signature, head, _PADDING, _SHA256)  # type: ignore[call-arg]

        def bare_sign() -> object:
            return hashlib.sha256(body).digest(), private.sign(head, _PADDING, _SHA256)
    else:
        signature = private.sign(digest)

        def bare_verify() -> object:
            return hashlib.sha256(body).digest(), public.verify(signature, hashlib.sha256(head).digest())  # type: ignore[call-arg]

        def bare_sign() -> object:
            return hashlib.sha256(body).digest(), private.sign(hashlib.sha256(head).digest())

    def their_verify() -> object:
        return dkimpy.verify(sent, dnsfunc=lambda name, timeout=5: record)

    def their_sign() -> object:
        return dkimpy.sign(
            raw, b"sel", b"one.test", _secret(key), canonicalize=(b"relaxed", b"relaxed"), signature_algorithm=key.algorithm.encode()
        )

    yield f"verify {what}", best_us(ours), best_us(bare_verify), best_us(their_verify) if theirs else 0
    yield f"sign {what}", best_us(lambda: sign(raw, headers, [key], _NOW)), best_us(bare_sign), best_us(their_sign) if theirs else 0


def _found(question: Question, answers: tuple[Txt, ...]) -> Answer:
    return Answer(question, Finding.FOUND, answers)


def main() -> None:
    """Print the table."""
    rsa = SigningKey("one.test", "sel", generate_private_key(65537, 2048))
    ed = SigningKey("one.test", "sel", Ed25519PrivateKey.generate())
    print("| | µs | bare µs | ratio to bare | dkimpy µs | times dkimpy |\n|---|---|---|---|---|---|")
    for what, raw, key, theirs in (
        ("RSA-2048, 4 KiB", prose(4096), rsa, True),
        ("RSA-2048, 1 MiB attachment", attachment(1 << 20), rsa, True),
        ("RSA-2048, 1 MiB prose", prose(1 << 20), rsa, False),
        ("Ed25519, 4 KiB", prose(4096), ed, True),
    ):
        for name, ours, bare, other in rows_of(what, raw, key, theirs=theirs):
            beside = f"{other:,.0f} | {other / ours:.1f}" if other else " | "
            print(f"| {name} | {ours:,.0f} | {bare:,.0f} | {ours / bare:.2f} | {beside} |", flush=True)
    for name in ("mailauth_spf", "mailauth_dmarc"):
        try:
            module = importlib.import_module(f"bench.{name}")
        except ImportError as missing:
            print(f"{name}: not measured ({missing})")
        else:
            module.main()


if __name__ == "__main__":
    main()

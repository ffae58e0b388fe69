"""DKIM: who vouches for a message, and our own signatures.

verify() is a lookup: it yields questions and does no I/O. Promise: at most eight signatures of a message are looked at, each asks one
question at most, equal bodies are hashed once, and a signature that cannot be read costs no question. A body that lies in a file is
fed to DkimCheck or DkimSigner piece by piece.
Source: RFC 6376 §5, RFC 6376 §6, RFC 8301 §3, RFC 8463 §3, RFC 8601 §2.7.1.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ekiden.base.clock import Millis
from ekiden.base.errors import BadValue
from ekiden.dns.questions import Lookup
from ekiden.mail.headers import Headers
from ekiden.mailauth.dkim_canonical import BodyHash, SignedFields, signature_field
from ekiden.mailauth.dkim_key import TODAY, KeyRecords, Rules, SigningKey, Unverified, choose_record, key_records, usable_key
from ekiden.mailauth.dkim_signature import Signature, parse_signature
from ekiden.mailauth.results import Evidence, Result

SKEW_S = 600
"""By how much the clock of a signer may be ahead of ours."""
OVERSIGNED = (
    "from", "to", "cc", "subject", "date", "message-id", "content-type",
    "reply-to", "mime-version", "content-transfer-encoding", "in-reply-to", "references",
)  # fmt: skip
"""Fields that are signed once more than they are there, so that none can be added (RFC 6376 §8.15)."""
SIGNED = (
    "sender", "content-id", "content-description", "resent-date", "resent-from", "resent-to", "resent-cc",
    "list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "list-owner", "list-archive",
)  # fmt: skip
"""Fields that are signed where they are there (RFC 6376 §5.4.1)."""

_COUNTED = tuple(name.encode() for name in (*OVERSIGNED, *SIGNED))
_MOST_OF_ONE_NAME = 20
_LINE = 76
_NOT_PLAIN = re.compile(r"[^!-:<>-~]")


@dataclass(frozen=True, slots=True)
class DkimOutcome:
    """What became of one signature.

    domain, selector: of d= and s=, A-labels in lower case; "" if the signature could not be read. identity: i=, or "@domain".
    algorithm: of a=. key_bits: 0 if no key was found. partial: an l= leaves a part of the body uncovered, so that a PASS says nothing
    about what a reader sees. testing: the domain says that it is only trying (t=y), so that what fails is NEUTRAL.
    mark: how b= begins, to tell signatures apart (RFC 6008 §4). because: why, for the journey.
    """

    result: Result
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    key_bits: int = 0
    partial: bool = False
    testing: bool = False
    mark: str = ""
    because: str = ""

    def evidence(self) -> Evidence:
        """As one result of Authentication-Results (RFC 8601 §2.7.1)."""
        about = {"header.d": self.domain, "header.s": self.selector, "header.a": self.algorithm, "header.b": self.mark}
        if self.identity and self.identity != f"@{self.domain}":
            about["header.i"] = self.identity
        return Evidence("dkim", self.result, {name: value for name, value in about.items() if value}, self.because)


class DkimCheck:
    """The signatures of one message. Feed the body with update(), then run outcomes()."""

    def __init__(self, headers: Headers, now: Millis, rules: Rules = TODAY) -> None:
        self._rules = rules
        self._now_s = now // 1000
        self._found: list[tuple[int, Signature | DkimOutcome]] = []
        self._bodies: dict[tuple[str, bool, int | None], BodyHash] = {}
        self._digests: dict[tuple[str, bool, int | None], tuple[bytes, int]] = {}
        for place, (name, value) in enumerate(headers.fields):
            if len(name) == 14 and name.lower() == b"dkim-signature" and len(self._found) < rules.signatures:
                self._found.append((place, self._read(value)))
        self._fields = SignedFields(headers) if self._found else None

    def update(self, raw: bytes, at: int = 0) -> None:
        """The next octets of the body, raw from offset at."""
        for body in self._bodies.values():
            body.update(raw, at)

    def outcomes(self) -> Lookup[tuple[DkimOutcome, ...]]:
        """One for each signature, from the top. The body has ended."""
        keys = {}
        for who in self.needed():
            keys[who] = yield from key_records(*who)
        return self.judged(keys)

    def needed(self) -> tuple[tuple[str, str], ...]:
        """The domain and selector of each key that is needed, in order, each once; see key_records()."""
        return tuple(dict.fromkeys((found.domain, found.selector) for _, found in self._found if isinstance(found, Signature)))

    def judged(self, keys: Mapping[tuple[str, str], KeyRecords]) -> tuple[DkimOutcome, ...]:
        """As outcomes(), once the keys are known."""
        self._digests = {kind: (body.digest(), body.length) for kind, body in self._bodies.items()}
        self._bodies = {}
        return tuple(
            self._judged(place, found, keys[found.domain, found.selector]) if isinstance(found, Signature) else found
            for place, found in self._found
        )

    def _read(self, value: bytes) -> Signature | DkimOutcome:
        """A signature, or what can be said of one before its key is known."""
        try:
            signature = parse_signature(value)
        except BadValue as error:
            return DkimOutcome(Result.PERMERROR, because=error.because or "no list of tags")
        try:
            self._acceptable(signature)
        except Unverified as error:
            return _outcome(signature, error.result, because=error.because)
        kind = _kind(signature)
        if kind not in self._bodies:
            self._bodies[kind] = BodyHash(relaxed=signature.relaxed_body, limit=signature.limit, algorithm=signature.hash_name)
        return signature

    def _acceptable(self, signature: Signature) -> None:
        """Version, algorithm and times (RFC 6376 §6.1.1). Raises Unverified."""
        if signature.version not in self._rules.versions:
            raise Unverified(Result.PERMERROR, "v= is not 1")
        if not signature.is_known:
            raise Unverified(Result.NEUTRAL, "an algorithm that we do not know")
        if signature.hash_name not in self._rules.hashes:
            raise Unverified(Result.FAIL, f"{signature.algorithm} is not accepted any more")  # RFC 8301 §3.1
        if not signature.asks_dns:
            raise Unverified(Result.NEUTRAL, "q= names no way that we know")
        at, expires = signature.at, signature.expires
        if at is not None and expires is not None and expires <= at:
            raise Unverified(Result.FAIL, "expired before it was made")
        if expires is not None and expires < self._now_s:
            raise Unverified(Result.FAIL, "expired")
        if at is not None and at > self._now_s + SKEW_S:
            raise Unverified(Result.FAIL, "made in the future")

    def _judged(self, place: int, signature: Signature, answer: KeyRecords) -> DkimOutcome:
        testing, bits = False, 0
        try:
            if isinstance(answer, Unverified):
                raise answer
            record = choose_record(answer, signature.kind, signature.hash_name)
            testing = record.testing
            key = usable_key(record, self._rules)
            bits = key.bits
            if record.strict and signature.identity_domain != signature.domain:
                raise Unverified(Result.PERMERROR, "i= is below d=, which the key does not allow")
            digest, length = self._digests[_kind(signature)]
            if signature.limit is not None and signature.limit > length:
                raise Unverified(Result.PERMERROR, "l= is longer than the body")
            if not hmac.compare_digest(digest, signature.body_hash):
                raise Unverified(Result.FAIL, "the body is not what was signed")
            if not key.verifies(signature.signature, self._signed(place, signature), signature.hash_name):
                raise Unverified(Result.FAIL, "the header is not what was signed, or another key signed it")
        except Unverified as error:
            tried = error.result is Result.FAIL and testing  # RFC 6376 §3.6.1: as if it were not signed
            return _outcome(signature, Result.NEUTRAL if tried else error.result, bits, testing=testing, because=error.because)
        partial = signature.limit is not None and signature.limit < length
        because = f"l= covers {signature.limit} of {length} octets" if partial else ""
        return _outcome(signature, Result.PASS, bits, testing=testing, partial=partial, because=because)

    def _signed(self, place: int, signature: Signature) -> bytes:
        """What the signature was made over (RFC 6376 §3.7)."""
        if self._fields is None:
            return b""
        relaxed = signature.relaxed_header
        picked = self._fields.pick(signature.names, relaxed=relaxed, without=place)
        picked.append(self._fields.signature_at(place, relaxed=relaxed))
        return b"".join(picked)


def verify(raw: bytes, headers: Headers, now: Millis, rules: Rules = TODAY) -> Lookup[tuple[DkimOutcome, ...]]:
    """What becomes of each signature of a message, from the top; empty if there is none.

    raw: the message as it went over the wire. headers: of it. now: when it arrived.
    """
    check = DkimCheck(headers, now, rules)
    check.update(raw, headers.body_at)
    return (yield from check.outcomes())


def _kind(signature: Signature) -> tuple[str, bool, int | None]:
    return signature.hash_name, signature.relaxed_body, signature.limit


def _outcome(
    signature: Signature, result: Result, key_bits: int = 0, *, testing: bool = False, partial: bool = False, because: str = ""
) -> DkimOutcome:
    mark = base64.b64encode(signature.signature[:6]).decode("ascii")
    return DkimOutcome(
        result, signature.domain, signature.selector, signature.identity, signature.algorithm, key_bits, partial, testing, mark, because
    )


class DkimSigner:
    """Our signatures for one message. Feed the body with update(), then take fields().

    expires_s: how long they are good for, or None. identity: i=, an address at the domain of each key or below it, or "@" and such a
    domain; "" for none. Raises BadValue for an identity of elsewhere.
    """

    def __init__(
        self, headers: Headers, keys: Sequence[SigningKey], now: Millis, *, expires_s: int | None = None, identity: str = ""
    ) -> None:
        self._keys = keys
        self._at = now // 1000
        self._expires_s = expires_s
        self._identity = _quoted(identity) if identity else ""
        below = identity.rpartition("@")[2].lower()
        for key in keys:
            if identity and not (below == key.domain or below.endswith("." + key.domain)):
                raise BadValue("identity", identity, f"not of {key.domain}")
        names, self._names = _to_sign(tuple([headers.count(name) for name in _COUNTED]))
        self._signed = b"".join(SignedFields(headers).pick(names, relaxed=True))
        self._body = BodyHash()

    def update(self, raw: bytes, at: int = 0) -> None:
        """The next octets of the body, raw from offset at."""
        self._body.update(raw, at)

    def fields(self) -> bytes:
        """A DKIM-Signature field for each key, in their order, with CRLF, to be put on top of the message."""
        body_hash = base64.b64encode(self._body.digest()).decode("ascii")
        return b"".join(self._field(key, body_hash) for key in self._keys)

    def _field(self, key: SigningKey, body_hash: str) -> bytes:
        tags = [f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain}; s={key.selector}"]
        times = f"t={self._at}"
        if self._expires_s is not None:
            times += f"; x={self._at + self._expires_s}"
        tags.append(times)
        if self._identity:
            tags.append(f"i={self._identity}")
        tags.append("h=" + self._names)
        tags.append(f"bh={body_hash}")
        value = (" " + ";\r\n\t".join(tags) + ";\r\n\tb=").encode("ascii")
        signature = base64.b64encode(key.sign(self._signed + signature_field(b"DKIM-Signature", value, relaxed=True)))
        lines = [signature[at : at + _LINE - 4] for at in range(0, len(signature), _LINE - 4)]
        return b"DKIM-Signature:" + value + b"\r\n\t ".join(lines) + b"\r\n"


def sign(
    raw: bytes, headers: Headers, keys: Sequence[SigningKey], now: Millis, *, expires_s: int | None = None, identity: str = ""
) -> bytes:
    """DKIM-Signature fields for a message, one a key; see DkimSigner. raw: the message as it will go over the wire, CRLF at line ends."""
    signer = DkimSigner(headers, keys, now, expires_s=expires_s, identity=identity)
    signer.update(raw, headers.body_at)
    return signer.fields()


@lru_cache(maxsize=256)
def _to_sign(counts: tuple[int, ...]) -> tuple[tuple[bytes, ...], str]:
    """The names of the fields to sign, and the same as h= has them. counts: how many there are of each name in _COUNTED."""
    names: list[str] = []
    for name, count in zip((*OVERSIGNED, *SIGNED), counts, strict=True):
        names += [name] * (min(count, _MOST_OF_ONE_NAME) + (name in OVERSIGNED))
    return tuple(name.encode() for name in names), _folded(names)


def _folded(names: Sequence[str]) -> str:
    """Names with colons, in lines."""
    lines = [names[0]]
    for name in names[1:]:
        if len(lines[-1]) + len(name) > _LINE - 6:
            lines.append(name)
        else:
            lines[-1] += ":" + name
    return ":\r\n\t ".join(lines)


def _quoted(identity: str) -> str:
    """dkim-quoted-printable (RFC 6376 §2.11)."""
    return _NOT_PLAIN.sub(lambda match: "".join(f"={octet:02X}" for octet in match[0].encode()), identity)

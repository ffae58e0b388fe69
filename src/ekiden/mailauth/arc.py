"""ARC: who handled a message on its way, what each of them had found, and our own seal.

verify_chain() is a lookup: it yields questions and does no I/O. Promise: a chain whose structure is wrong asks nothing; each key is asked
for once; the first failure ends the asking. What nobody could tell now is a failure too, and stays one (RFC 8617 §5.2.1).
A body that lies in a file is fed to ArcCheck or ArcSealer piece by piece.
Source: RFC 8617 §5, RFC 8617 §6, RFC 8601 §2.7.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ekiden.base.clock import Millis
from ekiden.dns.questions import Lookup
from ekiden.mail.headers import Headers
from ekiden.mailauth.arc_set import MOST_SETS, ArcSet, Chain, read_chain
from ekiden.mailauth.auth_results import results_of
from ekiden.mailauth.dkim import OVERSIGNED, SIGNED, SKEW_S
from ekiden.mailauth.dkim_canonical import BodyHash, SignedFields, relaxed_field, signature_field
from ekiden.mailauth.dkim_key import TODAY, Rules, SigningKey, Unverified, ask_for_key, choose_record, usable_key
from ekiden.mailauth.dkim_signature import Signature
from ekiden.mailauth.results import Evidence, Result

MOST_BODIES = 4
"""How many ways to hash the body the signatures of one chain may ask for; older signatures that want more do not count."""

_MOST_OF_ONE_NAME = 20
_LINE = 72
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_LINE_END = re.compile(rb"[\r\n]+")


@dataclass(frozen=True, slots=True)
class ArcOutcome:
    """What became of a chain. result: NONE, PASS or FAIL, nothing else (RFC 8617 §4.4).

    sets: oldest first; empty where the structure is wrong. Only if result is PASS may anybody believe what they hold.
    oldest_pass: 0 if every message signature is still good, else the lowest instance from which on they are (RFC 8617 §5.2, step 5).
    highest: the greatest instance in the header. failed_at: the instance whose seal says that the chain had failed before, else 0.
    partial: the newest message signature has an l= that leaves a part of the body uncovered.
    temporary: it failed because a key could not be looked up. because: why, for the journey.
    """

    result: Result
    sets: tuple[ArcSet, ...] = ()
    oldest_pass: int = 0
    highest: int = 0
    failed_at: int = 0
    partial: bool = False
    temporary: bool = False
    because: str = ""

    @property
    def sealers(self) -> tuple[str, ...]:
        """The domains of the seals, oldest first."""
        return tuple(each.seal.domain for each in self.sets)

    def evidence(self) -> Evidence:
        """As one result of Authentication-Results (RFC 8617 §6)."""
        about = {"header.oldest-pass": str(self.oldest_pass)} if self.result is Result.PASS else {}
        return Evidence("arc", self.result, about, self.because)


NO_CHAIN = ArcOutcome(Result.NONE)


class ArcCheck:
    """The chain of one message. Feed the body with update(), then run outcome()."""

    def __init__(self, headers: Headers, now: Millis, rules: Rules = TODAY) -> None:
        self._rules = rules
        self._now_s = now // 1000
        self._chain = read_chain(headers)
        self._fault = self._chain.fault
        self._fields = SignedFields(headers)
        self._bodies: dict[tuple[bool, int | None], BodyHash] = {}
        self._digests: dict[tuple[bool, int | None], tuple[bytes, int]] = {}
        self._answers: dict[tuple[str, str], tuple[bytes, ...] | Unverified] = {}
        if self._chain.sets:
            try:
                self._prepare()
            except Unverified as error:
                self._fault = error.because

    def update(self, raw: bytes, at: int = 0) -> None:
        """The next octets of the body, raw from offset at."""
        for body in self._bodies.values():
            body.update(raw, at)

    def outcome(self) -> Lookup[ArcOutcome]:
        """The body has ended."""
        chain = self._chain
        if self._fault or not chain.sets:
            if not chain.highest and not self._fault:
                return NO_CHAIN
            return ArcOutcome(Result.FAIL, highest=chain.highest, failed_at=chain.failed_at, because=self._fault)
        self._digests = {kind: (body.digest(), body.length) for kind, body in self._bodies.items()}
        self._bodies = {}
        newest = chain.sets[-1]
        try:
            yield from self._check_message(newest)
            yield from self._check_seals()
        except Unverified as error:
            temporary = error.result is Result.TEMPERROR
            return ArcOutcome(Result.FAIL, chain.sets, highest=chain.highest, temporary=temporary, because=error.because)
        oldest = yield from self._oldest_pass()
        limit, length = _limit(newest), self._digests[_kind(newest)][1]
        partial = limit is not None and limit < length
        because = f"l= covers {limit} of {length} octets" if partial else ""
        return ArcOutcome(Result.PASS, chain.sets, oldest, chain.highest, partial=partial, because=because)

    def _prepare(self) -> None:
        """All that can be said without a key. Raises Unverified."""
        newest = self._chain.sets[-1]
        self._acceptable(newest)
        for each in self._chain.sets:
            if each.seal.hash_name not in self._rules.hashes or not each.seal.is_known:
                raise Unverified(Result.FAIL, f"seal {each.instance}: {each.seal.algorithm} is not accepted")
        for each in reversed(self._chain.sets):
            if each.message is not None and (_kind(each) in self._bodies or len(self._bodies) < MOST_BODIES):
                relaxed, limit = _kind(each)
                self._bodies.setdefault((relaxed, limit), BodyHash(relaxed=relaxed, limit=limit))

    def _acceptable(self, each: ArcSet) -> None:
        signature, what = each.message, f"message signature {each.instance}"
        if signature is None:
            raise Unverified(Result.PERMERROR, f"{what} cannot be read")
        if not signature.is_known or signature.hash_name not in self._rules.hashes or not signature.asks_dns:
            raise Unverified(Result.FAIL, f"{what}: {signature.algorithm} is not accepted")
        if signature.expires is not None and signature.expires < self._now_s:
            raise Unverified(Result.FAIL, f"{what} has expired")
        if signature.at is not None and signature.at > self._now_s + SKEW_S:
            raise Unverified(Result.FAIL, f"{what} was made in the future")

    def _check_message(self, each: ArcSet) -> Lookup[None]:
        """Raises Unverified unless the message signature of this set is good. The body is compared before anybody is asked."""
        self._acceptable(each)
        signature, what = each.message, f"message signature {each.instance}"
        if signature is None or _kind(each) not in self._digests:
            raise Unverified(Result.FAIL, f"{what} was not looked at")
        digest, length = self._digests[_kind(each)]
        if signature.limit is not None and signature.limit > length:
            raise Unverified(Result.FAIL, f"{what}: l= is longer than the body")
        if not hmac.compare_digest(digest, signature.body_hash):
            raise Unverified(Result.FAIL, f"{what}: the body is not what was signed")
        relaxed, place = signature.relaxed_header, each.at[1]
        signed = self._fields.pick(signature.names, relaxed=relaxed, without=place)
        signed.append(self._fields.signature_at(place, relaxed=relaxed))
        yield from self._check(signature, b"".join(signed), what)

    def _check_seals(self) -> Lookup[None]:
        """Newest first (RFC 8617 §5.2, step 6); each is made over all sets up to its own. Raises Unverified."""
        forms = [[self._fields.relaxed_at(place) for place in each.at] for each in self._chain.sets]
        for count in range(len(forms), 0, -1):
            each = self._chain.sets[count - 1]
            signed = [form for three in forms[: count - 1] for form in three]
            signed += [*forms[count - 1][:2], self._fields.signature_at(each.at[2], relaxed=True)]
            yield from self._check(each.seal, b"".join(signed), f"seal {each.instance}")

    def _oldest_pass(self) -> Lookup[int]:
        oldest = self._chain.sets[-1].instance
        for each in reversed(self._chain.sets[:-1]):
            try:
                yield from self._check_message(each)
            except Unverified:
                return oldest
            oldest = each.instance
        return 0

    def _check(self, signature: Signature, signed: bytes, what: str) -> Lookup[None]:
        who = (signature.domain, signature.selector)
        if who not in self._answers:
            try:
                self._answers[who] = yield from ask_for_key(*who)
            except Unverified as error:
                self._answers[who] = error
        answer = self._answers[who]
        try:
            if isinstance(answer, Unverified):
                raise answer
            key = usable_key(choose_record(answer, signature.kind, signature.hash_name), self._rules)
        except Unverified as error:
            raise Unverified(error.result, f"{what}: {error.because}") from None
        if not key.verifies(signature.signature, signed, signature.hash_name):
            raise Unverified(Result.FAIL, f"{what}: not what was signed, or another key signed it")


def verify_chain(raw: bytes, headers: Headers, now: Millis, rules: Rules = TODAY) -> Lookup[ArcOutcome]:
    """What becomes of the chain of a message. raw: as it went over the wire. headers: of it. now: when it arrived."""
    check = ArcCheck(headers, now, rules)
    check.update(raw, headers.body_at)
    return (yield from check.outcome())


def own_results(headers: Headers, authserv_id: str) -> bytes:
    """All Authentication-Results fields of this id in one payload, in order, comments kept; b"" if there are none (RFC 8617 §4.1.1)."""
    found = [rest for value in headers.all(b"authentication-results") if (rest := results_of(value, authserv_id)) is not None]
    return b"; ".join([authserv_id.encode(), *found]) if found else b""


@dataclass(slots=True)
class ArcSealer:
    """Our seal for one message as it leaves. Feed the body with update(), then take fields().

    headers: with all other changes made, our DKIM-Signature too. results: what we had found when it came, as own_results() or
    authentication_results() give it. outcome: of its chain when it came. names: the fields that are signed, in order; None for
    the usual ones. as_published: tags in the order of the alphabet and b= on one line, as published test data have them.
    """

    headers: Headers
    results: bytes
    outcome: ArcOutcome
    key: SigningKey
    now: Millis
    names: Sequence[str] | None = None
    as_published: bool = False
    _chain: Chain = field(init=False)
    _body: BodyHash = field(init=False)

    def __post_init__(self) -> None:
        self._chain = read_chain(self.headers)
        self._body = BodyHash()

    @property
    def declines(self) -> bool:
        """Nothing is added: the chain had failed before it came to us (RFC 8617 §5.1, step 2), or is as long as any may be."""
        highest = self._chain.highest
        return highest >= MOST_SETS or bool(highest and self._chain.failed_at == highest)

    def update(self, raw: bytes, at: int = 0) -> None:
        """The next octets of the body, raw from offset at."""
        self._body.update(raw, at)

    def fields(self) -> bytes:
        """ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results with CRLF, to be put on top; b"" if we decline."""
        if self.declines:
            return b""
        instance = self._chain.highest + 1
        results = b" i=%d; %b" % (instance, _LINE_END.sub(b"\0", _FOLD.sub(b"\0", self.results)).replace(b"\0", b"\r\n\t"))
        results = re.sub(rb"\r\n\t[ \t]*", b"\r\n\t", results).rstrip(b" \t\r\n;")
        message = self._message(instance)
        seal = self._seal(instance, results, message)
        return b"ARC-Seal:%b\r\nARC-Message-Signature:%b\r\nARC-Authentication-Results:%b\r\n" % (seal, message, results)

    def _message(self, instance: int) -> bytes:
        names = list(_to_sign(self.headers) if self.names is None else self.names)
        fields = SignedFields(self.headers).pick([name.encode() for name in names], relaxed=True)
        tags = {
            **self._common(instance), "c": "relaxed/relaxed", "h": _folded(names),
            "bh": base64.b64encode(self._body.digest()).decode(), "b": "",
        }  # fmt: skip
        return self._signed(b"ARC-Message-Signature", tags, b"".join(fields))

    def _seal(self, instance: int, results: bytes, message: bytes) -> bytes:
        """Over all sets, or over ours alone where the chain has failed (RFC 8617 §5.1.2)."""
        claim = "none" if instance == 1 else "pass"
        failed = self.outcome.result is Result.FAIL or bool(self._chain.fault) or len(self._chain.sets) != instance - 1
        if failed:
            claim = "fail"
        before = [] if failed else [relaxed_field(*self.headers.fields[place]) for each in self._chain.sets for place in each.at]
        before += [relaxed_field(b"ARC-Authentication-Results", results), relaxed_field(b"ARC-Message-Signature", message)]
        return self._signed(b"ARC-Seal", {**self._common(instance), "cv": claim, "b": ""}, b"".join(before))

    def _common(self, instance: int) -> dict[str, str]:
        return {
            "i": str(instance), "a": self.key.algorithm, "t": str(self.now // 1000), "d": self.key.domain, "s": self.key.selector,
        }  # fmt: skip

    def _signed(self, name: bytes, tags: dict[str, str], before: bytes) -> bytes:
        """The value of a field with its b= filled in."""
        order = sorted(tags) if self.as_published else list(tags)
        lines = [f" {order[0]}={tags[order[0]]}"]
        for tag in order[1:]:
            text = f"{tag}={tags[tag]}"
            lines[-1] += ";"
            room = _LINE - (len(name) if len(lines) == 1 else 0)
            if tag == "b" or len(lines[-1]) + len(text) > room:
                lines.append(f"\t{text}")
            else:
                lines[-1] += f" {text}"
        value = "\r\n".join(lines).encode()
        signature = base64.b64encode(self.key.sign(before + signature_field(name, value, relaxed=True)))
        step = len(signature) if self.as_published else _LINE
        folded = b"\r\n\t ".join(signature[at : at + step] for at in range(0, len(signature), step))
        head, tail = value.split(b"\tb=")
        return head + b"\tb=" + folded + tail


def seal(
    raw: bytes, headers: Headers, results: bytes, outcome: ArcOutcome, key: SigningKey, now: Millis, *, names: Sequence[str] | None = None
) -> bytes:
    """The three fields to put on top of a message, b"" if we decline; see ArcSealer. raw: as it will go over the wire."""
    sealer = ArcSealer(headers, results, outcome, key, now, names)
    if sealer.declines:
        return b""
    sealer.update(raw, headers.body_at)
    return sealer.fields()


def _to_sign(headers: Headers) -> list[str]:
    """As our DKIM signs, and the DKIM-Signature fields (RFC 8617 §4.1.2); never Authentication-Results, which others may delete."""
    names: list[str] = []
    for name in OVERSIGNED:
        names += [name] * (min(headers.count(name.encode()), _MOST_OF_ONE_NAME) + 1)
    for name in (*SIGNED, "dkim-signature"):
        names += [name] * min(headers.count(name.encode()), _MOST_OF_ONE_NAME)
    return names


def _folded(names: Sequence[str]) -> str:
    lines = [names[0]]
    for name in names[1:]:
        if len(lines[-1]) + len(name) > _LINE - 4:
            lines.append(name)
        else:
            lines[-1] += ":" + name
    return ":\r\n\t ".join(lines)


def _kind(each: ArcSet) -> tuple[bool, int | None]:
    return (each.message.relaxed_body, each.message.limit) if each.message is not None else (True, None)


def _limit(each: ArcSet) -> int | None:
    return None if each.message is None else each.message.limit

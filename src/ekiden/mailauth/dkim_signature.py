"""The DKIM-Signature field as a value; ARC-Message-Signature has the same tags.

Pure. What cannot be a signature is refused whole; no tag is guessed.
Source: RFC 6376 §3.5, RFC 6376 §6.1.1, RFC 8463 §3, RFC 8616 §5.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii
from ekiden.mailauth.dkim_tags import parse_tags, parts_of, without_space

MOST_NAMES = 500
"""How many names h= may have."""
NEVER = 10**12
"""A time of more than twelve digits, in seconds (RFC 6376 §3.5)."""

_WHAT = "DKIM-Signature"
_CACHED = 2 << 10
_SPACE = b" \t\r\n"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMES = re.compile("[!-9<-~]+(?::[!-9<-~]+)*")  # ":" parts them and ";" parts tags
_DIGITS = re.compile("[0-9]{1,76}")
_ALGORITHM = re.compile("([a-z][a-z0-9]*)-([a-z][a-z0-9]*)")
_FORMS = {"simple": False, "relaxed": True}
_SIGNATURE_BYTES = 1 << 10  # 8,192 bits
_HASH_BYTES = {"sha256": 32, "sha1": 20}
_KINDS = {("rsa", "sha256"), ("rsa", "sha1"), ("ed25519", "sha256")}


class Signature(NamedTuple):
    """One signature as written, in its own terms.

    version: v=, or "". kind and hash_name: of a=, each perhaps unknown to us. domain, selector: lower case, A-labels.
    identity: i= without white space, as written; "@" and the domain where there is none. names: of h=, lower case.
    relaxed_header, relaxed_body: of c=. limit: l=. at, expires: t= and x= in seconds since 1970, or None.
    asks_dns: q= includes dns/txt (or dns, as in old drafts), or is absent.
    """

    version: str
    kind: str
    hash_name: str
    domain: str
    selector: str
    identity: str
    names: tuple[bytes, ...]
    body_hash: bytes
    signature: bytes
    relaxed_header: bool = False
    relaxed_body: bool = False
    limit: int | None = None
    at: int | None = None
    expires: int | None = None
    asks_dns: bool = True

    @property
    def algorithm(self) -> str:
        """As a= says it."""
        return f"{self.kind}-{self.hash_name}"

    @property
    def is_known(self) -> bool:
        """Whether we could verify such a signature at all."""
        return (self.kind, self.hash_name) in _KINDS

    @property
    def identity_domain(self) -> str:
        """The domain of i=, lower case."""
        return self.identity.rpartition("@")[2].lower()


def parse_signature(value: bytes) -> Signature:
    """Read the value of a DKIM-Signature field, folded or not. Raises BadValue with because in words of ours."""
    return signature_of(parse_tags(value, _WHAT))


def signature_of(tags: Mapping[str, str], *, default_identity: bool = False) -> Signature:
    """The same of tags already read. default_identity: i= means something else there (ARC), so it is not read."""
    for name in ("a", "b", "bh", "d", "h", "s"):
        if not tags.get(name):
            raise BadValue(_WHAT, because=f"no {name}=")
    h, i, q = tags["h"], tags.get("i"), tags.get("q")
    read = _setup if len(h) + len(tags["d"]) + len(tags["s"]) + len(i or "") + len(q or "") <= _CACHED else _setup.__wrapped__
    setup = read(tags["a"], tags.get("c", "simple/simple"), tags["d"], tags["s"], h, None if default_identity else i, q)
    body_hash = _octets(tags["bh"], "bh")
    if len(body_hash) != _HASH_BYTES.get(setup.hash_name, len(body_hash)):
        raise BadValue(_WHAT, because="bh= is not as long as the hash")
    return Signature(
        tags.get("v", ""), setup.kind, setup.hash_name, setup.domain, setup.selector, setup.identity, setup.names,
        body_hash, _octets(tags["b"], "b"), setup.relaxed_header, setup.relaxed_body,
        _number(tags, "l"), _time(tags, "t"), _time(tags, "x"), setup.asks_dns,
    )  # fmt: skip


class _Setup(NamedTuple):
    """What a signer says of all his messages with the same fields."""

    kind: str
    hash_name: str
    domain: str
    selector: str
    identity: str
    names: tuple[bytes, ...]
    relaxed_header: bool
    relaxed_body: bool
    asks_dns: bool


@lru_cache(maxsize=1024)
def _setup(a: str, c: str, d: str, s: str, h: str, i: str | None, q: str | None) -> _Setup:
    algorithm = _ALGORITHM.fullmatch(a.lower())
    if algorithm is None:
        raise BadValue(_WHAT, because="a= is no algorithm")
    domain = _domain(d)
    asks_dns = q is None or not {"dns/txt", "dns"}.isdisjoint(parts_of(q.lower()))
    return _Setup(algorithm[1], algorithm[2], domain, _selector(s, domain), _identity(i, domain), _names(h), *_forms(c), asks_dns)


def _domain(text: str) -> str:
    """d=: at least two labels (RFC 6376 §3.5), U-labels as A-labels (RFC 8616 §5)."""
    name = _ascii(text)
    if "." not in name or len(name) > 253 or not _NAME.fullmatch(name):
        raise BadValue(_WHAT, text, "d= is no domain")
    return name


def _selector(text: str, domain: str) -> str:
    name = _ascii(text)
    if not _NAME.fullmatch(name) or len(name) + len("._domainkey.") + len(domain) > 253:
        raise BadValue(_WHAT, text, "s= is no selector")
    return name


def _ascii(text: str) -> str:
    if text.isascii():
        return text.lower()
    try:
        return to_ascii(text)
    except BadValue:
        raise BadValue(_WHAT, text, "a name that no domain has") from None


def _identity(text: str | None, domain: str) -> str:
    """i=: its domain is that of d= or lies below it (RFC 6376 §6.1.1). It is in quoted-printable, as is its domain."""
    if text is None:
        return f"@{domain}"
    identity = without_space(text)
    local, at, below = identity.rpartition("@")
    try:
        below = _ascii(_unquoted(below))
    except BadValue:
        raise BadValue(_WHAT, text, "i= is no identity") from None
    if not at or not (below == domain or below.endswith("." + domain)) or not _NAME.fullmatch(below):
        raise BadValue(_WHAT, text, "i= is not of the domain of d=")
    return f"{local}@{below}"


def _unquoted(text: str) -> str:
    """Undo dkim-quoted-printable (RFC 6376 §2.11)."""
    return re.sub("=([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)


def _names(text: str) -> tuple[bytes, ...]:
    """h=: not empty, with From (RFC 6376 §5.4)."""
    joined = without_space(text).lower()
    if not _NAMES.fullmatch(joined):
        raise BadValue(_WHAT, text, "h= is no list of names")
    names = tuple(joined.encode("ascii").split(b":"))
    if len(names) > MOST_NAMES:
        raise BadValue(_WHAT, text, f"h= has over {MOST_NAMES} names")
    if b"from" not in names:
        raise BadValue(_WHAT, text, "h= does not have From")
    return names


def _forms(text: str) -> tuple[bool, bool]:
    """c=: (relaxed header, relaxed body)."""
    header, slash, body = text.lower().partition("/")
    try:
        return _FORMS[header], _FORMS[body] if slash else False
    except KeyError:
        raise BadValue(_WHAT, text, "c= is no canonicalization") from None


def _octets(text: str, name: str) -> bytes:
    try:
        plain = text.encode("ascii").translate(None, _SPACE)
        if len(plain) > _SIGNATURE_BYTES * 4 // 3 + 4:
            raise BadValue(_WHAT, text, f"{name}= is too long")
        return binascii.a2b_base64(plain, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadValue(_WHAT, text, f"{name}= is not base64") from None


def _number(tags: Mapping[str, str], name: str) -> int | None:
    text = tags.get(name)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text):
        raise BadValue(_WHAT, text, f"{name}= is no number")
    return int(text)


def _time(tags: Mapping[str, str], name: str) -> int | None:
    number = _number(tags, name)
    return None if number is None else min(number, NEVER)

"""Authentication-Results fields of others: what they say, and which of them pretend to be ours.

Tolerant, for much of what is sent has properties without a type, no identity in front, or values that should be in quotes. Never
raises, for any bytes; bounded in statements and properties; the time is linear in the length. Comments are dropped.
Nobody may believe such a field because of what stands in it: see forged_fields(), and ARC, which says who vouches.
Source: RFC 8601 §2.2 (grammar), RFC 8601 §5 (forged fields).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ekiden.base.errors import BadValue
from ekiden.dns.names import to_ascii
from ekiden.mail.encodings import decode_words
from ekiden.mail.headers import Headers
from ekiden.mail.parameters import strip_comments
from ekiden.mailauth.results import Evidence, Result

FIELD_READ = 16 << 10
"""How many bytes of a field are read."""
STATEMENTS = 100
"""The most statements of one field that are read."""
PROPERTIES = 32
"""The most properties of one statement that are kept."""
_NAME_READ = 2000

_NAME = b"authentication-results"
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_LINE_END = re.compile(rb"[\r\n]")
_SEGMENT = re.compile(rb'((?:[^;"\\]++|\\.|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|\\\Z)*+)(;|\Z)', re.DOTALL)
_IDENTITY = re.compile(rb'[ \t]*+(?:"((?:[^"\\]++|\\.)*+)"|([^ \t=";]++))[ \t]*+(?:([0-9]{1,4})[ \t]*+)?', re.DOTALL)
_STATEMENT = re.compile(rb"[ \t]*+([A-Za-z0-9][A-Za-z0-9_-]*+)[ \t]*+(?:/[ \t]*+([0-9]{1,4})[ \t]*+)?=[ \t]*+([A-Za-z0-9_-]++)")
_PROPERTY = re.compile(
    rb"([A-Za-z0-9][A-Za-z0-9_-]*+)[ \t]*+(?:\.[ \t]*+([A-Za-z0-9][A-Za-z0-9_-]*+)[ \t]*+)?=[ \t]*+"
    rb'(?:"((?:[^"\\]++|\\.)*+)"?(@[^ \t"]++)?|([^ \t"]*+))|[^ \t]++',
    re.DOTALL,
)
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_RESULTS = {result.value: result for result in Result}
_HEAD = re.compile(rb"[^;]*+")
# White space of any script, what is not seen at all, and what may stand around a word.
_ODD = re.compile(r'[\s\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff"()\\]+')


@dataclass(frozen=True, slots=True)
class Statement:
    """One method's result as another server tells it: text from a peer, all of it.

    method, result: in lower case; they may be words that we do not know. about: (name, value) in order, at most 32; names in lower case,
    "smtp.mailfrom", or "action" where the type was left out. reason: "" if there is none.
    """

    method: str
    result: str
    about: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    version: int = 1

    def value(self, name: str) -> str:
        """The value of the first property of this name (lower case), else ""."""
        return next((value for each, value in self.about if each == name), "")

    def evidence(self) -> Evidence | None:
        """The same as our own checks say it; None for a result that RFC 8601 does not know."""
        result = _RESULTS.get(self.result)
        return None if result is None else Evidence(self.method, result, dict(self.about), self.reason)


@dataclass(frozen=True, slots=True)
class AuthResults:
    """One field. authserv_id: who says so, as written, "" if nobody stands there. statements: empty where it says "none".

    complete: False where something of it was not understood or not read.
    """

    authserv_id: str
    statements: tuple[Statement, ...]
    version: int = 1
    complete: bool = True


def parse_auth_results(value: bytes) -> AuthResults:
    """What one field says. value: all after the colon, folded or not; 16 KiB of it are read."""
    line = strip_comments(_on_one_line(value[:FIELD_READ]))
    segments = [match[1] for match in _SEGMENT.finditer(line)]
    complete = len(value) <= FIELD_READ and len(segments) <= STATEMENTS + 1
    segments = segments[: STATEMENTS + 1]
    authserv_id, version = "", 1
    identity = _IDENTITY.fullmatch(segments[0]) if segments else None
    if identity is not None:
        quoted, plain, digits = identity.groups()
        authserv_id = _text(_PAIR.sub(rb"\1", quoted) if quoted is not None else plain)
        version = int(digits) if digits else 1
        segments = segments[1:]
    statements = []
    for segment in segments:
        if not (bare := segment.strip(b" \t")) or bare.lower() == b"none":
            continue
        statement = _statement(segment)
        if statement is None:
            complete = False
        else:
            statements.append(statement)
    return AuthResults(authserv_id, tuple(statements), version, complete)


def is_ours(value: bytes, authserv_id: str) -> bool:
    """Whether a field claims to be written by us. value: all after the colon. authserv_id: our own.

    It is read as the grammar says, and then once more as a careless reader would who knows neither comments nor quotes; one is enough.
    So is a field in which nobody comes for 16 KiB: whom it names is not worth the time.
    """
    wanted = _comparable(authserv_id)
    line = _on_one_line(value[:FIELD_READ])
    readable = strip_comments(line)
    if len(value) > FIELD_READ and b";" not in readable:
        return True
    return any(wanted == _comparable(claim) for reading in (readable, line) for claim in _claims(reading))


def results_of(value: bytes, authserv_id: str) -> bytes | None:
    """What stands behind the identity of a field, as written, if that is authserv_id; else None. value: all after the colon."""
    head = _SEGMENT.match(value)
    if head is None or _comparable(parse_auth_results(head[0]).authserv_id) != _comparable(authserv_id):
        return None
    return value[head.end() :].strip(b" \t\r\n")


def forged_fields(headers: Headers, authserv_id: str) -> tuple[tuple[int, int], ...]:
    """Where Authentication-Results fields stand that claim to be ours, as (start, end) in headers.block, in order.

    Those of a message that comes in are all forged (RFC 8601 §5): cut them out. end is behind the line end. For a message that was
    parsed from its first byte, the offsets are those of the message too.
    """
    if not headers.count(_NAME):
        return ()
    found = []
    at = 0
    for (name, value), whole in zip(headers.fields, headers.whole(), strict=True):
        if name.lower() == _NAME and is_ours(value, authserv_id):
            found.append((at, at + len(whole)))
        at += len(whole)
    return tuple(found)


def _claims(line: bytes) -> set[str]:
    """Whom a field may be said to come from."""
    head = _HEAD.match(line)
    text = "" if head is None else decode_words(head[0]) if b"=?" in head[0] else _text(head[0])
    words = [word for word in _ODD.split(text.partition(";")[0].partition("=")[0][:_NAME_READ]) if word]
    if not words:
        return set()
    claims = {words[0], words[0].partition("/")[0], "".join(words)}
    if words[-1].isdigit():
        claims.add("".join(words[:-1]))
    return claims


def _on_one_line(value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value:
        return _LINE_END.sub(b" ", _FOLD.sub(b"", value))
    return value


def _statement(segment: bytes) -> Statement | None:
    head = _STATEMENT.match(segment)
    if head is None:
        return None
    reason = ""
    about: list[tuple[str, str]] = []
    for match in _PROPERTY.finditer(segment, head.end()):
        first, second, quoted, at_domain, plain = match.groups()
        if first is None:
            continue
        text = _text(_PAIR.sub(rb"\1", quoted) + (at_domain or b"") if quoted is not None else plain)
        name = first.lower().decode()
        if second is not None:
            name += "." + second.lower().decode()
        if name == "reason" and not reason:
            reason = text
        else:
            about.append((name, text))
        if len(about) == PROPERTIES:
            break
    version = int(head[2]) if head[2] else 1
    return Statement(head[1].lower().decode(), head[3].lower().decode(), tuple(about), reason, version)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _comparable(text: str) -> str:
    """A name so that two ways to write it are equal: lower case, A-labels, no dot at the end."""
    text = text.strip(" .").lower()
    if text.isascii():
        return text
    try:
        return to_ascii(text)
    except BadValue:
        return text

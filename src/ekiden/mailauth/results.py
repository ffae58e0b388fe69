"""What a check of a message's origin found, in the words of RFC 8601, and the field that says so.

Nothing that a peer has said can become more than a value of that field: whatever is no token and no plain address is put in quotes,
a control character becomes "?", and a value has an end (row AX-31). auth_results.py reads such fields.
Source: RFC 8601 §2.2 (grammar), RFC 8601 §2.7 (results), RFC 2045 §5.1 (tokens).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from ekiden.base.errors import BadValue

VALUE_BYTES = 400
"""How much of one value is written: more than a path of SMTP has (RFC 5321 §4.5.3.1.3), and in quotes it stays within one line."""

_LINE_BYTES = 78
_CACHED = 400
_OF_ONE_MESSAGE = "header.b"  # no two messages have the same, so what has it is not worth keeping
_KEYWORD = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PROPERTY = re.compile(r"[a-z0-9][a-z0-9-]*\.[a-z0-9][a-z0-9-]*")
_TOKEN = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+")
# RFC 8601 §2.2, pvalue: an address may stand without quotes if local part and domain are plain.
_ADDRESS = re.compile(r"(?:[!#$%&'*+/=?^_`{|}~0-9A-Za-z-]+(?:\.[!#$%&'*+/=?^_`{|}~0-9A-Za-z-]+)*)?@[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")
# C0, DEL, C1, halves of characters, and what some programs take for the end of a line.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TO_QUOTE = re.compile(r'(["\\])')


class Result(Enum):
    """What one method says. TEMPERROR: nobody could tell now, which is never NONE."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One method's result, as one `resinfo` of Authentication-Results says it.

    method: "spf", "dkim", "dmarc", "arc", "iprev", "auth". about: properties in order, as "smtp.mailfrom" or "header.d", each with
    its value as text from a peer (it is quoted when it is written). because: why, for the journey and as the reason; may be "".
    """

    method: str
    result: Result
    about: Mapping[str, str] = field(default_factory=dict)
    because: str = ""


def authentication_results(authserv_id: str, evidence: Sequence[Evidence]) -> bytes:
    """The value of an Authentication-Results field, folded, without the name of the field and without its line end.

    authserv_id: who says so, as a rule a host name. No evidence at all is written as "none" (RFC 8601 §2.2). Values may come out in
    UTF-8, if that is how the peer wrote them (RFC 8601 §2.2, RFC 6532 §3.2). Raises BadValue for a method or a property that is no
    keyword, for those are ours. No version is written, which means 1.
    """
    lines = [_value(authserv_id)]
    for each in evidence:
        lines[-1] += b";"
        lines.extend(_resinfo(each))
    if not evidence:
        lines[-1] += b"; none"
    return b"\r\n\t".join(lines)


def written(text: str) -> str:
    """What will be left of a value when it is written: the same text, unless it is long or has characters that no field may have."""
    plain = _UNFIT.sub("?", text)
    raw = plain.encode("utf-8")
    return plain if len(raw) <= VALUE_BYTES else raw[:VALUE_BYTES].decode("utf-8", "ignore")


def _resinfo(evidence: Evidence) -> tuple[bytes, ...]:
    """One statement in lines of about 78 bytes; only a value that is longer makes a longer line."""
    about = evidence.about
    if _OF_ONE_MESSAGE in about or len(evidence.because) > _CACHED or sum(map(len, about.values())) > _CACHED:
        return _lines(evidence.method, evidence.result, about.items(), evidence.because)
    return _lines_cached(evidence.method, evidence.result, tuple(about.items()), evidence.because)


def _lines(method: str, result: Result, about: Iterable[tuple[str, str]], because: str) -> tuple[bytes, ...]:
    if not _KEYWORD.fullmatch(method):
        raise BadValue("method", method)
    words = [f"{method}={result.value}".encode()]
    if because:
        words.append(b"reason=" + _quoted(written(because)))
    for name, value in about:
        again = name != _OF_ONE_MESSAGE and len(value) <= _CACHED
        words.append(_property_cached(name, value) if again else _property(name, value))
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 10 > _LINE_BYTES:  # 10: the tab as people see it, a blank, a semicolon
            lines.append(b" " * 2 + word)
        else:
            lines[-1] += b" " + word
    return tuple(lines)


_lines_cached = lru_cache(maxsize=1024)(_lines)


def _property(name: str, value: str) -> bytes:
    if not _PROPERTY.fullmatch(name):
        raise BadValue("property", name)
    return b"%b=%b" % (name.encode(), _value(value))


_property_cached = lru_cache(maxsize=1024)(_property)


def _value(text: str) -> bytes:
    text = written(text)
    return text.encode() if _TOKEN.fullmatch(text) or _ADDRESS.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> bytes:
    return b'"%b"' % _TO_QUOTE.sub(r"\\\1", text).encode()

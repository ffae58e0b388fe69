"""Tag lists, "v=1; a=rsa-sha256; d=example.test": signatures, key records, policies of DMARC, sets of ARC.

Pure. A list with a tag that comes twice, with an empty tag or without a name is no list at all; names are told apart by
case, what a reader does not know it ignores. The time is linear in the length.
Source: RFC 6376 §3.2, RFC 8616 §5 (values may be UTF-8).
"""

from __future__ import annotations

import re

from ekiden.base.errors import BadValue

MOST_BYTES = 32 << 10
"""How long a list may be."""
MOST_TAGS = 100
"""How many tags a list may have."""

# One call reads a whole list; where there is no tag it takes all the rest, and gives two empty strings for it.
_TAGS = re.compile("[ \t\r\n]*+([A-Za-z][A-Za-z0-9_]*+)[ \t\r\n]*+=([^;]*+)(?:;|\\Z)|.++", re.DOTALL)
_NO_TAG = ("", "")
_FIT = bytes(octet for octet in range(256) if octet in b"\t\r\n" or (octet >= 0x20 and octet != 0x7F))
_SPACE = " \t\r\n"
_NO_SPACE = str.maketrans("", "", _SPACE)


def parse_tags(raw: bytes, what: str = "tag list") -> dict[str, str]:
    """The tags in order: name to value, both as written, without the white space around the value.

    raw: the value of a field, folded or not, or of a TXT record. what: what the list is, for the error.
    Raises BadValue for anything that is no list, is over 32 KiB or has over 100 tags.
    """
    if len(raw) > MOST_BYTES:
        raise BadValue(what, raw[:80], f"over {MOST_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadValue(what, raw, "neither ASCII nor UTF-8") from None
    if raw.translate(None, _FIT):
        raise BadValue(what, raw, "a control character")
    text = text.rstrip(_SPACE)
    if text.count(";") > MOST_TAGS:
        raise BadValue(what, raw, f"over {MOST_TAGS} tags")
    found = _TAGS.findall(text)
    if _NO_TAG in found:
        raise BadValue(what, raw, "a tag without a name or a value")
    if not found:
        raise BadValue(what, raw, "empty")
    tags = {name: value.strip(_SPACE) for name, value in found}
    if len(tags) != len(found):
        names = [name for name, _ in found]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise BadValue(what, raw, f"{twice}= comes twice")
    if len(tags) > MOST_TAGS:
        raise BadValue(what, raw, f"over {MOST_TAGS} tags")
    return tags


def without_space(value: str) -> str:
    """A value in which white space means nothing, as base64 and h= (RFC 6376 §2.10), without it."""
    return value.translate(_NO_SPACE) if not value.isalnum() else value


def parts_of(value: str) -> list[str]:
    """A value with colons between its parts (h=, q=, s=, t=), each without white space; some may be empty."""
    return without_space(value).split(":")

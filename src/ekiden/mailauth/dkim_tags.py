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

_TAG = re.compile("[ \t\r\n]*+([A-Za-z][A-Za-z0-9_]*+)[ \t\r\n]*+=([^;]*+)(?:;|\\Z)")
_UNFIT = re.compile("[^\t\r\n -~\x80-\U0010ffff]")
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
    if _UNFIT.search(text):
        raise BadValue(what, raw, "a control character")
    text = text.rstrip(_SPACE)
    tags: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _TAG.match(text, at)
        if match is None:
            raise BadValue(what, raw, "a tag without a name or a value")
        name = match[1]
        if name in tags:
            raise BadValue(what, raw, f"{name}= comes twice")
        if len(tags) == MOST_TAGS:
            raise BadValue(what, raw, f"over {MOST_TAGS} tags")
        tags[name] = match[2].strip(_SPACE)
        at = match.end()
    if not tags:
        raise BadValue(what, raw, "empty")
    return tags


def without_space(value: str) -> str:
    """A value in which white space means nothing, as base64 and h= (RFC 6376 §2.10), without it."""
    return value.translate(_NO_SPACE) if not value.isalnum() else value


def parts_of(value: str) -> list[str]:
    """A value with colons between its parts (h=, q=, s=, t=), each without white space; some may be empty."""
    return without_space(value).split(":")

"""Names of the DNS as mail writes them: A-labels for the wire, U-labels for people.

One mapping (UTS 46, non-transitional) serves every use, so that the relay check, routing and delivery never disagree
about what a domain is. Pure: no resolver here.
Source: RFC 5890 §2.3, RFC 5891 §4, RFC 5321 §2.3.5, RFC 1035 §2.3.4.
"""

from __future__ import annotations

import re

import idna

from ekiden.base.errors import BadValue

NAME_MAX = 253
"""Characters of a name without its final dot: 255 octets on the wire (RFC 1035 §2.3.4)."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_RAW_MAX = 255
_LABEL_RAW_MAX = 63


def to_ascii(text: str) -> str:
    """A host name as A-labels in lower case: letters, digits and hyphens, no dot at the end.

    text: 1 to 255 characters, U-labels or A-labels; no dot at the end. A name whose last label is a number is refused,
    because it would be taken for an IP address further on. Raises BadValue.
    """
    if not 0 < len(text) <= _RAW_MAX:
        raise BadValue("domain", text, "length")
    name = text.lower() if text.isascii() else _mapped(text)
    if len(name) > NAME_MAX or not _HOST_NAME.fullmatch(name):
        raise BadValue("domain", text)
    if "xn--" in name:
        _check_a_labels(name)
    if _NUMBER.fullmatch(name, name.rfind(".") + 1):
        raise BadValue("domain", text, "ends in a number")
    return name


def to_unicode(name: str) -> str:
    """A name for people to read: A-labels become U-labels where IDNA allows, other labels stay. Never raises.

    Control and format characters never come out, because IDNA has none of them in a U-label.
    """
    if "xn--" not in name:
        return name
    return ".".join(_u_label(label) for label in name.split("."))


def _mapped(text: str) -> str:
    """UTS 46 and then A-labels. The lengths are checked before: the mapping is slow on long labels."""
    if any(len(label) > _LABEL_RAW_MAX for label in text.split(".")):
        raise BadValue("domain", text, "label too long")
    try:
        return idna.encode(text, uts46=True, std3_rules=True, transitional=False).decode("ascii").lower()
    except UnicodeError as error:  # IDNAError is one
        raise BadValue("domain", text, "not a name of IDNA") from error


def _check_a_labels(name: str) -> None:
    """Refuse labels that begin with xn-- and are not the one spelling of something outside ASCII."""
    for label in name.split("."):
        if not label.startswith("xn--"):
            continue
        try:
            decoded = label[4:].encode("ascii").decode("punycode")
            again = decoded.encode("punycode").decode("ascii")
        except UnicodeError as error:
            raise BadValue("domain", name, "A-label") from error
        if decoded.isascii() or _CONTROL.search(decoded) or again != label[4:]:
            raise BadValue("domain", name, "A-label")


def _u_label(label: str) -> str:
    if not label.startswith("xn--") or len(label) > _LABEL_RAW_MAX:
        return label
    try:
        return idna.ulabel(label)
    except UnicodeError:
        return label

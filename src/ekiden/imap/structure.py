"""ENVELOPE and BODYSTRUCTURE of a message, as the bytes that FETCH sends.

Computed once, when a message arrives. Never raises, for any message. Nothing above 7 bits leaves this module: clients of
IMAP4rev1 are not ready for it (RFC 3501 §4.3.1, RFC 6855 §3), so that raw 8-bit text of a header becomes an encoded word,
and what cannot be read becomes NIL.
Source: RFC 3501 §7.4.2, RFC 9051 §7.5.2.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ekiden.base.errors import BadValue
from ekiden.imap.tokens import quote
from ekiden.mail.encodings import decode_words, encode_words
from ekiden.mail.fields import Address, Group, parse_address_list
from ekiden.mail.headers import Headers, parse_headers, unfold
from ekiden.mail.mime import Part
from ekiden.mail.parameters import Parameters

_ATEXT = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
# One mailbox of the common kinds, a comma or the end behind it: "Name" <a@b>, Name <a@b>, a@b.
_COMMON = re.compile(
    rb'[ \t]*+(?:(?:"([^"\\\x00-\x1f\x7f-\xff]*+)"|(%(atext)b++(?:[ \t]++%(atext)b++)*+)|)[ \t]*+'
    rb"<%(spec)b>|%(spec)b)[ \t]*+(?:,|\Z)"
    % {b"atext": _ATEXT, b"spec": rb"(%b++(?:\.%b++)*+)@([A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)*+)" % (_ATEXT, _ATEXT)}
)
_PIECE = re.compile(rb'[() ]|"(?:[^"\\]++|\\.)*+"|NIL|[0-9]++')
_UNCLEAN = re.compile(rb"[\x00\r\n\x80-\xff]")
_CACHED_LENGTH = 256


def envelope(headers: Headers) -> bytes:
    """The ENVELOPE of the message with these headers, in parentheses."""
    first = headers.first
    sender = _addresses_of(first(b"from"))
    other_sender = _addresses_of(first(b"sender"))
    reply_to = _addresses_of(first(b"reply-to"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(first(b"date")),
        _text(first(b"subject")),
        sender,
        # RFC 3501 §7.4.2: absent or empty, these two are the same as From.
        sender if other_sender == b"NIL" else other_sender,
        sender if reply_to == b"NIL" else reply_to,
        _addresses_of(first(b"to")),
        _addresses_of(first(b"cc")),
        _addresses_of(first(b"bcc")),
        _text(first(b"in-reply-to")),
        _text(first(b"message-id")),
    )


def body_structure(part: Part, raw: bytes) -> bytes:
    """The BODYSTRUCTURE of a message, with extension data. part: its tree; raw: the message that the tree was made of."""
    return _structure(part, raw, extended=True)


def body(part: Part, raw: bytes) -> bytes:
    """The BODY of a message: its structure without extension data."""
    return _structure(part, raw, extended=False)


def body_of(structure: bytes) -> bytes:
    """The BODY of a message from its BODYSTRUCTURE, as body_structure() made it. Raises BadValue for anything else."""
    stack: list[list[bytes]] = [[]]
    at = 0
    while found := _PIECE.match(structure, at):
        piece = found[0]
        if piece == b")" and len(stack) == 1:
            break
        at = found.end()
        if piece == b"(":
            stack.append([])
        elif piece == b")":
            members = stack.pop()
            stack[-1].append(_shortened(members))
        elif piece != b" ":
            stack[-1].append(piece)
    if at != len(structure) or len(stack) != 1 or len(stack[0]) != 1:
        raise BadValue("body structure", structure)
    return stack[0][0]


def _shortened(members: list[bytes]) -> bytes:
    """A list again, without extension data if it is the structure of a part. Only a part has a bare number as 7th member."""
    lists = 0
    while lists < len(members) and members[lists].startswith(b"("):
        lists += 1
    if lists and len(members) == lists + 5:
        return b"(%b %b)" % (b"".join(members[:lists]), members[lists])  # a multipart
    if lists and lists == len(members):
        return b"(%b)" % b"".join(members)  # addresses
    if len(members) >= 11 and members[6].isdigit():
        members = members[:-4]
    return b"(%b)" % b" ".join(members)


def _structure(part: Part, raw: bytes, *, extended: bool) -> bytes:
    if part.is_multipart and part.children:
        inner = b"".join([_structure(child, raw, extended=extended) for child in part.children])
        subtype = quote(part.subtype.upper().encode("ascii"))
        if not extended:
            return b"(%b %b)" % (inner, subtype)
        return b"(%b %b %b %b)" % (inner, subtype, _parameters(part.params), _extension(part))
    kind, subtype = part.type.upper().encode("ascii"), part.subtype.upper().encode("ascii")
    params = part.params
    if kind == b"TEXT" and subtype == b"PLAIN" and not params:
        params = _US_ASCII
    fields = b'"%b" "%b" %b %b %b "%b" %d' % (
        kind,
        subtype,
        _parameters(params),
        _optional(part.id),
        _optional(part.description),
        part.encoding.upper().encode("ascii"),
        part.size,
    )
    if kind == b"TEXT":
        fields += b" %d" % part.lines
    elif kind == b"MESSAGE" and subtype == b"RFC822":
        fields += _inner_message(part, raw, extended=extended)
    if not extended:
        return b"(%b)" % fields
    return b"(%b %b %b)" % (fields, _optional(part.md5), _extension(part))


_US_ASCII: Parameters = ((b"charset", b"US-ASCII"),)
"""What text/plain means where it does not say more (RFC 2045 §5.2)."""


def _inner_message(part: Part, raw: bytes, *, extended: bool) -> bytes:
    """Envelope, body and lines of an encapsulated message; of an empty one where the tree says that there is none."""
    if not part.children:
        # Such a part must show a message all the same (RFC 3501 §9, body-type-msg).
        return b' (%b) ("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0) %d' % (b" ".join([b"NIL"] * 10), part.lines)
    child = part.children[0]
    headers = parse_headers(raw, child.header_at, child.end)
    return b" %b %b %d" % (envelope(headers), _structure(child, raw, extended=extended), part.lines)


def _extension(part: Part) -> bytes:
    """Disposition, language and location: the end of the extension data of any part."""
    if not part.disposition:
        disposition = b"NIL"
    else:
        name = _clean(part.disposition.encode("latin-1", "replace"))
        disposition = b"(%b %b)" % (name, _parameters(part.disposition_params))
    language = b"NIL"
    if part.language:
        tags = [_clean(tag) for tag in part.language]
        language = tags[0] if len(tags) == 1 else b"(%b)" % b" ".join(tags)
    return b"%b %b %b" % (disposition, language, _optional(part.location))


@lru_cache(maxsize=1024)
def _parameters(params: Parameters) -> bytes:
    if not params:
        return b"NIL"
    return b"(%b)" % b" ".join([b"%b %b" % (_clean(name), _clean(value)) for name, value in params])


def _optional(value: bytes | None) -> bytes:
    return b"NIL" if value is None else _clean(value)


def _text(value: bytes | None) -> bytes:
    """An unstructured field: NIL if absent, "" if empty."""
    return b"NIL" if value is None else _clean(unfold(value))


def _clean(text: bytes) -> bytes:
    """A quoted string: CR, LF and NUL left out or made spaces, 8-bit text as encoded words."""
    if _UNCLEAN.search(text) is None:
        return quote(text)
    text = text.replace(b"\0", b"").replace(b"\r", b" ").replace(b"\n", b" ")
    return quote(text if text.isascii() else encoded_words(text))


def encoded_words(text: bytes) -> bytes:
    """Raw 8-bit text of a header as encoded words of UTF-8, on one line; encoded words in it are decoded before."""
    return encode_words(decode_words(text)).replace(b"\r\n", b"")


def _addresses_of(value: bytes | None) -> bytes:
    if value is None:
        return b"NIL"
    return _addresses_cached(value) if len(value) <= _CACHED_LENGTH else _addresses(value)


def _addresses(value: bytes) -> bytes:
    """An address list as parenthesized addresses, NIL if there is none in it."""
    value = unfold(value)
    found: list[bytes] = []
    at = 0
    while at < len(value):
        match = _COMMON.match(value, at)
        if match is None:
            return _any_addresses(value)
        name_quoted, name, local, host, bare_local, bare_host = match.groups()
        if bare_local is not None:
            found.append(b'(NIL NIL "%b" "%b")' % (bare_local, bare_host))
        else:
            shown = name_quoted or name
            found.append(b'(%b NIL "%b" "%b")' % (b'"%b"' % shown if shown else b"NIL", local, host))
        at = match.end()
    return b"(%b)" % b"".join(found) if found else b"NIL"


_addresses_cached = lru_cache(maxsize=2048)(_addresses)


def _any_addresses(value: bytes) -> bytes:
    """The same for every other value, read as the rest of the house reads it."""
    found: list[bytes] = []
    for entry in parse_address_list(value):
        if isinstance(entry, Group):
            # RFC 3501 §7.4.2: a group begins with its name as mailbox and ends with nothing but NIL.
            found.append(b"(NIL NIL %b NIL)" % _clean(entry.raw_name))
            found.extend(map(_address, entry.members))
            found.append(b"(NIL NIL NIL NIL)")
        else:
            found.append(_address(entry))
    return b"(%b)" % b"".join(found) if found else b"NIL"


def _address(address: Address) -> bytes:
    # A host of NIL would begin a group, so that what is no address has the host "".
    return b"(%b %b %b %b)" % (
        _clean(address.raw_name) if address.raw_name else b"NIL",
        _clean(address.route.encode()) if address.route else b"NIL",
        _clean(address.local.encode()),
        _clean(address.domain.encode()),
    )

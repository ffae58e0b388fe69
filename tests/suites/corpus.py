"""The MIME corpus as SMTP would carry it, for tests that sign and verify it: every file, with as little changed as can be.

Lines end in CRLF, the last one too; a line in which only mbox begins a message is not sent; a message without From, which no signature
can do without, gets one. Fields, octets over 127 and long lines stay as they are. What another program cannot read at all is
mended in the few files of MENDED, so that no file is left out.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from tests.suites.data import conformance

from ekiden.mail.headers import parse_headers

MENDED = {
    # dkimpy and opendkim refuse a header with a line that is no field (RFC 5322 §2.2).
    "mimetools-testmsgs/hdr-fakeout", "error_emails/multiple_references_with_one_invalid", "plain_emails/raw_email_incorrect_header",
    "testmsgs/basic-plain-with-bad-header-separator", "testmsgs/malformedHeader-nocrlfcrlf",
    "testmsgs/malformedHeaderStartsBody-nocrlfcrlf", "malformed/019",
    # opendkim wants a domain in From.
    "thirdparty/007", "mimetools-testmsgs/re-fwd", "mimetools-testmsgs/uu-zeegee",
    # opendkim reads a file up to the first NUL of a line.
    "thirdparty/005",
}  # fmt: skip
SPACED = {
    "mimetools-testmsgs/multi-badnames", "mimetools-testmsgs/multi-clen", "mimetools-testmsgs/multi-digest",
    "error_emails/bad_date_header", "error_emails/content_transfer_encoding_x_uuencode", "error_emails/empty_in_reply_to",
    "rfc2822/example10", "testmsgs/boundary-name-clash", "testmsgs/simple-attachment",
}  # fmt: skip
"""Messages with a field of which opendkim, when it reads a file, does not see the white space after the colon: what it signs in the
simple form of these, dkimpy does not verify either."""

_FROM = b"From: alice@one.test\r\n"
_ANY_END = re.compile(rb"\r\n|\r|\n")
_MBOX = re.compile(rb"\AFrom [^\r\n]*\r\n")
_NAME = re.compile(rb"[!-9;-~]+:")
_EARLIER = (b"dkim-signature",)


@cache
def messages() -> dict[str, bytes]:
    """Name to message: 157 of them, with no signature that somebody made before."""
    return {name: _mended(raw) if name in MENDED else raw for name, raw in unmended().items()}


@cache
def unmended() -> dict[str, bytes]:
    """The same without what MENDED needs."""
    folder = conformance("mime")
    files: list[Path] = [] if folder is None else sorted([*folder.rglob("*.msg"), *folder.rglob("*.eml")])
    return {f"{file.parent.name}/{file.stem}": _as_carried(file.read_bytes()) for file in files}


def _as_carried(raw: bytes) -> bytes:
    raw = _MBOX.sub(b"", _ANY_END.sub(b"\r\n", raw))
    headers = parse_headers(raw)
    if not headers.fields:
        raw = _FROM + b"\r\n" + raw
    elif headers.count(b"dkim-signature"):
        kept = [whole for (name, _), whole in zip(headers.fields, headers.whole(), strict=True) if name.lower() not in _EARLIER]
        raw = b"".join(kept) + b"\r\n" + raw[headers.body_at :]
    if headers.fields and not headers.count(b"from"):
        raw = _FROM + raw
    return raw if raw.endswith(b"\r\n") else raw + b"\r\n"


def _mended(raw: bytes) -> bytes:
    """Without what is no field, with a From that has a domain, without NUL."""
    headers = parse_headers(raw)
    fields = [each for each in headers.whole() if _NAME.match(each)]
    if not any(each.lower().startswith(b"from:") and b"@" in each for each in fields):
        fields = [_FROM, *(each for each in fields if not each.lower().startswith(b"from:"))]
    return (b"".join(fields) + b"\r\n" + raw[headers.body_at :]).replace(b"\0", b"?")

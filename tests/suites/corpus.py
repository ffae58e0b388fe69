"""The messages of the MIME corpus as a server would let them pass, for tests that sign and verify them.

Header fields that no grammar allows are left out, since each program ends or repairs a header there in its own way; so are signatures
that somebody made before. Bodies end in CRLF and have no line over 998 octets (RFC 5322 §2.1.1), as SMTP carries them.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from tests.suites.data import conformance

from ekiden.mail.headers import parse_headers

_LONG = re.compile(rb"[^\r\n]{990}(?=[^\r\n])")
_ANY_END = re.compile(rb"\r\n|\r|\n")
_NAME = re.compile(rb"[!-9;-~]+:")


@cache
def messages() -> dict[str, bytes]:
    """Name to message: each line ends in CRLF, there is a From with a domain, no NUL."""
    folder = conformance("mime")
    files: list[Path] = [] if folder is None else sorted([*folder.rglob("*.msg"), *folder.rglob("*.eml")])
    found = {}
    for file in files:
        raw = _ANY_END.sub(b"\r\n", file.read_bytes()).replace(b"\0", b"?")
        headers = parse_headers(raw)
        fields = [each for each in headers.whole() if _is_well_formed(each) and not each.lower().startswith(b"dkim-signature:")]
        if not any(each.lower().startswith(b"from:") and b"@" in each for each in fields):
            fields = [each for each in fields if not each.lower().startswith(b"from:")]
            fields.insert(0, b"From: alice@one.test\r\n")
        body = _LONG.sub(rb"\g<0>\r\n", raw[headers.body_at :]).removesuffix(b"\r\n") + b"\r\n"
        found[f"{file.parent.name}/{file.stem}"] = b"".join(fields) + b"\r\n" + body
    return found


def _is_well_formed(field: bytes) -> bool:
    """No space before the colon, no line that is empty to the eye (RFC 5322 §3.2.2), ASCII."""
    lines = field.removesuffix(b"\r\n").split(b"\r\n")
    if not _NAME.match(field) or not field.isascii():
        return False
    return all(line.strip() for line in lines) and max(map(len, lines)) < 998 and not lines[0].endswith((b": ", b":\t"))
